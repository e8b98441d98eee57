"""A ward whose institutions live an ordinary life: time passes in days, members are gone and come back, persons type.

What a person types, at an institution or at the aggregator, is a command of the admin socket; it reads the answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aggregator.answers import AggregatorStatus, JobDetail
from node.answers import NodeStatus
from node.config import OwnTask
from secagg.daemon.answers import read
from secagg.log.statements import sign_statement
from secagg.protocol.session import ResultNotice
from secagg.rehearsal.federation import AGGREGATOR
from secagg.roster.messages import RosterPush
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from support.bound import trains
from support.bundles import next_roster
from support.federation import make
from support.nodes import Ward

HOUR = 3600.0


def ward_of(tmp_path: Path, count: int = 4, rate: float = 0.1, **policy: object) -> Ward:
    """Return a federation whose institutions sum, and train a line, with this policy."""
    ward = Ward(make(count, chunk_bytes=4096), tmp_path)
    trains(ward, rate, ("learn",))
    for index, node in enumerate(ward.nodes.values()):
        own = node.tasks["learn"]
        node.tasks["learn"] = OwnTask("learn", own.spec, node.place / "points.txt", own.options)
        node.tasks["learn"].data.write_text(node.data.read_text())
        node.data.write_text(str(2.0**index))
        node.policy = replace(node.policy, **policy)  # type: ignore[arg-type]
    return ward


async def days(ward: Ward, count: float) -> None:
    """Let days pass an hour at a time: for waits between rounds, of which nothing else comes."""
    for _ in range(round(24 * count)):
        for node in ward.nodes.values():
            if node.alive:
                node.timers.jump(HOUR)
        ward.timers.jump(HOUR)
        await ward.settle()


class Held:
    """A federation that holds still after a round: nobody hears of its result until `go`."""

    def __init__(self, ward: Ward, job: str, after: int) -> None:
        self._ward, self._job, self._after, self._held = ward, job, after, True
        whole = ward.network._fate

        def fate(to: str, message: Received) -> Sequence[Received]:
            if self._held and message.kind == "result":
                found = decode(ResultNotice, message.body, LIMIT_BULK).round
                if found.job == job and found.round >= after:
                    return ()
            return whole(to, message)

        ward.network._fate = fate

    async def reached(self) -> None:
        """Wait until the round is closed."""
        for _ in range(240):
            if len([event for event in self._ward.named("round_closed") if event["job"] == self._job]) >= self._after:
                return
            await self._ward.wait(0.5)
        raise AssertionError("the round never closed")

    def go(self) -> None:
        """Let results be heard again."""
        self._held = False


async def until(ward: Ward, count: int, job: str, seconds: int = 120) -> None:
    """Let time pass until a job has closed so many rounds, or is over."""
    for _ in range(2 * seconds):
        over = [event for event in (*ward.named("job_done"), *ward.named("job_failed")) if event["job"] == job]
        if over or len([event for event in ward.named("round_closed") if event["job"] == job]) >= count:
            return
        await ward.wait(0.5)
    raise AssertionError(f"{job} did not get on")


async def revoke(ward: Ward, name: str) -> None:
    """Let the key server's operator take a member out of the roster."""
    signed, statement = next_roster(ward.federation, lambda member: None if member.name == name else member)
    directory = ward.federation.directory
    index = directory.append(sign_statement(statement, "keyserver", ward.federation.online))
    directory.publish()
    body = encode(RosterPush(signed, directory.leaf(index), encode(directory.prove(index, index))))
    for place, to in enumerate((AGGREGATOR, *(other for other in ward.nodes if other != name))):
        await ward.keyserver.send(to, "roster", b"", body, id=bytes([2, place]) * 8)
    await ward.settle()


def allow(ward: Ward, job: str, *names: str) -> None:
    """Let a person at each of these institutions type `secagg node allow JOB --overlap`."""
    for name in names:
        ward.nodes[name].daemon.command({"command": "allow", "job": job, "overlap": True, "confirmed": True})


def shown(ward: Ward, job: str) -> dict[str, Any]:
    """Return what `secagg job show` says."""
    found: Any = ward.daemon.command({"command": "job-show", "name": job})
    read(found, JobDetail)
    return dict(found)


def status(ward: Ward, name: str) -> dict[str, Any]:
    """Return what `secagg node status` says at an institution."""
    found: Any = ward.nodes[name].daemon.command({"command": "status"})
    read(found, NodeStatus)
    return dict(found)


def waits(ward: Ward) -> dict[str, Any]:
    """Return for whom the aggregator waits, and why."""
    found: Any = ward.daemon.command({"command": "status"})
    read(found, AggregatorStatus)
    return dict(found["waiting"] or {})
