"""CURVE keys, the fixed options of every socket, and the proof that a stranger is refused.

Rules: CURVE without a ZAP handler accepts any key, and a domain without `ZAP_ENFORCE_DOMAIN` (or that without a domain)
skips ZAP. So every option is set from one table and read back before the socket is used. `ROUTER_MANDATORY` cannot be
read back; an unknown peer must give EHOSTUNREACH. Routing ids are never set, `ROUTER_HANDOVER` neither: both let a peer
take another one's messages. Leaves to others: who is known (directory.py, zap.py).
Source: docs/transport.md "Security traps of ZeroMQ".
"""

import asyncio
from collections.abc import Mapping

import zmq
import zmq.asyncio
from msgspec import Struct
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.errors import BadConfiguration, BadInput
from secagg.wire.limits import LIMIT_BULK, LIMIT_CONTROL, LIMIT_ENROL

PATIENCE = 2000
"""Milliseconds that a send may take; without it a send to a broker that refused us blocks for ever."""

HEARTBEAT: dict[int, int | bytes] = {
    zmq.HANDSHAKE_IVL: 5000,
    zmq.HEARTBEAT_IVL: 2000,
    zmq.HEARTBEAT_TIMEOUT: 6000,
    zmq.LINGER: 0,
    zmq.IPV6: 1,
    zmq.IMMEDIATE: 1,
}
"""Milliseconds; a frozen peer gives no event at all without heartbeats."""

HWM = {"control": 100, "bulk": 8, "enrol": 100}
"""Messages queued for one peer: 8 chunks of 1 MiB, where the default of 1000 would hold 1 GiB for one that is stuck."""

SIZES = {"control": LIMIT_CONTROL, "bulk": LIMIT_BULK, "enrol": LIMIT_ENROL}

DOORS = ("control", "bulk", "enrol")
"""The broker's sockets, one for each purpose."""


class Addresses(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a broker's three sockets are, as `tcp://host:port`."""

    control: str
    bulk: str
    enrol: str

    def of(self, door: str) -> str:
        """Return the address of one door."""
        return {"control": self.control, "bulk": self.bulk, "enrol": self.enrol}[door]


def addresses(host: str, port: int) -> Addresses:
    """Return the addresses of a broker with base `port`: control, bulk, enrol in a row; 0 lets it choose."""
    name = f"[{host}]" if ":" in host else host
    return Addresses(*(f"tcp://{name}:{port + index if port else '*'}" for index in range(len(DOORS))))


def new_secret(rng: Rng) -> Secret:
    """Return a new CURVE secret key (32 bytes)."""
    return Secret(rng(32))


def public_key(secret: Secret) -> bytes:
    """Return the public CURVE key (32 bytes) of a secret one."""
    return z85.decode(zmq.curve_public(z85.encode(secret.reveal())))


def key_text(key: bytes) -> str:
    """Return a key of 32 bytes as Z85, the form that ZeroMQ uses."""
    return z85.encode(key).decode()


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a key written as Z85 or as 64 hexadecimal digits. Raises: BadInput."""
    try:
        key = bytes.fromhex(text) if len(text) == 64 else z85.decode(text)
    except (ValueError, KeyError, OverflowError):
        key = b""
    if len(key) != 32:
        raise BadInput("A CURVE key has 40 characters of Z85 or 64 hexadecimal digits.", "Copy the key whole.")
    return key


def server_options(door: str) -> Mapping[int, int | bytes]:
    """Return what a broker's socket is fixed to."""
    return {
        zmq.CURVE_SERVER: 1,
        zmq.ZAP_DOMAIN: domain(door),
        zmq.ZAP_ENFORCE_DOMAIN: 1,
        zmq.MAXMSGSIZE: SIZES[door],
        zmq.RCVHWM: HWM[door],
        zmq.SNDHWM: HWM[door],
        zmq.BACKLOG: 1024,
        **HEARTBEAT,
    }


def client_options(door: str) -> Mapping[int, int | bytes]:
    """Return what a role's socket is fixed to; a guest may be sent a whole roster, so its limit is that of bulk."""
    return {
        zmq.MAXMSGSIZE: LIMIT_BULK if door == "enrol" else SIZES[door],
        zmq.RCVHWM: HWM[door],
        zmq.SNDHWM: HWM[door],
        zmq.SNDTIMEO: PATIENCE,
        zmq.RECONNECT_IVL: 500,
        zmq.RECONNECT_IVL_MAX: 30_000,
        **HEARTBEAT,
    }


def domain(door: str) -> bytes:
    """Return the ZAP domain of a door; never empty."""
    return b"secagg-" + door.encode()


def open_server(context: zmq.asyncio.Context, door: str, secret: Secret) -> zmq.asyncio.Socket:
    """Return a broker's socket, not bound yet. Raises: BadConfiguration."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(secret.reveal()))
    return _fix(socket, server_options(door))


def open_client(
    context: zmq.asyncio.Context, door: str, secret: Secret, broker_key: bytes
) -> zmq.asyncio.Socket:
    """Return a role's socket, not connected yet. Raises: BadConfiguration."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(secret.reveal()))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, z85.encode(public_key(secret)))
    socket.setsockopt(zmq.CURVE_SERVERKEY, z85.encode(broker_key))
    return _fix(socket, client_options(door))


def _fix(socket: zmq.asyncio.Socket, options: Mapping[int, int | bytes]) -> zmq.asyncio.Socket:
    for option, value in options.items():
        socket.setsockopt(option, value)
    try:
        check_options(socket, options)
    except BadConfiguration:
        socket.close()
        raise
    return socket


def check_options(socket: zmq.Socket[bytes] | zmq.asyncio.Socket, options: Mapping[int, int | bytes]) -> None:
    """Read every option back, and that the mechanism is CURVE. Raises: BadConfiguration naming the option."""
    for option, value in {**options, zmq.MECHANISM: zmq.CURVE}.items():
        found = socket.getsockopt(option)
        if found != value:
            raise BadConfiguration(
                f"The socket option {zmq.SocketOption(option).name} is {found!r}, not {value!r}.",
                "Install a libzmq with CURVE (pyzmq's wheels have it).",
                code="E-SOCKET",
            )


async def check_mandatory(socket: zmq.asyncio.Socket) -> None:
    """Prove ROUTER_MANDATORY: a message to nobody must fail, not vanish. Raises: BadConfiguration."""
    try:
        await socket.send_multipart([b"nobody", b""], flags=zmq.NOBLOCK)
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return
        raise
    raise BadConfiguration("The broker's socket drops messages in silence.", "Report this platform.", code="E-SOCKET")


async def check_refusal(
    context: zmq.asyncio.Context, door: str, address: str, broker_key: bytes, rng: Rng, seconds: float = 5.0
) -> None:
    """Knock at our own door with a random key, which must be refused. Raises: BadConfiguration when it is not."""
    socket = open_client(context, door, new_secret(rng), broker_key)
    monitor = socket.get_monitor_socket()
    socket.connect(address)
    try:
        answer = await asyncio.wait_for(_verdict(monitor), seconds)
    except TimeoutError:
        answer = 0
    finally:
        socket.disable_monitor()
        monitor.close(linger=0)
        socket.close(linger=0)
    if answer != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        raise BadConfiguration(
            f"The {door} socket did not refuse a stranger's key; the broker does not serve like this.",
            "Report this platform: authentication is not working.",
            code="E-SOCKET",
        )


async def _verdict(monitor: zmq.asyncio.Socket) -> int:
    final = (zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
    while True:
        event = parse_monitor_message(await monitor.recv_multipart())["event"]
        if event in final:
            return int(event)
