"""What a node keeps comes back as it was, and says which files it needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from node import records
from node.records import Job, Upload
from secagg.crypto.derive import sha256
from secagg.daemon import participant
from secagg.daemon.lies import KEPT
from secagg.daemon.participant import Refusal, Round
from secagg.daemon.turn import Turn
from secagg.ids import NO_DIGEST, RoundId
from secagg.log.witness import LogProof
from secagg.protocol.session import ResultNotice
from secagg.wire.signed import Scope
from support.federation import counted_rng, make
from support.memory import MemoryJournal

SPEC = make(4, rounds=2).spec
PLACE = RoundId("fed", "job", 1)


@contextmanager
def turn_of(journal: MemoryJournal | None = None, now: int = 7) -> Iterator[Turn]:
    with (journal or MemoryJournal()).transaction() as transaction:
        yield Turn(transaction, now, counted_rng(b"records"))


def digest(name: str) -> bytes:
    return sha256(name.encode())


def test_everything_comes_back_after_a_restart() -> None:
    journal = MemoryJournal()
    job = Job(SPEC, digest("body"), 2, digest("model"), digest("values"), ready=True)
    found = Round(Scope(PLACE, digest("manifest")), "masks", b"sealed", b"answer", b"manifest", 3, 9)
    upload = Upload(found.scope, digest("blob"), 10_000, 4096, (digest("0"), digest("1"), digest("2")), (0, 2))
    refusal = Refusal(PLACE, "rule", "Cause.", "Remedy.")
    with turn_of(journal) as turn:
        assert (records.current(turn), records.find_upload(turn), participant.find_refusal(turn)) == (None, None, None)
        assert (records.active(turn), records.all_jobs(turn), participant.find_since(turn)) == (None, [], 0)
        records.put_job(turn, job)
        participant.put_round(turn, found)
        records.put_upload(turn, upload)
        participant.put_refusal(turn, refusal)
        participant.put_since(turn)
        turn.put(records.ACTIVE, b"job")
    with turn_of(journal.reopened()) as turn:
        assert (records.find_job(turn, "job"), records.active(turn), records.all_jobs(turn)) == (job, job, [job])
        assert records.find_job(turn, "jo") is None
        assert (records.current(turn), records.find_upload(turn)) == (found, upload)
        assert (participant.find_refusal(turn), participant.find_since(turn)) == (refusal, 7)


def test_a_job_is_over_after_its_last_round_and_changes_are_kept() -> None:
    with turn_of() as turn:
        job = records.put_job(turn, Job(SPEC, NO_DIGEST), next_round=2)
        assert (job.over, records.find_job(turn, "job")) == (False, job)
        assert records.put_job(turn, job, next_round=3).over


def test_what_is_in_use_is_every_blob_of_a_job_the_upload_and_evidence() -> None:
    notice = ResultNotice(PLACE, digest("awaited"), 1, NO_DIGEST, b"", LogProof(0, b"", (), 0, ()))
    with turn_of() as turn:
        assert records.blobs_in_use(turn) == set()
        job = Job(SPEC, NO_DIGEST, model=digest("model"), published=digest("sum"), awaited=notice)
        records.put_job(turn, job, state=digest("state"))
        records.put_upload(turn, Upload(Scope(PLACE, NO_DIGEST), digest("upload"), 1, 4096, (digest("0"),)))
        turn.put(f"{KEPT}{digest('lie').hex()}", b"")
        wanted = {digest(name) for name in ("model", "sum", "awaited", "state", "upload", "lie")}
        assert records.blobs_in_use(turn) == wanted


def test_the_upload_on_its_way_goes_with_the_label_of_its_round() -> None:
    upload = Upload(Scope(PLACE, NO_DIGEST), digest("upload"), 1, 4096, (digest("0"),))
    with turn_of() as turn:
        records.put_upload(turn, upload)
        assert [key for key, _ in turn.scan("upload")] == ["upload/job.1.1.0"]
        records.drop_upload(turn, upload)
        assert records.find_upload(turn) is None
