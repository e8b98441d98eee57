"""The broker under hostile load: what legitimate peers notice, what it costs, and how fast a revocation acts.

`python tests/support/hostile.py` starts `secagg broker serve` and measures round trips between two members. It measures
again while 2,000 strangers hold connections, one asks to be enrolled a hundred times a second, and 300 enrolled members
do their worst. That is floods, broken frames, giant frames, messages to themselves that they never read, one routing id
for all. Then a newcomer enrols, and a member is revoked while it sends. The broker is killed under its load, as by its
memory limit, and started again as by its supervisor. Everything is on loopback and bounded in count and time.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from secagg.daemon import clock
from secagg.daemon.admin import SOCKET, call
from secagg.daemon.broker import init_broker
from secagg.demo.processes import SECAGG
from secagg.errors import PeerUnavailable
from secagg.transport.curve import DOORS, Addresses, addresses, client_options, key_text
from secagg.transport.link import BROKER, CONNECTED, HELLO, KEYSERVER
from secagg.transport.routing import write_routing
from secagg.transport.zmq_link import GuestLink, ZmqLink
from support.brokers import Authority, key_of, push_roster, request_of, secret_of
from support.drills import free_ports

LEGITIMATE = ("cleveland", "hungary")
RUNAWAY = "evil-revoked"
PINGS, PHASES = 1200, 10
PAUSE = 0.004
"""Seconds between two round trips: 250 a second at most."""

LIMIT_MIB = 1024
LATEST = 1.0
"""Seconds after which a revoked member's live connection must be dead."""

FLOOD = 100
"""Requests a second of one stranger at the door where newcomers enrol."""

SOON = 10.0
"""Seconds until a newcomer's request has to be at the key server under that load; it repeats it every three."""

FACTOR = 5.0
"""How much slower the slowest percent may be under load."""


@dataclass
class Found:
    """What was measured; times in milliseconds, memory in MiB."""

    calm: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    lost: int = 0
    memory: float = 0.0
    resident: float = 0.0
    descriptors: int = 0
    revoked: float = -1.0
    restarted: float = -1.0
    newcomer: float = -1.0
    counts: dict[str, int] = field(default_factory=dict)

    def p(self, part: int, loaded: bool) -> float:
        """Return a percentile of the round trips."""
        return statistics.quantiles(self.loaded if loaded else self.calm, n=100)[part - 1]


class Served:
    """A broker under a supervisor: it is started again whenever it ends."""

    def __init__(self, place: Path, enrolled: int, limit_mib: int) -> None:
        self.place, self.key = place, init_broker(place / "state")
        self.authority = Authority(now=clock.wall())
        self.members = [*LEGITIMATE, RUNAWAY, *(f"evil-{index}" for index in range(enrolled))]
        port = free_ports()
        self.bound: Addresses = addresses("127.0.0.1", port)
        (place / "broker.toml").write_text(
            f'[broker]\nport = {port}\nstate_dir = "state"\nmemory_limit_mib = {limit_mib}\n[federation]\n'
            f'name = "hearts"\nroot_fingerprint = "{self.authority.fingerprint}"\n'
            f'keyserver_curve_key = "{key_of("keyserver").hex()}"\n'
        )
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start the broker and wait until it is ready."""
        self.starts += 1
        line = [*SECAGG, "broker", "serve", "--config", str(self.place / "broker.toml")]
        with (self.place / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"ready ")

    def status(self) -> dict[str, Any]:
        """Return what the broker says of itself."""
        shown: dict[str, Any] = call(self.place / "state" / SOCKET, {"command": "status"})
        return shown

    def resident(self) -> float:
        """Return the most resident memory that it had, in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def roster(self, version: int, *without: str) -> bytes:
        """Return a roster of everybody but these."""
        return self.authority.roster(*(name for name in self.members if name not in without), version=version)

    def end(self) -> None:
        """End the broker."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def child(served: Served, role: str, *given: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a hostile process and wait until it is at work; end it after the block.

    It is nice, because in truth it runs on a machine of its own and takes no time of the broker's.
    """
    place = ["--control", served.bound.control, "--key", served.key.hex()]
    line = ["nice", "-n", "15", sys.executable, __file__, role, *place, *given]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=paths) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


# What strangers and members do -------------------------------------------------------------------------------------


def idle(bound: Addresses, count: int) -> None:
    """Hold connections at all doors that say nothing, or half a greeting; open again what the broker closes."""
    hosts = [bound.of(door).removeprefix("tcp://").rpartition(":") for door in DOORS]
    held: list[socket.socket | None] = [None] * count
    reported = False
    while True:
        for index in range(count):
            found = held[index]
            if found is None or _closed(found):
                held[index] = _knock(hosts[index % len(DOORS)], index % 2 == 0)
        if not reported:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            reported = True
        time.sleep(0.5)


def _knock(host: tuple[str, str, str], greet: bool) -> socket.socket | None:
    found = socket.socket()
    try:
        found.settimeout(5)
        found.connect((host[0], int(host[2])))
        found.setblocking(False)
        if greet:
            found.send(b"\xff" + bytes(8) + b"\x7f\x03")
    except OSError:
        found.close()
        return None
    return found


