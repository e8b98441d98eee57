"""Files of a ceremony on disk: read when somebody handed them over, written whole or not at all.

Leaves to others: what is in them (secagg.protocol.ceremony.files), where they go (commands).
"""

from pathlib import Path

from secagg.daemon.vault import write_private
from secagg.errors import BadConfiguration, BadInput

KEY, TRANSCRIPT = "key.bin", "transcript.json"
LARGEST = 1_048_576
"""Bytes of any of these files."""


def read(path: Path) -> bytes:
    """Return a file that somebody handed over.

    Raises: BadInput when it cannot be read or is too long.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if len(data) > LARGEST:
        raise BadInput(f"{path} is longer than any file of a ceremony.", "Check the path.")
    return data


def write(path: Path, data: bytes) -> None:
    """Write a file, on disk when this returns. Raises: BadConfiguration when it cannot be written."""
    try:
        write_private(path, data)
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be written: {error.strerror}.", "Choose another path.") from None
