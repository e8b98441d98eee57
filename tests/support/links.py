"""The contract that every `Link` keeps, over whatever it runs; one set of cases for memory and for ZeroMQ."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from secagg.transport.link import REFUSED, Link
from secagg.transport.memory import MemoryNetwork
from secagg.transport.zmq_link import GuestLink
from support.brokers import Authority, dialled, key_of, make_broker, push_roster, running, secret_of, until

MEMBERS = ("cleveland", "hungary")


@dataclass
class Parties:
    """The key server, two members and a guest of one network, and what the test does to it."""

    keyserver: Link
    cleveland: Link
    hungary: Link
    guest: Link
    revoke_hungary: Callable[[], Awaitable[None]]
    dropped: Callable[[], int]


World = Callable[[], AbstractAsyncContextManager[Parties]]


@asynccontextmanager
async def memory_world() -> AsyncIterator[Parties]:
    """Links inside this process."""
    network = MemoryNetwork()

    async def revoke() -> None:
        network.revoke("hungary")

    keyserver, cleveland, hungary = (network.link(name) for name in ("keyserver", *MEMBERS))
    guest = network.guest(key_of("stranger"))
    yield Parties(keyserver, cleveland, hungary, guest, revoke, network.dropped.total)
    for link in (keyserver, cleveland, hungary, guest):
        await link.close()


@asynccontextmanager
async def zmq_world() -> AsyncIterator[Parties]:
    """Links over sockets on loopback, with a broker between them."""
    authority = Authority()
    broker = make_broker(authority=authority)
    async with running(broker) as bound, dialled(bound, "keyserver") as (keyserver,):
        await push_roster(keyserver, authority.roster("keyserver", *MEMBERS))
        async with dialled(bound, *MEMBERS) as (cleveland, hungary):
            guest = GuestLink(bound, key_of("broker"), secret_of("stranger"))

            async def revoke() -> None:
                await push_roster(keyserver, authority.roster("keyserver", "cleveland", version=2))

            def dropped() -> int:
                return sum(count for reason, count in broker.counts.items() if reason.startswith("dropped."))

            await connected(cleveland, hungary)
            yield Parties(keyserver, cleveland, hungary, guest, revoke, dropped)
            await guest.close()


async def connected(*links: Link) -> None:
    """Wait until the broker knows where to reach these parties, on both sockets."""
    for link in links:
        await link.send("broker", "ping", b"", id=b"there?")
        answer = await link.receive()
        assert (answer.sender, answer.kind, answer.id) == ("broker", "pong", b"there?")
    await until(lambda: all(link.state == "connected" for link in links))


async def refused(link: Link) -> None:
    """Wait until a link says that it is refused."""
    await until(lambda: link.state == REFUSED)
