"""A bundle as the auditor reads it: the directory of files that `secagg.log.bundle` writes.

Rules: a file is what its name says or it is refused; a missing file makes the bundle incomplete, not wrong. Reading
opens no socket. Leaves to others: the checks (checks/), the format of the logs (secagg.log).
"""

import json
from pathlib import Path

from secagg.crypto.derive import sha256
from secagg.errors import BadInput, BundleIncomplete, VerificationFailed


class Bundle:
    """A bundle on disk, read as it is needed."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise BadInput(f"There is no bundle at {directory}.", "Name the directory that was exported.")
        self.directory = directory

    def root(self) -> tuple[str, str]:
        """Return the federation and the fingerprint of its root key.

        Raises: BundleIncomplete; BadInput when the file has another form.
        """
        lines = self._read(self.directory / "root.txt", "root.txt").decode(errors="replace").splitlines()
        if len(lines) != 2:
            raise BadInput("root.txt is not a federation and a fingerprint.", "Export the bundle again.")
        return lines[0], lines[1]

    def file(self, name: str) -> bytes:
        """Return the side file whose SHA-256 is `name` (hex).

        Raises: BundleIncomplete when it is not there; VerificationFailed when it holds something else.
        """
        data = self._read(self.directory / "files" / name, name)
        if sha256(data).hex() != name:
            raise VerificationFailed(f"File {name} holds something else.", "Ask for the original.")
        return data

    def upload(self, name: str) -> bytes:
        """Return the upload kept under this name (hex): its engine's digest, which the caller recomputes.

        Raises: BundleIncomplete when it is not there.
        """
        return self._read(self.directory / "files" / name, name)

    def result(self, name: str) -> bytes:
        """Return the published result with this salted digest (hex); the caller checks it with the salt."""
        return self._read(self.directory / "results" / name, f"result {name}")

    def salt(self, label: str) -> bytes:
        """Return the salt of a round's result.

        Raises: BundleIncomplete.
        """
        try:
            return bytes.fromhex(json.loads(self._read(self.directory / "salts.json", "salts.json"))[label])
        except (KeyError, ValueError, TypeError):
            raise BundleIncomplete(f"There is no salt for round {label}.", "Export the bundle again.") from None

    @staticmethod
    def _read(path: Path, name: str) -> bytes:
        if not path.is_file():
            raise BundleIncomplete(f"The bundle lacks {name}.", "Ask the operator for a complete export.")
        return path.read_bytes()
