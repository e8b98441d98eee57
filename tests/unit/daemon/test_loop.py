"""The shell over the in-memory link: once, saved before sent, and going on whatever happens."""

import asyncio
import errno
import io
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from secagg.crypto.rng import system_rng
from secagg.daemon import admin, drill, logs
from secagg.daemon.answers import Answer
from secagg.daemon.journal import SqliteJournal
from secagg.daemon.loop import AGAIN, FAULTY, GROUP, Daemon, Turn
from secagg.daemon.storage import Storage
from secagg.errors import BadInput, PeerUnavailable, ProtocolViolation, TryLater
from secagg.events.members import Source
from secagg.transport.link import Received
from secagg.transport.memory import MemoryNetwork
from support.arriving import drain, settle
from support.memory import MemoryJournal
from support.timers import VirtualTimers


class Inline(ThreadPoolExecutor):
    """Does the work at once, so that a test needs no waiting."""

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future


def explode() -> object:
    raise ZeroDivisionError


FAULTS: dict[str, Callable[[], Exception]] = {
    "violate": lambda: ProtocolViolation("The peer is wrong."),
    "later": lambda: TryLater("Not now."),
    "fail": lambda: ValueError("a bug"),
    "full": lambda: OSError(errno.ENOSPC, "the disk"),
}
"""What handling a message of a kind raises, after it has written and sent."""


class Rounds(Answer, frozen=True):
    """What the service answers."""

    rounds: int


class Counting:
    """Counts what reaches it and does what the message's kind says."""

    def __init__(self) -> None:
        self.outcomes: list[object] = []
        self.faults: list[OSError] = []

    def write(self) -> object:
        if self.faults:
            raise self.faults.pop()
        return "written"

    def start(self, turn: Turn) -> None:
        self.write()
        turn.put("starts", bytes([len(turn.get("starts") or b"")]))

    def receive(self, message: Received, turn: Turn) -> None:
        turn.put(f"got/{len(turn.scan('got/')):03}", message.header)
        turn.send("peer", "answer", message.header)
        turn.emit("peer", "once", message.header)
        if message.kind in FAULTS:
            raise FAULTS[message.kind]()
        match message.kind:
            case "timer":
                turn.after("bell", 10)
            case "quiet":
                turn.cancel("bell")
            case "work":
                turn.run("double", lambda: 42)
                turn.run("explode", explode)
            case "write":
                turn.run("write", self.write)

    def wake(self, name: str, turn: Turn) -> None:
        turn.send("peer", "rang", name.encode())

    def finished(self, name: str, outcome: object, turn: Turn) -> None:
        self.outcomes.append(outcome)
        turn.put(f"done/{name}", type(outcome).__name__.encode())

    def command(self, request: dict[str, object], turn: Turn) -> Rounds:
        if request["command"] == "refuse":
            turn.put("refused", b"")
            raise BadInput("No.", "Ask otherwise.", code="E-NO")
        turn.put("commanded", b"")
        turn.tell(Source(str(request["command"]), ""))
        return Rounds(len(turn.scan("got/")))