def _closed(found: socket.socket) -> bool:
    try:
        return found.recv(64) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def member(bound: Addresses, key: bytes, name: str, context: zmq.Context[zmq.Socket[bytes]], door: str = "control",
           routing_id: bytes = b"") -> zmq.Socket[bytes]:  # fmt: skip
    """Return the raw socket of an enrolled member."""
    made = context.socket(zmq.DEALER)
    for option, value in client_options(door).items():
        made.setsockopt(option, value)
    made.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(secret_of(name).reveal()))
    made.setsockopt(zmq.CURVE_PUBLICKEY, key_text(key_of(name)).encode())
    made.setsockopt(zmq.CURVE_SERVERKEY, key_text(key).encode())
    if routing_id:
        made.setsockopt(zmq.ROUTING_ID, routing_id)
    made.connect(bound.of(door))
    with suppress(zmq.Again):
        made.send_multipart([write_routing(BROKER, HELLO, b""), b"", b""])
    return made


def evil(bound: Addresses, key: bytes, count: int, rate: float) -> None:
    """Do what enrolled members should not, each `rate` times a second, until killed."""
    context = zmq.Context(io_threads=1)
    context.max_sockets = 10_000
    ids = [b"same" if index % 5 == 4 else b"" for index in range(count)]
    made = [member(bound, key, f"evil-{index}", context, routing_id=id) for index, id in enumerate(ids)]
    deeds = [
        lambda name: [write_routing("nobody", "note", b""), b"", bytes(1000)],
        lambda name: [b"no routing", b""],
        lambda name: [write_routing("cleveland", "note", b""), b"", bytes(200_000)],
        lambda name: [write_routing(name, "note", b""), b"", bytes(30_000)],
        lambda name: [write_routing("nobody", "note", b""), b"", b""],
    ]
    stranger, asked, request = member(bound, key, "a-stranger", context, "enrol"), 0, request_of("a-stranger")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    begun, sent = time.monotonic(), 0
    while True:
        while asked < (time.monotonic() - begun) * FLOOD:
            asked += 1
            with suppress(zmq.ZMQError):
                stranger.send_multipart([write_routing(KEYSERVER, "enrol", b""), b"", request], flags=zmq.NOBLOCK)
        # Spread over time, as members that know nothing of each other would be.
        due = int((time.monotonic() - begun) * rate * count)
        for index in range(sent, due):
            name = index % count
            with suppress(zmq.ZMQError):
                made[name].send_multipart(deeds[name % 5](f"evil-{name}"), flags=zmq.NOBLOCK)
        sent = due
        time.sleep(0.002)


# What legitimate members notice ------------------------------------------------------------------------------------


