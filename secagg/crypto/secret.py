"""Bytes that do not show themselves: a secret has no text form, cannot be serialised, and compares in constant time.

What has to be serialised, sealed, holds its secrets as plain bytes in a `Veiled` struct, which prints its name only.
"""

import hmac
from typing import NoReturn

from msgspec import Struct


class Veiled(Struct, frozen=True):
    """A struct that prints its name and none of its fields, in a terminal that prints values at length neither."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(OMITTED)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class Secret:
    """Secret bytes; `reveal` is the one way to them, so that uses can be found by name."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)

    def reveal(self) -> bytes:
        """Return the bytes."""
        return self._data

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return "Secret(OMITTED)"

    def __format__(self, spec: str) -> str:
        return "Secret(OMITTED)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._data, other._data)

    def __hash__(self) -> int:
        raise TypeError("a secret is no key of a dictionary")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")