class Stage:
    """A daemon named `role` and one peer, whose messages the tests write by hand."""

    def __init__(
        self, journal: MemoryJournal | None = None, socket: Path | None = None, asks: bool = False,
        storage: Storage | None = None,
    ) -> None:  # fmt: skip
        self.lost: list[Received] = []
        self.losing: Callable[[Received], bool] = lambda message: False
        self.network = MemoryNetwork(self._fate)
        self.peer = self.network.link("peer")
        self.journal = journal or MemoryJournal()
        self.timers = VirtualTimers()
        self.service = Counting()
        self.log = io.StringIO()
        self.daemon = Daemon(
            self.network.link("role"),
            self.journal,
            self.service,
            Inline(1),
            logs.configure("node", "role", file=self.log),
            socket,
            later=self.timers.later,
            wall=lambda: 1_000_000,
            rng=system_rng,
            storage=storage,
            asks=asks,
        )

    def _fate(self, to: str, message: Received) -> Sequence[Received]:
        if self.losing(message):
            self.lost.append(message)
            return ()
        return (message,)

    def play(self, script: Callable[["Stage"], Awaitable[None]]) -> "Stage":
        async def main() -> None:
            serving = asyncio.create_task(self.daemon.serve())
            await settle()
            try:
                await script(self)
            finally:
                self.daemon.stop()
                await serving

        asyncio.run(main())
        return self

    async def say(self, kind: str, header: bytes = b"", id: bytes = b"") -> None:
        await self.peer.send("role", kind, header, id=id)
        await settle()

    async def say_at_once(self, *messages: tuple[str, bytes, bytes]) -> None:
        """Messages (kind, header, id) that all wait when the daemon looks."""
        for kind, header, id in messages:
            await self.peer.send("role", kind, header, id=id)
        await settle()

    async def heard(self) -> list[tuple[str, bytes]]:
        """Everything that reached the peer by now: kind, and the header or, for an acknowledgement, the id."""
        return [(got.kind, got.id if got.kind == "ack" else got.header) for got in await drain(self.peer)]

    def kept(self) -> list[str]:
        with self.journal.transaction() as transaction:
            return [key for key, _ in transaction.scan("") if key != "starts"]

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


ID = b"i" * 16


def test_a_message_is_kept_answered_and_acknowledged() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"x", ID)
        assert await stage.heard() == [("answer", b"x"), ("once", b"x"), ("ack", ID)]

    assert Stage().play(script).kept() == ["got/000"]


def test_a_repeated_message_is_acknowledged_again_and_handled_once() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"x", ID)
        await stage.heard()
        await stage.say("plain", b"x", ID)
        assert await stage.heard() == [("ack", ID)]

    stage = Stage().play(script)
    assert stage.kept() == ["got/000"]
    again = Stage(stage.journal.reopened())
    assert again.play(lambda stage: stage.say("plain", b"x", ID)).kept() == ["got/000"]


def test_a_message_without_id_is_handled_each_time_and_not_acknowledged() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"x")
        await stage.say("plain", b"y")
        assert await stage.heard() == [("answer", b"x"), ("once", b"x"), ("once", b"y")]

    assert Stage().play(script).kept() == ["got/000", "got/001"]


def test_nothing_leaves_before_it_is_saved() -> None:
    async def script(stage: Stage) -> None:
        stage.journal.writable = False
        await stage.say("plain", b"x", ID)
        await stage.say("plain", b"y")
        assert await stage.heard() == [("retry-later", b""), ("retry-later", b"")]
        stage.journal.writable = True
        stage.timers.pass_time(AGAIN)
        await stage.say("plain", b"x", ID)
        assert await stage.heard() == [("answer", b"x"), ("once", b"x"), ("ack", ID)]

    stage = Stage().play(script)
    assert stage.kept() == ["got/000"]
    assert {line["code"] for line in stage.logged() if line["event"] == "refuse"} == {"E-DISK"}


@pytest.mark.parametrize(("kind", "event"), [("violate", "refuse"), ("fail", "fail")])
def test_an_error_rolls_back_is_acknowledged_and_the_daemon_goes_on(kind: str, event: str) -> None:
    async def script(stage: Stage) -> None:
        await stage.say(kind, b"x", ID)
        assert await stage.heard() == [("ack", ID)]
        assert stage.kept() == []
        await stage.say("plain", b"y")
        assert await stage.heard() == [("answer", b"y"), ("once", b"y")]

    stage = Stage().play(script)
    assert event in [line["event"] for line in stage.logged()]


def test_what_is_too_early_comes_again() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("later", b"x", ID)
        assert await stage.heard() == []
        await stage.say("plain", b"x", ID)
        assert (await stage.heard())[-1] == ("ack", ID)

    Stage().play(script)


def test_a_durable_message_is_sent_again_until_it_is_acknowledged() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"x")
        (first,) = [got for got in await drain(stage.peer) if got.kind == "answer"]
        stage.timers.pass_time(2)
        assert await drain(stage.peer) == [first]
        await stage.say("ack", id=b"another id, same")
        stage.timers.pass_time(2)
        assert await drain(stage.peer) == [first]
        await stage.say("ack", id=first.id)
        stage.timers.pass_time(10)
        assert await drain(stage.peer) == []
        assert stage.journal.pending() == []

    Stage().play(script)


