"""How a file of vectors is written, for generators only: cases to JSON, bytes as lowercase hex, `--check` compares."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def plain(value: object) -> object:
    """Return builtins that JSON can hold: bytes in hex, a float as `float.hex()`."""
    match value:
        case bytes():
            return value.hex()
        case float():
            return value.hex()
        case Mapping():
            return {key: plain(entry) for key, entry in value.items()}
        case str() | int() | None:
            return value
        case Sequence():
            return [plain(entry) for entry in value]
        case _:
            raise TypeError(type(value))


class Vectors:
    """The cases of one file; at least as many are refused as accepted."""

    def __init__(self, about: str, **given: object) -> None:
        self._about, self._given = about, given
        self._accepted: list[object] = []
        self._refused: list[object] = []

    def accept(self, name: str, do: str, given: Mapping[str, object], out: object) -> None:
        """Add a case that gives `out`."""
        self._accepted.append({"name": name, "do": do, "in": plain(given), "out": plain(out)})

    def refuse(self, name: str, do: str, given: Mapping[str, object], error: str, **named: str) -> None:
        """Add a case that is refused with an error class, and with a rule or a code where it has one."""
        self._refused.append({"name": name, "do": do, "in": plain(given), "error": error, **named})

    def text(self) -> str:
        """Return the file's text: one case a line.

        Raises: ValueError when fewer cases are refused than accepted.
        """
        if len(self._refused) < len(self._accepted):
            raise ValueError(f"{len(self._refused)} refused, {len(self._accepted)} accepted")
        parts = [f' "about": {json.dumps(self._about)}']
        if self._given:
            parts.append(f' "given": {json.dumps(plain(self._given))}')
        for key, cases in (("accepted", self._accepted), ("refused", self._refused)):
            lines = ",\n".join(f"  {json.dumps(case)}" for case in cases)
            parts.append(f' "{key}": [\n{lines}\n ]')
        return "{\n" + ",\n".join(parts) + "\n}\n"


def finish(generator: str, text: str) -> None:
    """Write the file beside the generator `gen_<name>.py`, or with `--check` end with 1 when it differs."""
    target = Path(generator).with_name(Path(generator).stem.removeprefix("gen_") + ".json")
    if "--check" in sys.argv:
        sys.exit(not target.exists() or target.read_text() != text)
    target.write_text(text)
