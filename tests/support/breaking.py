"""Broken bytes for tests: honest frames cut, lengthened, flipped and spliced, and frames that promise too much."""

from collections.abc import Iterator, Sequence

from support.federation import counted_rng

BOMBS = (
    b"",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",  # an array of 2^32 − 1 entries
    b"\xdf\xff\xff\xff\xff",  # a map of them
    b"\xc6\xff\xff\xff\xff",  # that many bytes
    b"\xdb\xff\xff\xff\xff",  # a text of that length
    b"\xc9\xff\xff\xff\xff\x01",  # an extension
    b"\xd7\xff" + b"\xff" * 8,  # a time outside all calendars
    b"\xa3\xed\xa0\x80",  # half a surrogate pair
    b"\x91" * 60_000,  # nested arrays
    b"\x81\xa1a" * 20_000,  # nested maps
    b"\x91" * 1024 + b"\xc0",
)
"""Beginnings of msgpack that cost a careless reader memory, time or its stack."""


def broken(honest: bytes, others: Sequence[bytes], count: int, seed: bytes = b"broken") -> Iterator[bytes]:
    """Yield every bomb and `count` changes of an honest frame, the same ones in every run."""
    yield from BOMBS
    rng = counted_rng(seed)
    for _ in range(count):
        yield _changed(honest, others, rng(12))


def _changed(honest: bytes, others: Sequence[bytes], drawn: bytes) -> bytes:
    at = int.from_bytes(drawn[:4], "big") % max(1, len(honest))
    match drawn[4] % 6:
        case 0:
            return honest[:at]
        case 1:
            return honest + drawn
        case 2:
            return honest[:at] + bytes([honest[at] ^ (1 << drawn[5] % 8)]) + honest[at + 1 :] if honest else drawn
        case 3:
            return honest[:at] + BOMBS[drawn[5] % len(BOMBS)] + honest[at:]
        case 4:
            return honest[:at] + drawn[5 : 5 + drawn[6] % 7] + honest[at + drawn[7] % 9 :]
        case _:
            other = others[drawn[5] % len(others)] if others else drawn
            return honest[:at] + other[int.from_bytes(drawn[6:8], "big") % max(1, len(other)) :]
