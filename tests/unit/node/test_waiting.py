"""Every wait of a node has its sentence: for whom, for what, since when, until when."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from msgspec.structs import replace

from node import records
from node.records import Job, Upload
from node.waiting import waiting
from secagg.crypto.derive import sha256
from secagg.daemon.answers import written
from secagg.daemon.booting import Boot
from secagg.daemon.participant import Round, put_since
from secagg.daemon.turn import Turn
from secagg.daemon.waits import Waiting
from secagg.ids import NO_DIGEST, RoundId
from secagg.log.witness import LogProof
from secagg.protocol.masks.phases import Answered, Phase
from secagg.protocol.round.phases import Over
from secagg.protocol.session import ResultNotice
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, Signed
from support.federation import counted_rng, make
from support.memory import MemoryJournal

SPEC = make(4, rounds=2).spec
PLACE = RoundId("fed", "job", 1)
SCOPE = Scope(PLACE, NO_DIGEST)
ROUND = Round(SCOPE, "masks", since=100, until=700)
JOB = Job(SPEC, NO_DIGEST, ready=True)
NOTICE = ResultNotice(PLACE, sha256(b"1"), 1, NO_DIGEST, b"", LogProof(0, b"", (), 0, ()))


@contextmanager
def turn_of() -> Iterator[Turn]:
    with MemoryJournal().transaction() as transaction:
        turn = Turn(transaction, 50, counted_rng(b"waiting"))
        put_since(turn)
        yield turn


@pytest.mark.parametrize(
    ("job", "known", "whom", "what"),
    [
        (None, False, "keyserver", "the first roster"),
        (None, True, "aggregator", "a job"),
        (replace(JOB, ready=False), True, "aggregator", "the first model of job"),
        (JOB, True, "aggregator", "round 1 of job, which begins when its members are there"),
        (replace(JOB, awaited=NOTICE), True, "aggregator", "the result of round 1 of job"),
        (replace(JOB, next_round=3), True, "aggregator", "a job"),
    ],
)
def test_outside_of_rounds_it_lasts_as_long_as_it_takes(job: Job | None, known: bool, whom: str, what: str) -> None:
    with turn_of() as turn:
        assert waiting(None, None, job, known, turn) == Waiting(whom, what, 50)


@pytest.mark.parametrize(
    ("state", "whom", "what"),
    [
        ("asking", "keyserver", "word that this is the newest start of this node"),
        ("fenced", "nobody", "this is an old copy of the node, which takes part in nothing any more"),
        ("held", "aggregator", "a job"),
    ],
)
def test_a_start_waits_for_the_key_server_first(state: Literal["asking", "fenced"], whom: str, what: str) -> None:
    with turn_of() as turn:
        turn.put("boot", encode(Boot(1, 1, bytes(32), state)))
        assert waiting(None, None, None, True, turn) == Waiting(whom, what, 50)


@pytest.mark.parametrize(
    ("phase", "what"),
    [
        (Answered(SCOPE, Signed("Unmask", "node-00", "*", b"", bytes(64))), "the result"),
        (Over(SCOPE, "closed"), "the end of the round"),
        (None, "the end of the round"),
    ],
)
def test_inside_a_round_it_ends_with_the_rounds_time(phase: Phase | None, what: str) -> None:
    with turn_of() as turn:
        assert waiting(ROUND, phase, JOB, True, turn) == Waiting("aggregator", what, 100, 700)


def test_an_upload_says_how_far_it_is() -> None:
    with turn_of() as turn:
        records.put_upload(turn, Upload(SCOPE, NO_DIGEST, 4096 * 3 - 5, 4096, (NO_DIGEST,) * 3, (0, 2)))
        assert "2 chunks so far" in waiting(ROUND, None, JOB, True, turn).what
        records.put_upload(turn, Upload(SCOPE, NO_DIGEST, 4096 * 3 - 5, 4096, (NO_DIGEST,) * 3, (0, 2, 1)))
        assert waiting(ROUND, None, JOB, True, turn).what == "the end of the round"


def test_a_wait_reads_as_one_line() -> None:
    shown = Waiting("aggregator", "the result", 1_700_000_000, 1_700_000_125)
    line = "aggregator: the result, since 2023-11-14 22:13:20Z"
    assert shown.sentence(1_700_000_000) == f"{line}, 02:05 left"
    assert shown.sentence(1_700_009_999) == f"{line}, 00:00 left"
    assert replace(shown, until=None).sentence(0) == line
    assert written(shown)["for"] == "aggregator"