def test_messages_to_one_peer_keep_their_order_when_one_is_lost() -> None:
    async def script(stage: Stage) -> None:
        stage.losing = lambda message: message.kind == "answer" and not stage.lost
        await stage.say("plain", b"1")
        await stage.say("plain", b"2")
        assert await stage.heard() == [("once", b"1"), ("once", b"2")]
        stage.timers.pass_time(2)
        (first,) = await drain(stage.peer)
        await stage.say("ack", id=first.id)
        (second,) = await drain(stage.peer)
        assert (first.header, second.header) == (b"1", b"2")

    Stage().play(script)


def test_the_outbox_is_taken_up_after_a_restart() -> None:
    stage = Stage().play(lambda stage: stage.say("plain", b"x"))
    (kept,) = stage.journal.pending()

    async def script(stage: Stage) -> None:
        assert [(got.id, got.header) for got in await drain(stage.peer)] == [(kept.id, b"x")]

    Stage(stage.journal.reopened()).play(script)


def test_another_peer_cannot_acknowledge() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"x")
        (kept,) = stage.journal.pending()
        await stage.network.link("thief").send("role", "ack", b"", id=kept.id)
        await settle()
        assert stage.journal.pending() == [kept]

    Stage().play(script)


def test_waiting_for_a_peer_is_said_once() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"x")
        stage.network.up = False
        stage.timers.pass_time(10)
        await settle()
        stage.timers.pass_time(10)
        await settle()
        stage.network.up = True
        stage.timers.pass_time(2)
        await settle()

    told = [(line["event"], line["peer"]) for line in Stage().play(script).logged() if "peer" in line]
    assert told == [("wait_for_peer", "peer"), ("reach_peer", "peer")]


def test_a_timer_rings_once_and_can_be_cancelled() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("timer")
        stage.timers.pass_time(9)
        assert len(stage.journal.pending()) == 1
        stage.timers.pass_time(1)
        assert [message.kind for message in stage.journal.pending()] == ["answer", "rang"]
        await stage.say("timer")
        await stage.say("quiet")
        stage.timers.pass_time(60)
        assert [message.kind for message in stage.journal.pending()].count("rang") == 1

    Stage().play(script)


