"""What leaves: in order within control and within bulk, neither behind the other, and nothing that is withdrawn."""

import asyncio
import io

from secagg.daemon import logs
from secagg.daemon.journal import Outgoing
from secagg.daemon.outbox import Outbox
from secagg.daemon.sending import Sender
from secagg.daemon.turn import Emit
from secagg.transport.link import LIMIT_BODY
from secagg.transport.memory import MemoryLink, MemoryNetwork
from support.memory import MemoryJournal


class Jammed(MemoryLink):
    """A link whose bulk socket takes nothing until it is told to."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        super().__init__(network, name, b"")
        self.open = asyncio.Event()

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        if kind == "chunk" or len(body) > 32_768:
            await self.open.wait()
        await super().send(to, kind, header, body, id=id)


async def play(journal: MemoryJournal, ids: list[bytes]) -> tuple[list[str], list[str]]:
    """Send a jam of bulk and some control messages; return what arrived before and after the jam was over."""
    network = MemoryNetwork()
    peer, link = network.link("peer"), Jammed(network, "role")
    network._add(link)
    errors: list[object] = []
    log = logs.configure("node", "role", file=io.StringIO())
    sender = Sender(link, journal, Outbox(), log, lambda error, **_: errors.append(error), lambda: 7)
    sender.put(Emit("peer", "chunk", b"", b"x"))
    sender.put(Emit("peer", "list", b"", bytes(LIMIT_BODY)))
    sender.put_ids(ids)
    for kind in ("first", "second"):
        sender.put(Emit("peer", kind, b"", b""))
    running = asyncio.create_task(sender.run())

    async def arrived() -> list[str]:
        for _ in range(50):
            await asyncio.sleep(0)
        return [(await peer.receive()).kind for _ in range(len(peer._queue))]

    before = await arrived()
    link.open.set()
    after = await arrived()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert errors == []
    return before, after


def test_control_does_not_wait_for_bulk_and_each_keeps_its_order() -> None:
    before, after = asyncio.run(play(MemoryJournal(), []))
    assert (before, after) == (["first", "second"], ["chunk", "list"])


def test_what_was_withdrawn_while_it_waited_does_not_leave() -> None:
    journal = MemoryJournal()
    with journal.transaction() as transaction:
        transaction.enqueue(Outgoing(b"1" * 16, "peer", "kept", b"", b""))
    before, _ = asyncio.run(play(journal, [b"1" * 16, b"2" * 16]))
    assert before == ["kept", "first", "second"]
