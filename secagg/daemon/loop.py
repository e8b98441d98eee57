"""The shell of every role: receive → advance → save → send. Nothing leaves before it is saved.

An event (a message, a timer, finished work, a command) is one turn: the service decides, the journal commits, and only
then effects happen. Turns are plain functions on the loop's thread, so two of them never mix.

Rules: a durable message (16-byte id) is acknowledged after its commit and handled once, however often it comes; an
error of the service rolls its turn back, is logged, and the daemon goes on; a peer's faulty message is acknowledged, so
that it does not come again, but one that met a full disk (TryLater, OSError) is not. An outcome or a timer that met a
full disk is tried again. Leaves to others: order and age of unacknowledged messages (outbox), decisions (Service).
Source: transport "Crash rules", architecture "The shape of the core".
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from secagg.crypto.rng import Rng, system_rng
from secagg.daemon import clock
from secagg.daemon.admin import Admin
from secagg.daemon.journal import Journal, Outgoing
from secagg.daemon.logs import FIELDS
from secagg.daemon.outbox import Outbox
from secagg.daemon.turn import After, Effect, Emit, Event, Run, Service, Turn, Withdrawn
from secagg.errors import BadInput, PeerUnavailable, ProtocolViolation, SecaggError, TryLater
from secagg.transport.link import Link, Received

__all__ = ["Daemon", "Service", "Turn"]

ACK = "ack"
"""Kind of the shell's acknowledgement: the id of the message, no header, no body."""

TICK = 1.0
"""Seconds; a message is sent again after outbox.PATIENCE ticks without an answer, that is every two seconds."""

AGAIN = 2.0
"""Seconds until an event is tried again that could not be saved."""

REMEMBER = 30 * 86_400
"""Seconds that a handled message is remembered: far longer than any peer goes on sending it."""

_NOT_NOW = (TryLater, OSError, MemoryError)
"""What may work when it is tried again: the fault is this machine's, not the message's."""


class Handle(Protocol):
    """A timer that can be dropped."""

    def cancel(self) -> None:
        """Drop it."""


Later = Callable[[float, Callable[[], None]], Handle]
"""How timers are set: seconds and what to do; a virtual clock in tests."""


