"""The shell of every role: receive → advance → save → send. Nothing leaves before it is saved.

An event (a message, a timer, finished work, a command) is one turn: the service decides, the journal commits, and only
then effects happen. Turns are plain functions on the loop's thread, so two of them never mix. Messages that wait on
the link share one commit (ADR 13): each is a turn that fails alone; nothing is waited for.

Rules: a durable message (16-byte id) is acknowledged after its commit and handled once, however often it comes. An
error of the service rolls its turn back, is logged, and the daemon goes on. A peer's faulty message is acknowledged, so
that it does not come again, but one that met a full disk (TryLater, OSError) is answered `retry-later`. An outcome, a
timer or work that met a full disk waits until the disk is back (storage). A timer that met another error rings again in
half a minute. A peer that says nothing is noticed within eight seconds (liveness). Leaves to others: order and age of
unacknowledged messages (outbox), decisions (Service). Source: docs/transport.md "Crash rules".
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from secagg.crypto.rng import Rng, system_rng
from secagg.daemon import answers, clock, drill, requests
from secagg.daemon.admin import Admin
from secagg.daemon.clock import Handle, Later
from secagg.daemon.faults import explained, fault
from secagg.daemon.journal import Journal, Outgoing
from secagg.daemon.liveness import ALIVE, ASK, SILENT_AFTER, Liveness
from secagg.daemon.outbox import Outbox
from secagg.daemon.sending import Sender
from secagg.daemon.storage import Storage
from secagg.daemon.turn import After, Effect, Emit, Run, Service, Tell, Turn, Withdrawn
from secagg.errors import SecaggError, TryLater
from secagg.events import federation as told
from secagg.events import lines
from secagg.events.line import Event, write
from secagg.transport.link import CONNECTED, Link, Received

__all__ = ["Daemon", "Service", "Turn"]

ACK = "ack"
"""Kind of the shell's acknowledgement: the id of the message, no header, no body."""

PUT_OFF = "retry-later"
"""Kind of the shell's answer while its disk takes nothing: the id of the message, no header, no body."""

TICK = 1.0
"""Seconds; a message is sent again after outbox.PATIENCE ticks without an answer, that is after two seconds."""

AGAIN = 2.0
"""Seconds until an event is tried again that could not be saved."""

TIMER, FAULTY = "timer.", 30.0
"""Of a timer's turn: how its name begins, and seconds until it rings again if it met an error. No deadline is lost."""

GROUP = 32
"""Messages under one commit at most, so that timers, answers and a person never wait for more than these."""

REMEMBER = 30 * 86_400
"""Seconds that a handled message is remembered: far longer than any peer goes on sending it."""

_NOT_NOW = (TryLater, OSError, MemoryError)
"""What may work when it is tried again: the fault is this machine's, not the message's."""

_SILENCE = "It has said nothing for six seconds: it is frozen, or its link is broken."
_FULL = "Its disk takes nothing now; it is told again until it can."


