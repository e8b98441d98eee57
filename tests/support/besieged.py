"""A broker under attack for tests: real sockets on loopback, enrolled and not, and bare TCP below ZeroMQ."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import zmq
import zmq.asyncio

from secagg.transport.broker import Broker
from secagg.transport.curve import Addresses, open_client
from secagg.transport.routing import write_routing
from secagg.transport.zmq_link import ZmqLink
from support.brokers import Authority, dialled, key_of, make_broker, push_roster, running, secret_of
from support.links import connected

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01"
"""Signature and version 3.1 of ZMTP; mechanism, role and filler follow."""


class Siege(NamedTuple):
    """A broker with key server and `cleveland` connected; `hungary` is enrolled, and hostile."""

    broker: Broker
    bound: Addresses
    authority: Authority
    keyserver: ZmqLink
    cleveland: ZmqLink
    context: zmq.asyncio.Context

    def raw(self, name: str, door: str = "control", **options: bytes) -> zmq.asyncio.Socket:
        """Return a socket of this party that keeps none of our link's rules; `options` by their ZeroMQ names."""
        socket = open_client(self.context, door, secret_of(name), key_of("broker"))
        for option, value in options.items():
            socket.setsockopt(getattr(zmq, option), value)
        socket.connect(self.bound.of(door))
        return socket

    async def tcp(self, door: str = "control") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a bare connection to a door."""
        host, _, port = self.bound.of(door).removeprefix("tcp://").rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def goes_on(self) -> None:
        """Hold that the honest are served as before."""
        await connected(self.cleveland)
        await self.keyserver.send("cleveland", "note", b"", b"still there")
        received = await self.cleveland.receive()
        assert (received.sender, received.body) == ("keyserver", b"still there")


@asynccontextmanager
async def besieged(**options: Any) -> AsyncIterator[Siege]:
    """Serve while the block attacks."""
    authority, broker = Authority(), make_broker(**options)
    async with running(broker) as bound, dialled(bound, "keyserver", "cleveland") as (keyserver, cleveland):
        await push_roster(keyserver, authority.roster("cleveland", "hungary"))
        await connected(cleveland, keyserver)
        context = zmq.asyncio.Context()
        try:
            yield Siege(broker, bound, authority, keyserver, cleveland, context)
        finally:
            context.destroy(linger=0)


def message(to: str, body: bytes = b"", kind: str = "note", header: bytes = b"") -> list[bytes]:
    """Return the three frames of a message."""
    return [write_routing(to, kind, b""), header, body]


async def told(socket: zmq.asyncio.Socket, kind: bytes) -> None:
    """Wait until the broker itself says this to a raw socket."""
    while kind not in (await socket.recv_multipart())[0]:
        pass


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the other side has closed a bare connection."""
    with suppress(ConnectionError):
        while await reader.read(65_536):
            pass
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