class Members:
    """Two members and the key server over the product's own link."""

    def __init__(self, served: Served) -> None:
        self.served = served
        names = ("keyserver", *LEGITIMATE)
        self.keyserver, self.here, self.there = (ZmqLink(served.bound, served.key, secret_of(n)) for n in names)
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self.seen: dict[str, float] = {}
        self._tasks = [asyncio.create_task(work) for work in (self._answer(), self._collect())]

    async def close(self) -> None:
        """Let go of the links."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in (self.keyserver, self.here, self.there):
            await link.close()

    async def _answer(self) -> None:
        while True:
            message = await self.there.receive()
            self.seen[message.sender] = time.monotonic()
            if message.kind == "ping-member":
                await self.there.send(LEGITIMATE[0], "pong-member", b"", message.body)

    async def _collect(self) -> None:
        while True:
            message = await self.here.receive()
            if message.kind == "pong-member":
                self.pongs.put_nowait(message.body)

    async def trip(self, body: bytes, patience: float = 5.0) -> float | None:
        """Return the milliseconds of one round trip, None when it is lost."""
        begun = time.perf_counter()
        try:
            await self.here.send(LEGITIMATE[1], "ping-member", b"", body)
            while await asyncio.wait_for(self.pongs.get(), patience) != body:
                pass
        except (TimeoutError, PeerUnavailable):
            return None
        return (time.perf_counter() - begun) * 1000

    async def trips(self, count: int, into: list[float]) -> int:
        """Measure round trips; return how many were lost."""
        lost = 0
        for index in range(count):
            took = await self.trip(f"{len(into)}/{index}".encode().ljust(200))
            if took is None:
                lost += 1
            else:
                into.append(took)
            await asyncio.sleep(PAUSE)
        return lost

    async def ready(self) -> None:
        """Wait until both are connected and a round trip succeeds."""
        while self.here.state != CONNECTED or self.there.state != CONNECTED or await self.trip(b"ready", 0.5) is None:
            await asyncio.sleep(0.02)


async def revocation(members: Members, version: int) -> float:
    """Revoke a member while it sends; return the seconds until its last message arrives anywhere."""
    runaway = ZmqLink(members.served.bound, members.served.key, secret_of(RUNAWAY))
    stop = asyncio.Event()

    async def send() -> None:
        while not stop.is_set():
            with suppress(PeerUnavailable):
                await runaway.send(LEGITIMATE[1], "note", b"", b"I am still here")
            await asyncio.sleep(0.002)

    sending = asyncio.create_task(send())
    while RUNAWAY not in members.seen:
        await asyncio.sleep(0.005)
    begun = time.monotonic()
    await push_roster(members.keyserver, members.served.roster(version, RUNAWAY))
    await asyncio.sleep(2 * LATEST)
    stop.set()
    await sending
    await runaway.close()
    return max(0.0, members.seen[RUNAWAY] - begun)


async def newcomer(members: Members) -> float:
    """Enrol while a stranger floods the same door; return the seconds until the request is at the key server."""
    guest = GuestLink(members.served.bound, members.served.key, secret_of("newcomer"))
    begun, heard = time.monotonic(), b""
    while heard != key_of("newcomer") and time.monotonic() - begun < 2 * SOON:
        await guest.send(KEYSERVER, "enrol", b"", request_of("newcomer"))
        end = time.monotonic() + 3.0
        while heard != key_of("newcomer") and (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):
                heard = (await asyncio.wait_for(members.keyserver.receive(), left)).curve_key
    await guest.close()
    return time.monotonic() - begun


async def supervised(members: Members) -> float:
    """Kill the broker and start it again under the same load; return the seconds until members reach each other."""
    served = members.served
    begun = time.monotonic()
    served.end()
    await asyncio.to_thread(served.start)
    await members.ready()
    return time.monotonic() - begun


async def _signal(number: signal.Signals, *processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.send_signal(number)
    await asyncio.sleep(0.2)


async def measure(served: Served, strangers: int, enrolled: int, pings: int) -> Found:
    """Do everything and return what was found."""
    found, members = Found(), Members(served)
    await push_roster(members.keyserver, served.roster(1))
    await members.ready()
    hostiles = (child(served, "idle", "--count", str(strangers)), child(served, "evil", "--count", str(enrolled)))
    with hostiles[0] as first, hostiles[1] as second:
        await members.trips(20, [])
        for _ in range(PHASES):
            # In turn, so that whatever else this machine does disturbs both alike.
            found.lost += await members.trips(pings // PHASES, found.loaded)
            await _signal(signal.SIGSTOP, first, second)
            found.lost += await members.trips(pings // PHASES, found.calm)
            await _signal(signal.SIGCONT, first, second)
        found.newcomer = await newcomer(members)
        found.revoked = await revocation(members, 2)
        shown = await asyncio.to_thread(served.status)
        found.memory, found.resident = shown["memory"] / 2**20, served.resident()
        found.descriptors, found.counts = shown["descriptors"], shown["counts"]
        found.restarted = await supervised(members)
    await members.close()
    return found


def run(strangers: int, enrolled: int, pings: int, limit_mib: int = LIMIT_MIB) -> Found:
    """Measure with a broker of its own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as place:
        served = Served(Path(place), enrolled, limit_mib)
        try:
            return asyncio.run(measure(served, strangers, enrolled, pings))
        finally:
            served.end()


def main(arguments: list[str]) -> int:
    """Measure and print, or be one of the hostile processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", nargs="?", default="measure", choices=("measure", "idle", "evil"))
    for name, default in {"strangers": 2000, "enrolled": 300, "pings": PINGS, "count": 0, "rate": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("control", "key"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    if given.role == "measure":
        return report(run(given.strangers, given.enrolled, given.pings), given)
    host, _, port = given.control.removeprefix("tcp://").rpartition(":")
    bound, key = addresses(host, int(port)), bytes.fromhex(given.key)
    if given.role == "idle":
        idle(bound, given.count)
    else:
        evil(bound, key, given.count, given.rate)
    return 0


def report(found: Found, given: argparse.Namespace) -> int:
    """Print what was found; return 1 when a limit was missed."""
    ratio = found.p(99, True) / found.p(99, False)
    dropped = {name: count for name, count in found.counts.items() if "dropped" in name or "." in name}
    lines = [
        f"load        {given.strangers} idle strangers, {given.enrolled} hostile members, {given.rate} messages/s each",
        f"unloaded    p50 {found.p(50, False):.2f} ms, p99 {found.p(99, False):.2f} ms ({len(found.calm)} round trips)",
        f"loaded      p50 {found.p(50, True):.2f} ms, p99 {found.p(99, True):.2f} ms ({len(found.loaded)}), "
        f"{found.lost} lost; p99 {ratio:.1f} times",
        f"memory      {found.resident:.0f} MiB resident at most, {found.memory:.0f} of {LIMIT_MIB} MiB address space",
        f"descriptors {found.descriptors}",
        f"revocation  {found.revoked * 1000:.0f} ms until the last message of a live connection",
        f"enrolment   a newcomer's request after {found.newcomer:.2f} s, under {FLOOD} a second of one stranger",
        f"restart     members reach each other {found.restarted:.1f} s after the broker was killed under this load",
        f"counts      {json.dumps(dropped)}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    slow = ratio > FACTOR or found.revoked > LATEST or found.newcomer > SOON
    return int(slow or found.lost > 0 or found.memory > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
