"""Row 68: a round that is over before its task has failed, so that nobody would count what failed.

An aggregator may end an attempt at any moment, and propose the next one while the task still works. An update that did
not fail serves every attempt, and is uploaded at once; one that failed would be computed anew. So whoever ends attempts
in time would see which of the two it was, as often as it likes. The institution works slower here than rounds end.
"""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from attacks.test_68_refusals import ENGINES, Chosen, sums
from secagg.protocol.acceptance import Policy
from support.aggregating import Inline

pytestmark = pytest.mark.usefixtures("short_keys")


class Slow(Inline):
    """Does the next piece of work at once, which holds a job against its task, and what comes then not before `work`.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.begun = False
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return a future that is done, or will be."""
        if not self.begun:
            self.begun = True
            return super().submit(work, *args, **kwargs)
        future: Future[Any] = Future()
        self.held.append((future, lambda: work(*args, **kwargs)))
        return future

    def work(self) -> None:
        """Do all that waits."""
        held, self.held = self.held, []
        for future, work in held:
            future.set_result(work())


def counted(chosen: Chosen) -> list[tuple[str, int]]:
    """Return in which jobs rounds failed at the institution, and how many of each kind."""
    found: Any = chosen.victim.daemon.command({"command": "ledger"})
    return [(",".join(one["jobs"]), one["rounds"]) for one in found["failures"]]


async def ended_meanwhile(chosen: Chosen, name: str) -> None:
    """Submit a job whose rounds end while the institution still works, and let it go on with its work then."""
    slow = Slow()
    chosen.victim.daemon._executor = slow
    chosen.ask(name=name, length=7)
    for _ in range(10):
        await chosen.ward.gather()
        await chosen.ward.wait(2)
    assert chosen.worked(name)
    assert [event["job"] for event in chosen.ward.named("job_failed")] == [name]
    slow.work()
    await chosen.ward.wait(2)


@ENGINES
def test_what_fails_after_its_round_is_over_is_counted(tmp_path: Path, engine: str) -> None:
    """Two others never take part, so every attempt ends at once: all of them are one round."""
    chosen = Chosen(tmp_path, engine, sums("raise ValueError('row 17 of ward 3')"))
    for name in ("node-00", "node-01"):
        chosen.ward.nodes[name].policy = Policy(min_nodes=9)

    async def script(chosen: Chosen) -> None:
        await chosen.ward.gather()
        await ended_meanwhile(chosen, "first")
        assert counted(chosen) == [("first", 1)]

    chosen.play(script)
    assert chosen.rules("first") == []


@ENGINES
def test_what_did_not_fail_is_not_counted(tmp_path: Path, engine: str) -> None:
    chosen = Chosen(tmp_path, engine, sums("return np.ones(7)"))
    for name in ("node-00", "node-01"):
        chosen.ward.nodes[name].policy = Policy(min_nodes=9)

    async def script(chosen: Chosen) -> None:
        await chosen.ward.gather()
        await ended_meanwhile(chosen, "first")
        assert counted(chosen) == []

    chosen.play(script)
