"""A turn of the aggregator that cannot be saved has no effect, also none on files and keys."""

from pathlib import Path

from secagg.rehearsal.federation import START_OF_TIME
from support.aggregating import Hall
from support.federation import make


def hall(tmp_path: Path) -> Hall:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")
    for name in ("node-01", "node-03"):
        stage.members[name].silent = "MaskedInput"
    return stage


async def begin(stage: Hall) -> None:
    await stage.push()
    stage.submit()
    await stage.settle()
    await stage.gather()


def uploads(stage: Hall) -> int:
    """Return how many uploads lie there, whole or in part; what is known of their chunks goes with them."""
    return sum(path.is_file() and path.suffix != ".entries" for path in (stage.state / "uploads").rglob("*"))


def test_uploads_outlive_a_round_whose_end_could_not_be_saved(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: Hall) -> None:
        await begin(stage)
        assert uploads(stage) == 2
        stage.journal.writable = False
        await stage.wait(4)
        assert not stage.named("round_aborted")
        assert uploads(stage) == 2
        stage.journal.writable = True
        await stage.wait(4)
        assert stage.named("round_aborted")

    stage.play(script)


def test_the_opening_key_outlives_a_job_whose_end_could_not_be_saved(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    def opening_keys() -> int:
        return len(list((stage.state / "keys").glob("*.key")))

    async def script(stage: Hall) -> None:
        await begin(stage)
        while len(stage.named("round_started")) < 3:
            await stage.wait(0.5)
        stage.journal.writable = False
        await stage.wait(4)
        assert not stage.named("job_failed")
        assert opening_keys() == 1
        stage.journal.writable = True
        await stage.wait(4)
        assert stage.named("job_failed")
        assert opening_keys() == 0

    stage.play(script)


def test_a_start_removes_what_a_crash_left_of_a_round_that_is_over(tmp_path: Path) -> None:
    stage = hall(tmp_path)

    async def script(stage: Hall) -> None:
        await begin(stage)
        assert uploads(stage) == 2
        for stray in ("uploads/" + "ab" * 32, "uploads/partial/job.9.1.0.node-00", "keys/old.opening.key"):
            (stage.state / stray).write_bytes(b"left")
        await stage.restart()
        assert uploads(stage) == 2
        assert [path.name for path in (stage.state / "keys").glob("*.key")] == ["job.opening.key"]

    stage.play(script)


def test_nothing_is_announced_or_proposed_under_a_roster_that_has_expired_by_this_clock(tmp_path: Path) -> None:
    """The simulator's clocks found it: the round would be sound, and every auditor would refuse its manifest."""
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")

    async def script(stage: Hall) -> None:
        await begin_late(stage, days=4000)
        assert not stage.named("round_started")
        assert stage.named("waiting")[-1]["for"] == ["keyserver"]
        stage.daemon._wall = lambda: START_OF_TIME
        await stage.gather()
        await stage.wait(4)
        assert stage.named("job_done")

    stage.play(script)


async def begin_late(stage: Hall, days: int) -> None:
    """Begin a job with a clock that is so many days ahead."""
    await stage.push()
    stage.daemon._wall = lambda: START_OF_TIME + days * 86_400
    stage.submit()
    await stage.settle()
    await stage.gather()
