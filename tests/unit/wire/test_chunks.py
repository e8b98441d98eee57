"""The arithmetic of an upload in pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.errors import WireError
from secagg.ids import RoundId
from secagg.wire.chunks import ChunkHeader, count, span

ROUND = RoundId(federation="trial", job="heart", round=3)


def header(index: int, size: int, total: int) -> ChunkHeader:
    return ChunkHeader(round=ROUND, node="node-a", index=index, size=size, total=total, hash=bytes(32))


@settings(max_examples=60)
@given(st.integers(1, 5000), st.integers(1, 300))
def test_the_chunks_tile_the_upload(total: int, size: int) -> None:
    spans = [span(header(index, size, total)) for index in range(count(total, size))]
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == total
    assert {stop - start for start, stop in spans[:-1]} <= {size}
    with pytest.raises(WireError, match="lies outside its upload"):
        span(header(len(spans), size, total))


@pytest.mark.parametrize(
    ("total", "size", "wanted"), [(1, 100, 1), (100, 100, 1), (101, 100, 2), (2**40 - 1, 1, 2**40 - 1)]
)
def test_count(total: int, size: int, wanted: int) -> None:
    assert count(total, size) == wanted


def test_the_highest_index_stays_outside() -> None:
    with pytest.raises(WireError):
        span(header(2**24 - 1, 2**40 - 1, 2**40 - 1))
