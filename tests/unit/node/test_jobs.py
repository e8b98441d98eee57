"""What a job makes of work that comes late or twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node import records
from node.inputs import Inputs
from node.jobs import Jobs
from node.records import Job
from node.work import Stepped, Work
from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs
from secagg.daemon.following import Follower, Own
from secagg.daemon.membership import Pin
from secagg.daemon.turn import Turn
from secagg.ids import NO_DIGEST, RoundId
from secagg.log.witness import LogProof
from secagg.protocol.acceptance import Policy
from secagg.protocol.session import ResultNotice
from support.federation import counted_rng, make
from support.memory import MemoryInputs, MemoryJournal

SPEC = make(4, rounds=3).spec


@contextmanager
def turn_of(journal: MemoryJournal) -> Iterator[Turn]:
    with journal.transaction() as transaction:
        yield Turn(transaction, 0, counted_rng(b"jobs"))


def jobs(tmp_path: Path) -> Jobs:
    blobs = Blobs(tmp_path / "blobs")
    follower = Follower(Own("node-00", "node", bytes(32)), Pin(SPEC.federation, "sha256:00"))
    ledger, rng = MemoryInputs(), counted_rng(b"work")
    inputs = Inputs(ledger, Policy(), {}, SPEC.federation, "sha256:00", rng)
    return Jobs("node-00", follower, blobs, Work({}, blobs, rng, tmp_path / "tables", ledger.keys), inputs)


def notice(number: int) -> ResultNotice:
    place = RoundId(SPEC.federation, SPEC.name, number)
    return ResultNotice(place, sha256(b"%d" % number), 1, NO_DIGEST, b"leaf", LogProof(0, b"", (), 0, ()))


def test_a_result_computed_twice_is_not_taken_in_as_the_next_one(tmp_path: Path) -> None:
    """A slow machine is told a result again while it still computes; the second outcome comes in the round after."""
    journal, taking = MemoryJournal(), jobs(tmp_path)
    first = Stepped(notice(1).published, b"1" * 32, b"d" * 32)
    with turn_of(journal) as turn:
        records.put_job(turn, Job(SPEC, NO_DIGEST, next_round=1, ready=True, awaited=notice(1)))
        assert taking.finished(f"result/{SPEC.name}", first, turn) is not None
        job = taking.job(SPEC.name, turn)
        assert (job.next_round, job.model, job.awaited) == (2, b"1" * 32, None)
        records.put_job(turn, job, awaited=notice(2))
        assert taking.finished(f"result/{SPEC.name}", first, turn) is None
        assert taking.job(SPEC.name, turn).next_round == 2
        second = Stepped(notice(2).published, b"2" * 32, b"e" * 32)
        assert taking.finished(f"result/{SPEC.name}", second, turn) is not None
        assert taking.job(SPEC.name, turn).model == b"2" * 32
