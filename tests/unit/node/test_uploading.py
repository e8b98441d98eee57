"""An upload goes out in signed chunks, the same bytes every time, until the aggregator has signed for each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from node import records, uploading
from node.records import Upload
from node.uploading import Uploading
from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.daemon.blobs import Blobs
from secagg.daemon.outbox import WINDOW
from secagg.daemon.turn import After, Emit, Run, Turn
from secagg.errors import BadSignature
from secagg.ids import NO_DIGEST, RoundId
from secagg.wire.chunks import ChunkAck, ChunkHeader, ChunksAsked, ChunksMissing
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, Signed, open_signed, sign
from support.federation import counted_rng
from support.memory import MemoryJournal

SIZE, CHUNKS = 4096, 11
DATA = counted_rng(b"upload")(SIZE * (CHUNKS - 1) + 100)
HASHES = tuple(sha256(DATA[at : at + SIZE]) for at in range(0, len(DATA), SIZE))
SCOPE = Scope(RoundId("fed", "job", 3), sha256(b"manifest"))
NODE, AGGREGATOR = (SigningKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
T = TypeVar("T")


class Bench:
    """One `Uploading` over real blobs, and what its turns asked for."""

    def __init__(self, place: Path) -> None:
        self.journal, self.blobs = MemoryJournal(), Blobs(place)
        self.upload = Upload(SCOPE, self.blobs.put(DATA), len(DATA), SIZE, HASHES)
        self.start()

    def start(self) -> None:
        """Start, or start again: what was on its way is forgotten."""
        self.uploading = Uploading("node-00", NODE, self.blobs)

    def do(self, decide: Callable[[Turn], T]) -> T:
        with self.journal.transaction() as transaction:
            self.turn = Turn(transaction, 0, counted_rng(b"turn"))
            return decide(self.turn)

    def begin(self) -> None:
        self.do(lambda turn: self.uploading.begin(self.upload, "aggregator", turn))

    def receipt(self, index: int, /, key: SigningKey = AGGREGATOR, scope: Scope = SCOPE, **changes: object) -> bool:
        part = DATA[index * SIZE : (index + 1) * SIZE]
        ack = replace(ChunkAck(scope.round, "node-00", index, sha256(part)), **changes)
        body = encode(sign(key, "ChunkAck", scope, "aggregator", "node-00", encode(ack)))
        return self.do(lambda turn: self.uploading.stored(body, "aggregator", AGGREGATOR.public, turn))

    def ask(self) -> ChunksAsked:
        """Let the time without a receipt pass, or a restart happen; return the question."""
        self.do(lambda turn: self.uploading.again("aggregator", turn))
        (asked,) = [effect for effect in self.turn.effects if isinstance(effect, Emit)]
        assert (asked.to, asked.kind) == ("aggregator", "ask-chunks")
        return decode(ChunksAsked, asked.body)

    def answer(self, asked: ChunksAsked, *indices: int) -> None:
        body = encode(ChunksMissing(asked.round, asked.number, indices))
        self.do(lambda turn: self.uploading.missing(body, "aggregator", turn))

    def sent(self) -> dict[int, bytes]:
        """Return the chunks of the last turn, every header verified as the aggregator does."""
        found = {}
        for effect in self.turn.effects:
            if isinstance(effect, Emit) and effect.kind == "chunk":
                signed = decode(Signed, effect.header)
                body = open_signed(signed, NODE.public, "ChunkHeader", SCOPE, uploading.RECEIVER)
                header = decode(ChunkHeader, body)
                assert (header.hash, header.total, header.size) == (sha256(effect.body), len(DATA), SIZE)
                found[header.index] = effect.body
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "blobs")


def test_at_most_a_window_is_on_its_way_and_every_receipt_lets_one_more_go(bench: Bench) -> None:
    bench.begin()
    whole = bench.sent()
    assert list(whole) == list(range(WINDOW))
    for index in range(CHUNKS):
        assert bench.receipt(index) == (index == CHUNKS - 1)
        whole |= bench.sent()
    assert b"".join(whole[index] for index in range(CHUNKS)) == DATA
    assert After(uploading.TIMER, None) in bench.turn.effects


def test_what_the_aggregator_lacks_goes_out_again_as_the_same_bytes_also_after_a_restart(bench: Bench) -> None:
    bench.begin()
    first = bench.sent()
    bench.receipt(1)
    first |= bench.sent()
    asked = bench.ask()
    assert asked.indices == (0, 2, 3, 4, 5, 6, 7, 8)
    bench.answer(asked, 2, 5)
    again = bench.sent()
    assert again == {index: first[index] for index in (2, 5)}
    assert After(uploading.TIMER, uploading.AGAIN) in bench.turn.effects
    bench.start()
    asked = bench.ask()
    assert asked.indices == (0, 2, 3, 4, 5, 6, 7, 8)
    bench.answer(asked, 2, 8)
    assert bench.sent() == {index: first[index] for index in (2, 8)}


def test_a_question_sends_nothing_again_and_is_repeated_until_it_is_answered(bench: Bench) -> None:
    bench.begin()
    asked = bench.ask()
    assert bench.sent() == {}
    assert bench.ask() == asked
    assert After(uploading.TIMER, uploading.AGAIN) in bench.turn.effects
    bench.answer(asked, 3)
    assert list(bench.sent()) == [3]
    bench.answer(asked, 3)
    assert bench.sent() == {}, "the answer to the first question, which came late"
    bench.answer(bench.ask(), 3)
    assert list(bench.sent()) == [3]


@pytest.mark.parametrize("index", [8, 10, CHUNKS, 2**24 - 1])
def test_what_was_not_on_its_way_is_not_sent_because_somebody_says_it_lacks(bench: Bench, index: int) -> None:
    bench.begin()
    bench.answer(bench.ask(), index)
    assert bench.sent() == {}


def test_an_answer_about_another_round_or_a_stored_chunk_means_nothing(bench: Bench) -> None:
    bench.begin()
    asked = bench.ask()
    bench.receipt(0)
    bench.answer(replace(asked, round=RoundId("fed", "job", 2)), 1)
    assert bench.sent() == {}
    bench.answer(asked, 0)
    assert bench.sent() == {}


def test_nothing_is_woken_for_an_upload_that_is_whole(bench: Bench) -> None:
    bench.begin()
    for index in range(CHUNKS):
        bench.receipt(index)
    bench.do(lambda turn: bench.uploading.again("aggregator", turn))
    assert bench.turn.effects == []


@pytest.mark.parametrize(
    "forged",
    [
        {"key": NODE},
        {"scope": Scope(SCOPE.round, NO_DIGEST)},
        {"hash": bytes(32)},
        {"node": "node-01"},
        {"index": CHUNKS},
        {"index": 1},
    ],
)
def test_a_receipt_that_is_not_the_aggregators_for_this_chunk_stores_nothing(
    bench: Bench, forged: dict[str, Any]
) -> None:
    bench.begin()
    # Chunk 0, but for what is forged.
    with pytest.raises(BadSignature):
        bench.receipt(0, **forged)
    assert bench.do(records.find_upload) == bench.upload


def test_receipts_twice_or_of_another_round_mean_nothing(bench: Bench) -> None:
    bench.begin()
    bench.receipt(0)
    assert not bench.receipt(0)
    assert bench.sent() == {}
    assert not bench.receipt(1, scope=Scope(RoundId("fed", "job", 2), SCOPE.manifest))
    upload = bench.do(records.find_upload)
    assert upload is not None
    assert upload.stored == (0,)


def test_the_end_of_a_round_takes_its_upload_along(bench: Bench) -> None:
    bench.begin()
    bench.do(bench.uploading.end)
    (work,) = [effect for effect in bench.turn.effects if isinstance(effect, Run)]
    assert bench.blobs.has(bench.upload.blob)
    work.work()
    assert not bench.blobs.has(bench.upload.blob)
    assert bench.do(records.find_upload) is None
    assert not bench.receipt(1)
    bench.do(lambda turn: bench.uploading.again("aggregator", turn))
    assert bench.turn.effects == []
