"""A node whose disk refuses a turn goes on where it was once the disk takes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secagg.daemon.journal import Transaction
from secagg.errors import TryLater
from support.federation import make
from support.memory import MemoryJournal
from support.nodes import Ward


class RefusesOnce(MemoryJournal):
    """A journal whose disk is full when the last key under `prefix` is to be removed for the first time."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix, self.refused = prefix, False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as working:
            had = bool(working.scan(self.prefix))
            yield working
            if had and not working.scan(self.prefix) and not self.refused:
                self.refused = True
                raise TryLater("disk is full", code="E-DISK")


def test_a_verdict_that_could_not_be_saved_is_given_again(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    journal = ward.nodes["node-01"].journal = RefusesOnce("spot/")

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=2)
        await ward.wait(16)
        await ward.stop_nodes()

    ward.play(main)
    assert journal.refused
    assert ward.named("job_done")
    assert [(event["round"], event["state"]) for event in ward.nodes["node-01"].named("spot")] == [
        (1, "holds"), (2, "holds"),
    ]  # fmt: skip
