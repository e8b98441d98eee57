"""Bytes that do not show themselves: a secret has no text form, cannot be serialised, and compares in constant time."""

import hmac
from typing import NoReturn


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
