"""Row 65: nothing that others can watch tells when one member was done with its data, or who was before whom.

A round is run twice over a virtual clock. The members train, upload or fail in one order and after other times, and in
the other order. Whoever watches sees names at the end of the step, in the order of the roster. (Status every half
second, events, log lines, the log's statements.) They are the same both times but for the clock and the number that has
come.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from secagg.daemon import logs
from secagg.demo.live import Screen
from secagg.events.line import Event, write
from secagg.events.rounds import Progress, RoundStarted, Waiting
from secagg.ids import EVERYBODY
from secagg.log.statements import DropOut, Refusal, parse_statement
from secagg.protocol import manifest
from secagg.protocol.round.messages import Propose, Refuse
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.entrusted import entrust
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, sign
from support.aggregating import Hall
from support.entrusted import dealt
from support.entrusted_hall import EntrustedHall
from support.federation import counted_rng, job, make

pytestmark = pytest.mark.usefixtures("short_keys")

NAMES = tuple(f"node-{index:02d}" for index in range(4))
UPLOAD = "MaskedInput"


class Slow:
    """A hall in which uploads and leaves reach the aggregator when the test says so."""

    def __init__(self, place: Path) -> None:
        self.stage = Hall(make(4, chunk_bytes=4096), place / "state")
        self.held: dict[str, list[Received]] = {name: [] for name in NAMES}
        self.scope: Scope | None = None
        self.seen: list[Any] = []
        self.lines = io.StringIO()
        logger = logs.configure("aggregator", AGGREGATOR, file=self.lines)
        self.stage.network._fate = self._fate

        def publish(event: Event) -> None:
            self.stage.events.append(event.shown())
            write(logger, event)

        self.stage.daemon._publish = publish  # type: ignore[method-assign]

    def _fate(self, to: str, message: Received) -> list[Received]:
        if message.sender == AGGREGATOR and message.kind == "round" and to == NAMES[0]:
            header = decode(RoundHeader, message.header)
            if header.kind == "Propose":
                proposed = decode(Propose, message.body, LIMIT_BULK).manifest.body
                self.scope = Scope(round=header.round, manifest=manifest.digest(proposed))
        if to != AGGREGATOR or not self._of_data(message):
            return [message]
        self.held[message.sender].append(message)
        return []

    def _of_data(self, message: Received) -> bool:
        return message.kind == "round" and decode(RoundHeader, message.header).kind == UPLOAD

    def refusal(self, name: str, rule: str = "task.nan") -> Received:
        assert self.scope
        leave = sign(self.stage.federation.members[name], "Refuse", self.scope, name, EVERYBODY, encode(Refuse(rule)))
        return Received(name, "round", b"", encode(RoundHeader(self.scope.round, "Refuse")), encode(leave))

    def look(self) -> None:
        for request in ({"command": "status"}, {"command": "job-show", "name": "job"}, {"command": "job-list"}):
            self.seen.append(self.stage.daemon.command(dict(request)))

    async def run(self, times: dict[str, float], failing: tuple[str, ...]) -> None:
        """Let each member be done after its time, in half seconds; who is not named never is."""
        stage = self.stage
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        for half in range(24):
            for name in NAMES:
                if times.get(name) == half / 2:
                    messages = [self.refusal(name)] if name in failing else self.held[name]
                    for message in messages:
                        stage.network.deliver(AGGREGATOR, message)
                    await stage.settle()
            self.look()
            stage.timers.pass_time(0.5)
            await stage.settle()

    def statements(self) -> list[dict[str, Any]]:
        log = self.stage.rounds_log
        return [json.loads(log.leaf(index)) for index in range(log.size)]


def watched(place: Path, times: dict[str, float], failing: tuple[str, ...] = ()) -> Slow:
    slow = Slow(place)
    slow.stage.play(lambda stage: slow.run(times, failing))
    return slow


def known(value: Any, hide: tuple[str, ...] = ()) -> Any:
    """Return what was seen without the clock, digests and what is drawn anew."""
    if isinstance(value, dict):
        gone = ("time", "timestamp", "signature", "since", "until", "seconds", "digest", *hide)
        return {key: known(inner, hide) for key, inner in value.items() if key not in gone}
    return [known(inner, hide) for inner in value] if isinstance(value, list | tuple) else value


Times = dict[str, float]


def after(*times: float | None) -> Times:
    """Return when each member is done, in the order of the roster; None is never."""
    return {name: time for name, time in zip(NAMES, times, strict=True) if time is not None}


ORDERS: dict[str, tuple[Times, Times, tuple[str, ...]]] = {
    "who was first": (after(0, 0.5, 1, 1.5), after(1.5, 1, 0.5, 0), ()),
    "whose task failed when": (after(0, 0.5, 1, 1.5), after(1.5, 1, 0.5, 0), (NAMES[1],)),
    "who is too slow, and who was not": (after(0, 0.5, 1, None), after(1, 0.5, 0, None), ()),
    "two that failed, in one order or the other": (
        after(0, 0.5, 1, 1.5), after(0.5, 1, 0, 1.5), (NAMES[1], NAMES[2]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_what_others_see_is_the_same_whoever_was_done_first(name: str, tmp_path: Path) -> None:
    times, others, failing = ORDERS[name]
    one = watched(tmp_path / "one", times, failing)
    other = watched(tmp_path / "other", others, failing)
    hide = ("upload", "hash")
    lines = [[known(json.loads(line)) for line in run.lines.getvalue().splitlines()] for run in (one, other)]
    assert known(one.stage.events) == known(other.stage.events)
    assert lines[0] == lines[1]
    assert known(one.seen, hide) == known(other.seen, hide)
    kinds = [[statement["type"] for statement in run.statements()] for run in (one, other)]
    assert kinds[0] == kinds[1]
    fields = ("member", "missing", "contributors", "step", "reason", "rule", "time")
    stated = [[[s.get(field) for field in fields] for s in run.statements()] for run in (one, other)]
    assert stated[0] == stated[1]
    assert one.stage.named("progress")
    assert len(one.seen) > 60


def test_names_come_at_the_end_of_the_step_in_the_order_of_the_roster(tmp_path: Path) -> None:
    slow = watched(tmp_path, {NAMES[3]: 0, NAMES[2]: 1, NAMES[0]: 2}, (NAMES[3],))
    events = [event for event in slow.stage.events if event.get("attempt") == 1]
    steps = [(e["institution"], e["state"]) for e in events if (e["event"], e.get("step")) == ("step", UPLOAD)]
    assert steps == [(NAMES[0], "sent"), (NAMES[2], "sent"), (NAMES[3], "refused"), (NAMES[1], "dropped")]
    progress = [event for event in events if event["event"] == "progress"]
    assert [(event["count"], event["total"]) for event in progress] == [(1, 4), (2, 4)]
    assert not any("institution" in event for event in progress)
    log = slow.stage.rounds_log
    statements = [parse_statement(log.leaf(index))[0] for index in range(log.size)]
    told = [(type(s).__name__, s.member) for s in statements if isinstance(s, DropOut | Refusal) and s.attempt == 1]
    assert told == [("Refusal", NAMES[3]), ("DropOut", NAMES[1]), ("DropOut", NAMES[3])]


def test_while_uploads_come_whoever_asks_is_told_their_number(tmp_path: Path) -> None:
    slow = watched(tmp_path, {NAMES[3]: 1, NAMES[0]: 2})
    status = [seen for seen in slow.seen if isinstance(seen, dict) and "members" in seen]
    waits = [seen["waiting"] for seen in status if seen["waiting"] and seen["waiting"]["step"] == UPLOAD]
    assert {tuple(wait["for"]) for wait in waits} == {NAMES}
    assert {4, 3} <= {wait["missing"] for wait in waits}
    running = [seen["round"] for seen in status if seen["round"] and seen["round"].get("step") == UPLOAD]
    assert {tuple(shown["waiting"]) for shown in running} == {NAMES}
    assert all(shown["dropped"] == [] for shown in running)


def test_a_restart_in_the_middle_tells_no_more(tmp_path: Path) -> None:
    slow = Slow(tmp_path)

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        for message in slow.held[NAMES[2]]:
            stage.network.deliver(AGGREGATOR, message)
        await stage.settle()
        before = len(stage.events)
        await stage.restart()
        [wait] = [event for event in stage.events[before:] if event["event"] == "waiting"]
        assert wait["for"] == list(NAMES)

    slow.stage.play(script)


def test_whoever_loads_its_task_is_counted_and_not_named(tmp_path: Path) -> None:
    """Before the first round a member that is here may still be loading its task, which may read the data."""
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")
    stage.network._fate = lambda to, message: [] if (to, message.kind) == (NAMES[1], "announce") else [message]

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        stage.members[NAMES[3]].away = True
        await stage.gather()
        stage.members[NAMES[3]].away = False
        await stage.gather()
        await stage.gather()

    stage.play(script)
    told = [(event["for"], event["missing"]) for event in stage.named("waiting") if event["step"] == "presence"]
    assert ([NAMES[3]], 1) in told, "who is away is named"
    assert told[-1] == ([], 1), "who is here and not ready is counted"


def test_the_picture_shows_how_many_and_not_who(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    drawn.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", drawn)
    monkeypatch.setenv("TERM", "dumb")
    with Screen(NAMES, 1, color=False) as screen:
        screen.show(RoundStarted("j", 1, 1, NAMES))
        screen.show(Waiting("j", 1, 1, UPLOAD, NAMES, missing=4, need=3, since=0, until=0))
        screen.show(Progress("j", 1, 1, UPLOAD, count=3, total=4))
        assert screen._waits() == f"{UPLOAD}: 3 here, need 3, waiting for 1 more"


def test_ciphertexts_come_in_no_order_either(tmp_path: Path) -> None:
    """Engine paillier: the last of the roster is the first to encrypt."""
    key, shares = dealt(3, 2)
    spec = job(NAMES, purpose="sum", bits=64, scalars=())
    federation = entrust(NAMES, spec, key, dict(zip(key.trustees, shares, strict=True)), counted_rng(b"times"))
    stage, held = EntrustedHall(federation, tmp_path / "state"), list[Received]()

    def hold(to: str, message: Received) -> list[Received]:
        of_data = message.kind == "round" and decode(RoundHeader, message.header).kind == "EncryptedInput"
        held.extend([message] if of_data else [])
        return [] if of_data else [message]

    stage.network._fate = hold

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        for message in sorted(held, key=lambda message: message.sender, reverse=True):
            stage.network.deliver(AGGREGATOR, message)
            await stage.settle()

    stage.play(script)
    told = [event for event in stage.events if event.get("step") == "EncryptedInput" and event["event"] != "waiting"]
    assert [(event["event"], event.get("institution", event.get("count"))) for event in told] == [
        *(("progress", count) for count in (1, 2, 3, 4)), *(("step", name) for name in NAMES),
    ]  # fmt: skip
    assert stage.named("job_done")