class Daemon:
    """One service, its journal and its link; `serve` runs until `stop`."""

    def __init__(
        self,
        link: Link,
        journal: Journal,
        service: Service,
        executor: Executor,
        logger: Any,
        admin: Path | None = None,
        *,
        ready: Callable[[], None] = lambda: None,
        later: Later | None = None,
        wall: Callable[[], int] = clock.wall,
        rng: Rng = system_rng,
    ) -> None:
        self._link, self._journal, self._service, self._executor = link, journal, service, executor
        self._log, self._ready, self._wall, self._rng = logger, ready, wall, rng
        self._admin = Admin(admin, self.command) if admin else None
        self._later = later or self._call_later
        self._timers: dict[str, Handle] = {}
        self._outbox = Outbox()
        self._queue: deque[Emit | bytes] = deque()
        self._queued = asyncio.Event()
        self._stopping = asyncio.Event()
        self._unreached: dict[str, int] = {}
        self._link_state = ""
        self._bytes = {"sent_bytes": 0, "received_bytes": 0}

    async def serve(self) -> None:
        """Run until `stop`; then close the admin socket, the link and the journal. Work under way is abandoned.

        Raises: what `start` of the service raised, or the failure of a task of the loop.
        """
        tasks: list[asyncio.Task[Any]] = []
        try:
            await self._open()
            tasks += [asyncio.create_task(work) for work in (self._receive(), self._send(), self._stopping.wait())]
            self._ready()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._close(tasks)

    async def _open(self) -> None:
        self._journal.forget(self._wall() - REMEMBER)
        for message in self._journal.pending():
            self._queue_ids(self._outbox.add(message.id, message.to, message.kind))
        self._carry_out(self._advance(self._service.start))
        self._schedule_tick()
        if self._admin:
            await self._admin.open()

    def stop(self) -> None:
        """End `serve`; may be called from a signal handler of the loop."""
        self._stopping.set()

    async def _close(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._stopping.set()
        for handle in self._timers.values():
            handle.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._admin:
            await self._admin.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        await self._link.close()
        self._journal.close()

    def _call_later(self, seconds: float, act: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(seconds, act)

    # Turns ---------------------------------------------------------------------------------------------------------

    def _advance(self, decide: Callable[[Turn], object], sender: str = "", id: bytes = b"") -> Turn:
        """Let the service decide and save it; return the turn, whose effects may now happen."""
        with self._journal.transaction() as transaction:
            turn = Turn(transaction, self._wall(), self._rng, sender)
            decide(turn)
            if id:
                transaction.mark_handled(sender, id, turn.now())
        return turn

    def _take(self, message: Received) -> None:
        """Handle one message from the link."""
        sender, id = message.sender, message.id
        try:
            if message.kind == ACK:
                if self._journal.acknowledge(id, sender):
                    self._queue_ids(self._outbox.remove(id))
                return
            if not (id and self._known(sender, id)):
                self._carry_out(self._advance(lambda turn: self._service.receive(message, turn), sender, id))
        except _NOT_NOW as error:
            self._failed(error, peer=sender, kind=message.kind)
            return
        except Exception as error:
            self._failed(error, peer=sender, kind=message.kind)
        if id:
            self._put(Emit(sender, ACK, b"", b"", id))

    def _known(self, sender: str, id: bytes) -> bool:
        with self._journal.transaction() as transaction:
            return transaction.handled(sender, id)

    def _local(self, decide: Callable[[Turn], object], name: str) -> None:
        """Handle a timer or an outcome; if it cannot be saved now, try again."""
        if self._stopping.is_set():
            return
        try:
            self._carry_out(self._advance(decide))
        except _NOT_NOW as error:
            self._failed(error, entry=name)
            self._later(AGAIN, lambda: self._local(decide, name))
        except Exception as error:
            self._failed(error, entry=name)

    def command(self, request: dict[str, object]) -> object:
        """Answer one request of the admin socket; `link` is the shell's own, the rest is the service's.

        Raises: what the service raised; its turn is rolled back.
        """
        if request.get("command") == "link":
            waiting, unreached = self._outbox.waiting(), dict(self._unreached)
            watchers = self._admin.watchers if self._admin else 0
            state = self._link.state
            shown: dict[str, object] = {"link": state, "unacknowledged": waiting, "unreached": unreached}
            return shown | {"watchers": watchers, **self._bytes}
        answers: list[object] = []
        self._carry_out(self._advance(lambda turn: answers.append(self._service.command(request, turn))))
        return answers[0]

    def _failed(self, error: BaseException, **where: str) -> None:
        if isinstance(error, SecaggError):
            self._log.warning("refuse", code=error.code, cause=error.cause, remedy=error.remedy, **where)
        else:
            self._log.error("fail", exc_info=error, **where)

    # Effects -------------------------------------------------------------------------------------------------------

    def _carry_out(self, turn: Turn) -> None:
        for effect in turn.effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Outgoing(id=id, to=to, kind=kind):
                self._queue_ids(self._outbox.add(id, to, kind))
            case Withdrawn(ids):
                self._queue_ids([due for id in ids for due in self._outbox.remove(id)])
            case Emit():
                self._put(effect)
            case After(name, seconds):
                self._set_timer(name, seconds)
            case Run(name, work):
                self._start_work(name, work)
            case Event(values):
                self._publish(values)

    def _publish(self, values: dict[str, object]) -> None:
        known = {key: value for key, value in values.items() if key in FIELDS and key != "event"}
        log = self._log.warning if "rule" in values or "cause" in values else self._log.info
        log(str(values.get("event", "event")), **known)
        if self._admin:
            self._admin.publish(values)

    def _set_timer(self, name: str, seconds: float | None) -> None:
        old = self._timers.pop(name, None)
        if old:
            old.cancel()
        if seconds is not None:
            self._timers[name] = self._later(seconds, lambda: self._ring(name))

    def _ring(self, name: str) -> None:
        self._timers.pop(name, None)
        self._local(lambda turn: self._service.wake(name, turn), name)

    def _start_work(self, name: str, work: Callable[[], object]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._executor, _outcome, work)
        future.add_done_callback(lambda done: self._finish(name, done))

    def _finish(self, name: str, done: asyncio.Future[object]) -> None:
        if done.cancelled():
            return
        outcome = done.result()
        self._local(lambda turn: self._service.finished(name, outcome, turn), name)

    # The link ------------------------------------------------------------------------------------------------------

    def _schedule_tick(self) -> None:
        self._timers[""] = self._later(TICK, self._tick)

    def _tick(self) -> None:
        self._queue_ids(self._outbox.tick())
        if self._link.state != self._link_state:
            self._link_state = self._link.state
            self._log.info("change_link", state=self._link_state)
        if not self._stopping.is_set():
            self._schedule_tick()

    def _queue_ids(self, ids: list[bytes]) -> None:
        for id in ids:
            if id not in self._queue:
                self._put(id)

    def _put(self, item: Emit | bytes) -> None:
        self._queue.append(item)
        self._queued.set()

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._link.receive()
            except SecaggError as error:
                self._failed(error)
                await asyncio.sleep(TICK)
                continue
            self._bytes["received_bytes"] += len(message.header) + len(message.body)
            self._take(message)
            # A link with a full queue never waits: let timers and sending have their turn.
            await asyncio.sleep(0)

    async def _send(self) -> None:
        while True:
            while self._queue:
                item = self._queue.popleft()
                message = self._journal.outgoing(item) if isinstance(item, bytes) else item
                if message:
                    await self._hand_over(message)
            self._queued.clear()
            await self._queued.wait()

    async def _hand_over(self, message: Outgoing | Emit) -> None:
        to, kind = message.to, message.kind
        try:
            await self._link.send(to, kind, message.header, message.body, id=message.id)
        except PeerUnavailable as error:
            if to not in self._unreached:
                self._unreached[to] = self._wall()
                self._log.warning("wait_for_peer", peer=to, kind=kind, since=self._unreached[to], cause=error.cause)
        except (BadInput, ProtocolViolation) as error:
            # The link will never take this message: keeping it would hold up everything behind it.
            self._failed(error, peer=to, kind=kind)
            if isinstance(message, Outgoing):
                with suppress(TryLater):
                    self._journal.acknowledge(message.id, to)
                self._queue_ids(self._outbox.remove(message.id))
        except SecaggError as error:
            self._failed(error, peer=to, kind=kind)
        else:
            self._bytes["sent_bytes"] += len(message.header) + len(message.body)
            if to in self._unreached:
                self._log.info("reach_peer", peer=to, since=self._unreached.pop(to))


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except Exception as error:
        return error