def test_a_timer_that_meets_an_error_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What sets itself anew, or ends a step, is not lost by it: a round would wait for ever."""

    def wake(service: Counting, name: str, turn: Turn) -> None:
        turn.send("peer", "never", b"")
        if next(faults, None):
            raise ValueError("a bug")
        turn.send("peer", "rang", name.encode())

    faults = iter([True, True, False])
    monkeypatch.setattr(Counting, "wake", wake)

    async def script(stage: Stage) -> None:
        await stage.say("timer", b"x")
        stage.timers.pass_time(11)
        await settle()
        assert [message.kind for message in stage.journal.pending()] == ["answer"]
        for _ in range(2):
            stage.timers.pass_time(FAULTY)
            await settle()
        assert [message.kind for message in stage.journal.pending()] == ["answer", "never", "rang"]
        stage.timers.pass_time(10 * FAULTY)
        await settle()
        assert [message.kind for message in stage.journal.pending()].count("rang") == 1

    stage = Stage().play(script)
    assert [line["event"] for line in stage.logged()].count("fail") == 2


def test_a_timer_that_meets_a_full_disk_rings_again() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("timer")
        stage.journal.writable = False
        stage.timers.pass_time(10)
        stage.journal.writable = True
        stage.timers.pass_time(2 * AGAIN)
        assert [message.kind for message in stage.journal.pending()] == ["answer", "rang"]

    Stage().play(script)


def test_outcomes_of_work_come_back_as_values_or_exceptions() -> None:
    stage = Stage().play(lambda stage: stage.say("work"))
    assert stage.service.outcomes[0] == 42
    assert isinstance(stage.service.outcomes[1], ZeroDivisionError)
    assert stage.kept() == ["done/double", "done/explode", "got/000"]


def test_work_is_not_done_when_its_turn_is_not_saved() -> None:
    async def script(stage: Stage) -> None:
        stage.journal.writable = False
        await stage.say("work")

    assert Stage().play(script).service.outcomes == []


def test_a_service_that_cannot_start_ends_the_daemon() -> None:
    journal = MemoryJournal()
    journal.writable = False
    stage = Stage(journal)
    with pytest.raises(TryLater):
        asyncio.run(stage.daemon.serve())
    with pytest.raises(PeerUnavailable, match="Nothing can be sent"):
        asyncio.run(stage.daemon._link.send("peer", "kind", b""))


def test_a_service_that_a_full_disk_keeps_from_starting_may_be_started_again(tmp_path: Path) -> None:
    # The journal is not the only thing that a start writes: a node destroys the keys that a crash left of its rounds.
    stage = Stage(storage=Storage(journal := MemoryJournal(), lambda: 7, tmp_path), journal=journal)
    stage.daemon._storage.reserve()
    stage.service.faults = [OSError(errno.ENOSPC, "No space left on device")]
    with pytest.raises(TryLater, match="No space left on device") as caught:
        asyncio.run(stage.daemon.serve())
    assert (caught.value.code, caught.value.exit_code) == ("E-DISK", 75)
    assert list(tmp_path.iterdir()) == []  # the reserve is given back for what the journal still has to write
    assert stage.kept() == []


def test_what_no_disk_can_help_is_not_taken_for_a_full_one() -> None:
    stage = Stage()
    stage.service.faults = [FileNotFoundError(errno.ENOENT, "No such file")]
    with pytest.raises(FileNotFoundError):
        asyncio.run(stage.daemon.serve())


def test_a_person_asks_at_the_admin_socket(tmp_path: Path) -> None:
    path = tmp_path / admin.SOCKET

    async def script(stage: Stage) -> None:
        assert path.stat().st_mode & 0o777 == 0o600
        events = await asyncio.to_thread(admin.watch, path)
        watching = asyncio.create_task(asyncio.to_thread(next, events))
        assert await asyncio.to_thread(admin.call, path, {"command": "status"}) == {"rounds": 0}
        assert await watching == Source("status", "")
        link = await asyncio.to_thread(admin.call, path, {"command": "link"})
        quiet: dict[str, object] = {"read_only": None, "silent": {}, "put_off": []}
        quiet |= {"sent_bytes": 0, "received_bytes": 0}
        assert link == {"link": "connected", "unacknowledged": {}, "unreached": {}, "watchers": 1, **quiet}
        events.close()
        with pytest.raises(Exception, match=r"No\. Ask otherwise\.") as caught:
            await asyncio.to_thread(admin.call, path, {"command": "refuse"})
        assert (getattr(caught.value, "code", ""), getattr(caught.value, "exit_code", 0)) == ("E-NO", 64)

    assert Stage(socket=path).play(script).kept() == ["commanded"]
    assert not path.exists()
    with pytest.raises(PeerUnavailable, match="No daemon answers"):
        admin.call(path, {"command": "status"})


def test_a_role_whose_disk_is_full_decides_nothing_says_so_and_comes_back() -> None:
    async def script(stage: Stage) -> None:
        stage.journal.writable = False
        await stage.say("plain", b"x", ID)
        assert stage.daemon.command({"command": "link"})["read_only"] == 1_000_000  # type: ignore[index]
        for _ in range(3):
            stage.timers.pass_time(AGAIN)
            await stage.say("plain", b"x", ID)
        assert await stage.heard() == [("retry-later", b"")] * 4
        stage.journal.writable = True
        # Until the probe has written, nothing is tried: a small message may pass where a chunk does not.
        await stage.say("plain", b"x", ID)
        assert await stage.heard() == [("retry-later", b"")]
        stage.timers.pass_time(AGAIN)
        assert stage.daemon.command({"command": "link"})["read_only"] is None  # type: ignore[index]
        await stage.say("plain", b"x", ID)
        assert (await stage.heard())[-1] == ("ack", ID)

    told = [line["event"] for line in Stage().play(script).logged() if line["event"] in ("read_only", "writable")]
    assert told == ["read_only", "writable"]


def test_a_peer_whose_disk_is_full_is_shown_while_it_says_so() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("retry-later", id=ID)
        await stage.say("retry-later", id=ID)
        assert stage.daemon.command({"command": "link"})["put_off"] == ["peer"]  # type: ignore[index]
        assert await stage.heard() == []
        stage.timers.pass_time(6)
        assert stage.daemon.command({"command": "link"})["put_off"] == []  # type: ignore[index]

    assert [line["event"] for line in Stage().play(script).logged()].count("put_off") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_work_that_a_disk_kept_from_being_done_is_done_later_and_never_taken_for_failed(number: int) -> None:
    async def script(stage: Stage) -> None:
        stage.service.faults = [OSError(number, "the disk")]
        await stage.say("write")
        assert stage.service.outcomes == []
        stage.timers.pass_time(AGAIN)
        await settle()
        assert stage.service.outcomes == ["written"]

    Stage().play(script)


def test_other_faults_of_work_are_its_outcome() -> None:
    async def script(stage: Stage) -> None:
        stage.service.faults = [FileNotFoundError(errno.ENOENT, "no data")]
        await stage.say("write")
        assert [type(outcome) for outcome in stage.service.outcomes] == [FileNotFoundError]
        assert stage.daemon.command({"command": "link"})["read_only"] is None  # type: ignore[index]

    Stage().play(script)


def test_a_command_that_cannot_be_saved_says_which_disk_and_reading_goes_on() -> None:
    async def script(stage: Stage) -> None:
        stage.journal.writable = False
        with pytest.raises(TryLater, match="disk is full") as caught:
            stage.daemon.command({"command": "do"})
        assert caught.value.code == "E-DISK"
        assert stage.daemon.command({"command": "link"})["read_only"] == 1_000_000  # type: ignore[index]

    Stage().play(script)


def test_a_peer_that_falls_silent_is_asked_and_noticed_within_eight_seconds() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("quiet")
        await drain(stage.peer)
        stage.timers.pass_time(2)
        assert ("ask-alive", b"") in await stage.heard()
        stage.timers.pass_time(5)
        assert stage.daemon.command({"command": "link"})["silent"] == {"peer": 7}  # type: ignore[index]
        await stage.say("alive")
        assert stage.daemon.command({"command": "link"})["silent"] == {}  # type: ignore[index]

    stage = Stage(asks=True).play(script)
    told = [(line["event"], line["peer"]) for line in stage.logged() if line["event"] in ("silent", "heard")]
    assert told == [("silent", "peer"), ("heard", "peer")]


def test_a_peer_that_asks_is_answered_without_a_turn() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("ask-alive")
        assert await stage.heard() == [("alive", b"")]

    assert Stage().play(script).kept() == []


# What waits together --------------------------------------------------------------------------------------------------

IDS = [bytes([number]) * 16 for number in range(9)]


def test_messages_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    done: list[str] = []

    async def script(stage: Stage) -> None:
        await stage.say("plain", b"before")
        (kept,) = journal.pending()
        await drain(stage.peer)
        journal._db.set_trace_callback(done.append)
        ids = [number.to_bytes(16, "big") for number in range(1, 2 * GROUP)]
        await stage.say_at_once(("ack", b"", kept.id), *(("plain", id, id) for id in ids))
        journal._db.set_trace_callback(None)
        heard = await drain(stage.peer)
        assert [got.id for got in heard if got.kind == "ack"] == ids
        assert kept.id not in [message.id for message in journal.pending()]
        assert len(stage.kept()) == 2 * GROUP

    Stage(cast(Any, journal)).play(script)
    writes = [line for line in done if line.startswith(("INSERT", "DELETE"))]
    assert len(writes) > 2 * 2 * GROUP
    assert [done.count(line) for line in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")] == [2, 2, 0]
    # Nothing was written outside of the two: SQLite would have committed it by itself.
    between = False
    for line in done:
        between = line == "BEGIN IMMEDIATE" or (between and line != "COMMIT")
        assert between or line not in writes


def test_a_turn_that_fails_in_a_group_is_dropped_alone() -> None:
    async def script(stage: Stage) -> None:
        kinds = ("plain", "fail", "violate", "later", "plain")
        await stage.say_at_once(*((kind, b"%d" % place, IDS[place]) for place, kind in enumerate(kinds)))
        heard = await stage.heard()
        assert [id for kind, id in heard if kind == "ack"] == [IDS[0], IDS[1], IDS[2], IDS[4]]
        assert [header for kind, header in heard if kind == "once"] == [b"0", b"4"]

    stage = Stage().play(script)
    assert stage.kept() == ["got/000", "got/001"]
    assert [message.header for message in stage.journal.pending()] == [b"0", b"4"]


def test_a_message_that_comes_twice_in_one_group_is_handled_once() -> None:
    async def script(stage: Stage) -> None:
        await stage.say_at_once(("plain", b"x", ID), ("plain", b"x", ID))
        assert await stage.heard() == [("answer", b"x"), ("once", b"x"), ("ack", ID), ("ack", ID)]

    assert Stage().play(script).kept() == ["got/000"]


def test_a_group_that_cannot_be_saved_is_put_off_and_nothing_of_it_happens() -> None:
    async def script(stage: Stage) -> None:
        await stage.say("plain", b"before")
        (kept,) = stage.journal.pending()
        await drain(stage.peer)
        stage.journal.writable = False
        work = (("work", b"", IDS[1]), ("timer", b"", IDS[2]), ("violate", b"", IDS[3]))
        await stage.say_at_once(("ack", b"", kept.id), *work)
        put_off = [(got.kind, got.id) for got in await drain(stage.peer)]
        assert put_off == [("retry-later", id) for id in (kept.id, *IDS[1:4])]
        assert stage.service.outcomes == []
        assert stage.journal.pending() == [kept]
        stage.journal.writable = True
        stage.timers.pass_time(10)
        assert stage.journal.pending() == [kept], "no timer of the group rings"
        await stage.say_at_once(("ack", b"", kept.id), *work)
        acks = [got.id for got in await drain(stage.peer) if got.kind == "ack"]
        assert acks == IDS[1:4]

    stage = Stage().play(script)
    assert stage.kept() == ["done/double", "done/explode", "got/000", "got/001", "got/002"]
    assert [line["event"] for line in stage.logged()].count("read_only") == 1


def test_what_follows_a_fault_of_the_disk_in_a_group_is_put_off_and_what_came_before_is_kept() -> None:
    async def script(stage: Stage) -> None:
        await stage.say_at_once(("plain", b"1", IDS[1]), ("full", b"2", IDS[2]), ("plain", b"3", IDS[3]))
        heard = [(got.kind, got.id) for got in await drain(stage.peer) if got.kind in ("ack", "retry-later")]
        assert sorted(heard) == [("ack", IDS[1]), ("retry-later", IDS[2]), ("retry-later", IDS[3])]

    assert Stage().play(script).kept() == ["got/000"]


class Dead(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize(("place", "kept"), [("before-save/plain@2", 0), ("after-save/plain@1", 3)])
def test_a_daemon_that_dies_in_a_group_has_kept_all_of_it_or_nothing_and_sent_nothing(
    place: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(process: int, signal: int) -> None:
        raise Dead

    async def script(stage: Stage) -> None:
        await stage.say_at_once(*(("plain", b"x", id) for id in IDS[:3]))

    monkeypatch.setattr(os, "kill", die)
    monkeypatch.setattr(drill, "_armed", [drill.parse(place)])
    stage = Stage()
    with pytest.raises(Dead):
        stage.play(script)
    again = Stage(stage.journal.reopened())
    assert len(again.kept()) == kept
    assert len(stage.peer._queue) == 0