class _Taken(NamedTuple):
    """A message of a group: whose it is, the name of its turn if it had one, what happens once the group is saved."""

    sender: str
    id: bytes
    what: str
    effects: list[Effect]


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
        storage: Storage | None = None,
        asks: bool = False,
    ) -> None:
        self._link, self._journal, self._service, self._executor = link, journal, service, executor
        self._log, self._ready, self._wall, self._rng = logger, ready, wall, rng
        self._admin = Admin(admin, self.command) if admin else None
        self._storage = storage or Storage(journal, wall)
        self._peers, self._asks = Liveness(), asks
        self._later = later or self._call_later
        self._timers: dict[str, Handle] = {}
        self._outbox = Outbox()
        self._sender = Sender(link, journal, self._outbox, logger, self._failed, wall)
        self._stopping = asyncio.Event()
        self._link_state = ""
        self._received_bytes = 0

    async def serve(self) -> None:
        """Run until `stop`; then close the admin socket, the link and the journal. Work under way is abandoned.

        Raises: what `start` of the service raised, or the failure of a task of the loop.
        """
        tasks: list[asyncio.Task[Any]] = []
        try:
            await self._open()
            works = (self._receive(), self._sender.run(), self._stopping.wait())
            tasks += [asyncio.create_task(work) for work in works]
            self._ready()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._close(tasks)

    async def _open(self) -> None:
        self._journal.forget(self._wall() - REMEMBER)
        for message in self._journal.pending():
            self._sender.put_ids(self._outbox.add(message.id, message.to, message.kind))
        with self._storage.needed():
            self._carry_out(self._advance(self._service.start, "start"))
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
        self._storage.release()
        self._journal.close()

    def _call_later(self, seconds: float, act: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(seconds, act)

    # Turns ---------------------------------------------------------------------------------------------------------

    def _advance(self, decide: Callable[[Turn], object], what: str) -> list[Effect]:
        """Let the service decide and save it; return the effects, which may now happen."""
        effects = self._decide(decide, what)
        drill.reach("after-save", what)
        return effects

    def _decide(self, decide: Callable[[Turn], object], what: str, sender: str = "", id: bytes = b"") -> list[Effect]:
        """Let the service decide, in a transaction of its own or within the group; return the effects it asks for."""
        with self._journal.transaction() as transaction:
            turn = Turn(transaction, self._wall(), self._rng, sender)
            decide(turn)
            if id:
                transaction.mark_handled(sender, id, turn.now())
            drill.reach("before-save", what)
        return turn.effects

    def _take_group(self, first: Received) -> None:
        """Handle a message and those that wait behind it under one commit, and only then do what they ask for."""
        taken: list[_Taken] = []
        try:
            with self._journal.group():
                for message in chain((first,), islice(iter(self._link.at_hand, None), GROUP - 1)):
                    self._received_bytes += len(message.header) + len(message.body)
                    taken += self._take(message)
        except Exception as error:
            self._failed(error)
            for sender, id, _, _ in taken if fault(error) else ():
                self._sender.put(Emit(sender, PUT_OFF, b"", b"", id))
            return
        for what in (done.what for done in taken if done.what):
            drill.reach("after-save", what)
        for done in taken:
            try:
                self._carry_out(done.effects)
            except Exception as error:
                self._failed(error, peer=done.sender)

    def _take(self, message: Received) -> list[_Taken]:
        """Handle one message from the link; return what happens once it is saved, nothing when it need not be."""
        sender, id = message.sender, message.id
        if self._peers.heard(sender):
            self._sender.put_ids(self._outbox.heard(sender))
            self._publish(told.Heard(sender))
        if message.kind in (ASK, ALIVE):
            if message.kind == ASK:
                self._sender.put(Emit(sender, ALIVE, b"", b""))
        elif message.kind == PUT_OFF:
            if self._peers.put_off(sender):
                self._publish(told.PutOff(sender, _FULL))
        elif self._storage.read_only:
            self._sender.put(Emit(sender, PUT_OFF, b"", b"", id))
        else:
            return self._acknowledged(sender, id) if message.kind == ACK else self._handle(message)
        return []

    def _acknowledged(self, sender: str, id: bytes) -> list[_Taken]:
        try:
            known = self._journal.acknowledge(id, sender)
        except TryLater as error:
            self._failed(error, peer=sender, kind=ACK)
            return []
        return [_Taken(sender, id, "", [Withdrawn([id])])] if known else []

    def _handle(self, message: Received) -> list[_Taken]:
        sender, id, what = message.sender, message.id, ""
        effects: list[Effect] = []
        try:
            if not (id and self._known(sender, id)):
                label = drill.label(message)
                effects = self._decide(lambda turn: self._service.receive(message, turn), label, sender, id)
                what = label
        except _NOT_NOW as error:
            self._failed(error, peer=sender, kind=message.kind)
            if fault(error):
                self._sender.put(Emit(sender, PUT_OFF, b"", b"", id))
            return []
        except Exception as error:
            self._failed(error, peer=sender, kind=message.kind)
        acknowledgement = [Emit(sender, ACK, b"", b"", id)] if id else []
        return [_Taken(sender, id, what, [*effects, *acknowledgement])]

    def _known(self, sender: str, id: bytes) -> bool:
        with self._journal.transaction() as transaction:
            return transaction.handled(sender, id)

    def _local(self, decide: Callable[[Turn], object], name: str) -> None:
        """Handle a timer or an outcome; if it cannot be saved now, try again."""
        if self._stopping.is_set():
            return
        try:
            if not self._storage.read_only:
                self._carry_out(self._advance(decide, name.partition("/")[0]))
                return
        except _NOT_NOW as error:
            self._failed(error, entry=name)
        except Exception as error:
            self._failed(error, entry=name)
            timer = name.removeprefix(TIMER)
            if timer != name and timer not in self._timers:
                self._set_timer(timer, FAULTY)
            return
        self._later(AGAIN, lambda: self._local(decide, name))

    def command(self, request: dict[str, object]) -> object:
        """Answer a request of the admin socket in JSON values; `link` is the shell's own, the rest is the service's.

        Raises: what the service raised; its turn is rolled back.
        """
        if requests.asks_for(request, requests.Link):
            here = (self._link.state, self._outbox.waiting(), dict(self._sender.unreached), self._storage.since)
            peers = (self._admin.watchers if self._admin else 0, self._peers.silent, self._peers.cannot_save)
            return answers.written(answers.LinkShown(*here, *peers, self._sender.bytes, self._received_bytes))
        found: list[object] = []
        what = f"command.{request.get(requests.TAG)}"
        try:
            self._carry_out(self._advance(lambda turn: found.append(self._service.command(request, turn)), what))
        except _NOT_NOW as error:
            if fault(error):
                self._failed(error, command=what)
            raise explained(error) or error from None
        return answers.written(found[0])

    def _failed(self, error: BaseException, **where: str) -> None:
        if self._storage.take(error):
            self._publish(told.ReadOnly(self._storage.cause, self._storage.since or self._wall()))
            self._later(AGAIN, self._probe)
        if isinstance(error, SecaggError):
            write(self._log, lines.RefuseMessage(error.code, error.cause, error.remedy, **where))
        else:
            write(self._log, lines.Failed(**where), error)

    def _probe(self) -> None:
        """Look whether the disk is back; what waited goes on by itself."""
        if self._stopping.is_set():
            return
        since = self._storage.since
        if self._storage.recovered():
            self._publish(told.Writable(since or self._wall()))
        else:
            self._later(AGAIN, self._probe)

    # Effects -------------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Outgoing(id=id, to=to, kind=kind):
                self._sender.put_ids(self._outbox.add(id, to, kind))
            case Withdrawn(ids):
                self._sender.put_ids([due for id in ids for due in self._outbox.remove(id)])
            case Emit():
                self._sender.put(effect)
            case After(name, seconds):
                self._set_timer(name, seconds)
            case Run(name, work):
                self._start_work(name, work)
            case Tell(event):
                self._publish(event)

    def _publish(self, event: Event) -> None:
        write(self._log, event)
        if self._admin:
            self._admin.publish(event)

    def _set_timer(self, name: str, seconds: float | None) -> None:
        old = self._timers.pop(name, None)
        if old:
            old.cancel()
        if seconds is not None:
            self._timers[name] = self._later(seconds, lambda: self._ring(name))

    def _ring(self, name: str) -> None:
        self._timers.pop(name, None)
        self._local(lambda turn: self._service.wake(name, turn), f"{TIMER}{name}")

    def _start_work(self, name: str, work: Callable[[], object]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._executor, _outcome, work)
        future.add_done_callback(lambda done: self._finish(name, work, done))

    def _finish(self, name: str, work: Callable[[], object], done: asyncio.Future[object]) -> None:
        if done.cancelled():
            return
        outcome = done.result()
        if isinstance(outcome, BaseException) and fault(outcome):
            # No outcome of this work: it was kept from it, and is done when the disk is back.
            self._failed(outcome, entry=name)
            self._later(AGAIN, lambda: self._do_again(name, work))
            return
        self._local(lambda turn: self._service.finished(name, outcome, turn), f"work.{name}")

    def _do_again(self, name: str, work: Callable[[], object]) -> None:
        if self._stopping.is_set():
            return
        if self._storage.read_only:
            self._later(AGAIN, lambda: self._do_again(name, work))
        else:
            self._start_work(name, work)

    # The link ------------------------------------------------------------------------------------------------------

    def _schedule_tick(self) -> None:
        self._timers[""] = self._later(TICK, self._tick)

    def _tick(self) -> None:
        self._sender.put_ids(self._outbox.tick())
        asked, silent = self._peers.tick()
        for peer in asked if self._asks else ():
            self._sender.put(Emit(peer, ASK, b"", b""))
        for peer in silent if self._asks else ():
            self._publish(told.Silent(peer, self._wall() - SILENT_AFTER, _SILENCE))
        if self._link.state != self._link_state:
            self._link_state = self._link.state
            write(self._log, lines.ChangeLink(self._link_state))
            if self._link_state == CONNECTED:
                self._sender.put_ids(self._outbox.heard())
        if not self._stopping.is_set():
            self._schedule_tick()

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._link.receive()
            except SecaggError as error:
                self._failed(error)
                await asyncio.sleep(TICK)
                continue
            self._take_group(message)
            # A link with a full queue never waits: let timers and sending have their turn.
            await asyncio.sleep(0)


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except Exception as error:
        return error
