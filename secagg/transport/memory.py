"""Links inside one process: the same contract as over ZeroMQ, without sockets; for tests, simulation and one-page runs.

Rules: as over the broker, the network stamps the sender, drops what it cannot deliver and tells nobody; a revoked name
gets no byte through. Leaves to others: loss, doubling and reordering (a `Fate` given by the test).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence

from secagg.errors import PeerUnavailable
from secagg.transport.link import BROKER, CONNECTED, CONNECTING, REFUSED, Received, check_size, guest_name
from secagg.transport.routing import write_routing

Fate = Callable[[str, Received], Sequence[Received]]
"""What becomes of a message to a name: a list of what is delivered now, one by default, none when lost."""

BACKLOG = 1000
"""Messages that wait for one receiver; more are dropped, as by a broker whose peer does not read."""


def _deliver_once(to: str, message: Received) -> Sequence[Received]:
    return (message,)


class MemoryNetwork:
    """All links of one process; `up` false is a broker that is away."""

    def __init__(self, fate: Fate = _deliver_once) -> None:
        self.up = True
        self.dropped: Counter[str] = Counter()
        self._fate = fate
        self._links: dict[str, MemoryLink] = {}
        self._revoked: set[str] = set()

    def link(self, name: str) -> "MemoryLink":
        """Return the link of `name`; a second one takes the place of the first, as after a restart."""
        return self._add(MemoryLink(self, name, b""))

    def guest(self, curve_key: bytes) -> "MemoryLink":
        """Return the link of somebody who is not enrolled and holds this CURVE key (32 bytes)."""
        return self._add(MemoryLink(self, guest_name(curve_key), curve_key))

    def revoke(self, name: str) -> None:
        """Cut `name` off."""
        self._revoked.add(name)

    def state(self, link: "MemoryLink") -> str:
        """Return the state of a link."""
        if link.name in self._revoked:
            return REFUSED
        return CONNECTED if self.up and self._links.get(link.name) is link else CONNECTING

    def relay(self, to: str, message: Received) -> None:
        """Give `message` to `to`, or drop it."""
        if to == BROKER:
            self._answer(message)
            return
        for copy in self._fate(to, message):
            self.deliver(to, copy)

    def deliver(self, to: str, message: Received) -> None:
        """Put one copy into the queue of `to`, now."""
        link = self._links.get(to)
        if link is None or to in self._revoked:
            self.dropped["unreachable"] += 1
        elif not link.put(message):
            self.dropped["full"] += 1

    def forget(self, link: "MemoryLink") -> None:
        """Take a closed link out."""
        if self._links.get(link.name) is link:
            del self._links[link.name]

    def _add(self, link: "MemoryLink") -> "MemoryLink":
        self._links[link.name] = link
        return link

    def _answer(self, message: Received) -> None:
        if message.kind == "ping":
            self.deliver(message.sender, Received(BROKER, "pong", message.id, b"", b""))
        else:
            self.dropped["kind"] += 1


class MemoryLink:
    """One party's end of a `MemoryNetwork`; a `Link`."""

    def __init__(self, network: MemoryNetwork, name: str, curve_key: bytes) -> None:
        self.name = name
        self._network = network
        self._curve_key = curve_key
        self._queue: deque[Received] = deque()
        self._changed: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def state(self) -> str:
        """Return `connected`, `connecting` or `refused: …`."""
        return self._network.state(self)

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        """Hand one message to the network. Raises: BadInput, PeerUnavailable (see `Link.send`)."""
        check_size(header, body, guest=bool(self._curve_key))
        write_routing(to, kind, id)
        if self._closed or self.state != CONNECTED:
            raise PeerUnavailable(f"Nothing can be sent to {to}: {self.state}.", "Start the broker, or check the key.")
        # As the broker does: nothing of a guest is durable.
        kept = b"" if self._curve_key else id
        self._network.relay(to, Received(self.name, kind, kept, bytes(header), bytes(body), self._curve_key))

    async def receive(self) -> Received:
        """Wait for the next message. Raises: PeerUnavailable once the link is closed."""
        while not self._queue:
            if self._closed:
                raise PeerUnavailable("The link is closed.", "Open a new one.")
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
        return self._queue.popleft()

    def at_hand(self) -> Received | None:
        """Return the next message if it is here already."""
        return self._queue.popleft() if self._queue else None

    async def close(self) -> None:
        """Leave the network."""
        self._closed = True
        self._network.forget(self)
        self._wake()

    def put(self, message: Received) -> bool:
        """Queue a message that arrived; False when too many wait."""
        if len(self._queue) >= BACKLOG:
            return False
        self._queue.append(message)
        self._wake()
        return True

    def _wake(self) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(None)
