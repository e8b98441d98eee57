"""A bundle: the directory of files that an auditor gets, and how it is written and read.

```
BUNDLE/ root.txt            federation and the fingerprint of its root key
        directory/          the key server's log (tiles, checkpoint)
        rounds/             the aggregator's log
        files/<sha256>      side files that statements name: rosters, manifests, lists, uploads, answers, results
        results/<hmac hex>  published results by their salted digest
        salts.json          salt of each round's result, hex by round label
```
Rules: a file is what its name says or it is refused; a missing file makes the bundle incomplete, not wrong. Reading
opens no socket. Leaves to others: the checks (checks/), the format of the logs (secagg.log).
"""

import json
import shutil
from pathlib import Path

from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import BadInput, BundleIncomplete, VerificationFailed
from secagg.ids import RoundId


class BundleWriter:
    """Adds files to a bundle's directory; every file is written whole under another name, then renamed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for part in ("files", "results"):
            (directory / part).mkdir(parents=True, exist_ok=True)

    def put_file(self, data: bytes) -> str:
        """Store a side file and return its name."""
        name = sha256(data).hex()
        self._write(self._directory / "files" / name, data)
        return name

    def put_root(self, federation: str, fingerprint: str) -> None:
        """Store what the auditor compares with the fingerprint it was told."""
        self._write(self._directory / "root.txt", f"{federation}\n{fingerprint}\n".encode())

    def put_result(self, round_id: RoundId, published: bytes, salt: bytes) -> None:
        """Store a round's published result under its salted digest, and the salt."""
        self._write(self._directory / "results" / hmac_sha256(salt, published).hex(), published)
        path = self._directory / "salts.json"
        salts = json.loads(path.read_bytes()) if path.exists() else {}
        salts[round_id.label()] = salt.hex()
        self._write(path, json.dumps(salts, sort_keys=True).encode())

    def put_log(self, name: str, source: Path) -> None:
        """Copy a log's tiles and checkpoint as `name` (`directory` or `rounds`)."""
        shutil.copytree(source, self._directory / name, dirs_exist_ok=True)

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(data)
        fresh.replace(path)


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
