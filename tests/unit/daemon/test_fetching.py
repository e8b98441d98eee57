"""A blob comes piece by piece, by its digest; nobody on the way can stop that for good, or fill a disk."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from secagg.crypto.derive import sha256
from secagg.daemon import fetching
from secagg.daemon.blobs import Blobs
from secagg.daemon.fetching import Fetching
from secagg.daemon.turn import After, Emit, Turn
from secagg.errors import BadInput, ProtocolViolation, VerificationFailed
from secagg.protocol.session import PIECE, Fetch, PieceHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from support.federation import counted_rng
from support.memory import MemoryJournal

DATA = counted_rng(b"data")(64) * (2 * PIECE // 64) + b"end"
DIGEST = sha256(DATA)
T = TypeVar("T")


class Bench:
    """One `Fetching` over real blobs, and what its turns asked for."""

    def __init__(self, place: Path) -> None:
        self.journal, self.blobs = MemoryJournal(), Blobs(place)
        self.fetching = Fetching(self.blobs)
        self.turn: Turn

    def do(self, decide: Callable[[Turn], T]) -> T:
        with self.journal.transaction() as transaction:
            self.turn = Turn(transaction, 0, counted_rng(b"turn"))
            return decide(self.turn)

    def want(self, limit: int = len(DATA)) -> bool:
        return self.do(lambda turn: self.fetching.want("aggregator", DIGEST, limit, turn))

    def give(self, index: int, data: bytes = DATA, total: int | None = None, digest: bytes = DIGEST) -> bool:
        header = PieceHeader(digest, index, len(data) if total is None else total)
        body = data[index * PIECE : (index + 1) * PIECE]
        message = Received("aggregator", "piece", b"", encode(header), body)
        return self.do(lambda turn: self.fetching.piece(message, turn))

    def asked(self) -> list[int]:
        """Return the indices that the last turn asked for."""
        return [decode(Fetch, e.body).index for e in self.turn.effects if isinstance(e, Emit) and e.kind == "fetch"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "blobs")


def test_pieces_are_asked_for_one_by_one_until_the_blob_is_whole(bench: Bench) -> None:
    assert (bench.want(), bench.asked()) == (False, [0])
    assert After(fetching.TIMER, fetching.AGAIN) in bench.turn.effects
    assert (bench.give(0), bench.asked()) == (False, [1])
    assert (bench.give(1), bench.asked()) == (False, [2])
    assert (bench.give(2), bench.asked()) == (True, [])
    assert After(fetching.TIMER, None) in bench.turn.effects
    assert bench.blobs.get(DIGEST) == DATA
    assert bench.want()


def test_a_restart_goes_on_where_it_stopped(bench: Bench) -> None:
    bench.want()
    bench.give(0)
    bench.give(1)
    bench.fetching = Fetching(bench.blobs)
    assert (bench.want(), bench.asked()) == (False, [0])
    assert (bench.give(0), bench.asked()) == (False, [2])
    assert bench.give(2)


def test_pieces_of_something_else_mean_nothing(bench: Bench) -> None:
    assert not bench.give(0)
    bench.want()
    assert not bench.give(0, digest=bytes(32))
    assert (bench.asked(), list((bench.blobs.path(DIGEST).parent / "partial").iterdir())) == ([], [])


@pytest.mark.parametrize("total", [0, len(DATA) + 1, 2**52])
def test_a_blob_longer_than_it_can_be_is_refused_before_a_byte_is_kept(bench: Bench, total: int) -> None:
    bench.want()
    with pytest.raises(ProtocolViolation) as caught:
        bench.give(0, total=total)
    assert caught.value.rule == "piece.length"
    assert list((bench.blobs.path(DIGEST).parent / "partial").iterdir()) == []


def test_a_blob_that_may_be_longer_than_was_said_before_is_fetched(bench: Bench) -> None:
    bench.want(1)
    with pytest.raises(ProtocolViolation):
        bench.give(0)
    bench.want()
    assert [bench.give(index) for index in range(3)] == [False, False, True]


def test_a_blob_that_may_not_be_as_long_as_was_said_before_is_refused_in_the_midst_of_it(bench: Bench) -> None:
    bench.want(len(DATA) + 1)
    bench.give(0, total=len(DATA) + 1)
    bench.want()
    with pytest.raises(ProtocolViolation):
        bench.give(1, total=len(DATA) + 1)
    assert [bench.give(index) for index in range(3)] == [False, False, True]


def test_other_bytes_are_thrown_away_and_fetched_again(bench: Bench) -> None:
    bench.want()
    wrong = b"x" * len(DATA)
    bench.give(0, wrong)
    bench.give(1)
    with pytest.raises(VerificationFailed):
        bench.give(2)
    assert not any(path.is_file() for path in bench.blobs.path(DIGEST).parent.iterdir())
    assert (bench.want(), bench.asked()) == (False, [0])
    assert [bench.give(index) for index in range(3)] == [False, False, True]


@pytest.mark.parametrize("total", [1, PIECE, len(DATA) - 1])
def test_one_lie_about_the_length_does_not_keep_the_blob_away_for_good(bench: Bench, total: int) -> None:
    """Only the whole is verified, so a first piece from somebody on the way may fix a wrong length."""
    bench.want()
    with suppress(VerificationFailed):
        bench.give(0, DATA[:total])
    bench.want()
    assert [bench.give(index) for index in range(3)] == [False, False, True]
    assert bench.blobs.get(DIGEST) == DATA


def test_a_piece_of_a_wrong_size_is_refused(bench: Bench) -> None:
    bench.want()
    with pytest.raises(BadInput):
        bench.give(0, DATA[:10], total=len(DATA))
    assert (bench.want(), bench.asked()) == (False, [0])
