"""How fast the broker moves chunks, beside a bare pyzmq relay with CURVE in the same run.

`python tests/support/throughput.py` starts, in turn, the product's broker (`secagg broker serve`) and a relay of
fifteen lines (one ROUTER, a loop, nothing checked). It sends chunks through each, at most 32 outstanding. Printed are
MB/s of wall time and MB per second of the relaying process's own CPU time. The machine may be busy with other things,
so each size is measured several times in alternation and the median of the ratios counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq
from zmq.utils import z85

from secagg.daemon import clock
from secagg.daemon.broker import init_broker
from secagg.demo.processes import SECAGG
from secagg.transport.curve import Addresses, client_options, key_text
from secagg.transport.link import BROKER, HELLO
from secagg.transport.routing import write_routing
from support.brokers import Authority, dialled, key_of, push_roster, run, secret_of

SIZES = (256 * 1024, 1024 * 1024 - 4096)
"""Bytes of a body: 256 KiB, and the largest that fits a message of 1 MiB with its header."""

WINDOW, EVERY = 32, 8
"""Chunks outstanding, and how many the receiver takes before it says so."""

RELAY = "relay"
HWM = 8

LEAST = 0.8
"""The part of the bare relay's throughput that the broker must have."""


def relay(port: int) -> None:
    """Relay between two peers that named themselves, until killed: the least that a broker could be."""
    context = zmq.Context(io_threads=2)
    socket = context.socket(zmq.ROUTER)
    for option, value in {zmq.CURVE_SERVER: 1, zmq.ROUTER_MANDATORY: 1, zmq.RCVHWM: HWM, zmq.SNDHWM: HWM}.items():
        socket.setsockopt(option, value)
    socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(secret_of(RELAY).reveal()))
    socket.bind(f"tcp://127.0.0.1:{port}")
    routes: dict[bytes, bytes] = {}
    while True:
        route, to, header, body = socket.recv_multipart(copy=False)
        if header.bytes:
            routes[header.bytes] = route.bytes
        else:
            socket.send_multipart([routes[to.bytes], to, header, body], copy=False)


def peer(address: str, server: bytes, name: str) -> zmq.Socket[bytes]:
    """Return a connected DEALER with the options of a role."""
    socket = zmq.Context(io_threads=1).socket(zmq.DEALER)
    socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(secret_of(name).reveal()))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, key_text(key_of(name)).encode())
    socket.setsockopt(zmq.CURVE_SERVERKEY, key_text(server).encode())
    for option, value in client_options("bulk").items():
        socket.setsockopt(option, value)
    socket.setsockopt(zmq.SNDTIMEO, 30_000)
    socket.setsockopt(zmq.RCVTIMEO, 30_000)
    socket.connect(address)
    return socket


def greet(socket: zmq.Socket[bytes], mode: str, name: str) -> None:
    """Let the relay know where this peer is."""
    if mode == RELAY:
        socket.send_multipart([b"", name.encode(), b""])
    else:
        socket.send_multipart([write_routing(BROKER, HELLO, b""), b"", b""])
        socket.recv_multipart()


def routing(mode: str, to: str) -> bytes:
    """Return the first frame of a message."""
    return to.encode() if mode == RELAY else write_routing(to, "chunk", b"")


def receive(mode: str, address: str, server: bytes, count: int) -> None:
    """Take `count` chunks, and say so after every few."""
    socket = peer(address, server, "cleveland")
    greet(socket, mode, "cleveland")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for index in range(1, count + 1):
        socket.recv_multipart(copy=False)
        if index % EVERY == 0:
            socket.send_multipart([routing(mode, "hungary"), b"", b"ok"])
    time.sleep(0.5)


def send(mode: str, address: str, server: bytes, count: int, size: int) -> None:
    """Send `count` chunks with a window, and print the seconds from the first to the last word about them."""
    socket = peer(address, server, "hungary")
    greet(socket, mode, "hungary")
    body, head = bytes(size), routing(mode, "cleveland")
    begun, taken = time.perf_counter(), 0
    for index in range(count):
        while index - taken >= WINDOW:
            socket.recv_multipart()
            taken += EVERY
        socket.send_multipart([head, b"", body], copy=False)
    while taken < count:
        socket.recv_multipart()
        taken += EVERY
    sys.stdout.write(json.dumps(time.perf_counter() - begun))


def own(*arguments: str) -> list[str]:
    """Return the command line of another role of this script."""
    return [sys.executable, __file__, *arguments]


@contextmanager
def serving(mode: str, place: Path) -> Iterator[tuple[int, str, bytes]]:
    """Start the broker or the relay; return its process id, bulk address and key."""
    if mode == RELAY:
        with zmq.Context() as context, context.socket(zmq.REP) as probe:
            port = probe.bind_to_random_port("tcp://127.0.0.1")
        process = subprocess.Popen(own(RELAY, "--port", str(port)))
        told = {"bulk": f"tcp://127.0.0.1:{port}"}
        key = key_of(RELAY)
    else:
        process, told, key = broker(place)
    try:
        yield process.pid, told["bulk"], key
    finally:
        process.kill()
        process.wait()


def broker(place: Path) -> tuple[subprocess.Popen[bytes], dict[str, str], bytes]:
    """Start the product's broker with two members in its roster."""
    key, authority = init_broker(place / "state"), Authority(now=clock.wall())
    config, ready = place / "broker.toml", place / "ready.json"
    config.write_text(
        f'[broker]\nport = 0\nstate_dir = "state"\n[federation]\nname = "hearts"\n'
        f'root_fingerprint = "{authority.fingerprint}"\nkeyserver_curve_key = "{key_of("keyserver").hex()}"\n'
    )
    line = [*SECAGG, "broker", "serve", "--config", str(config), "--ready", str(ready)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"ready ")
    told = json.loads(ready.read_text())

    async def enrol() -> None:
        bound = Addresses(told["control"], told["bulk"], told["enrol"])
        async with dialled(bound, "keyserver", broker_key=key) as (keyserver,):
            await push_roster(keyserver, authority.roster("cleveland", "hungary"))

    run(enrol())
    return process, told, key


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(mode: str, size: int, count: int) -> tuple[float, float]:
    """Return MB/s of wall time and MB per CPU second of the one in the middle."""
    with tempfile.TemporaryDirectory() as place, serving(mode, Path(place)) as (pid, address, key):
        shared = ["--mode", mode, "--address", address, "--key", key.hex(), "--count", str(count), "--size", str(size)]
        with subprocess.Popen(own("receive", *shared), stdout=subprocess.PIPE) as receiver:
            assert receiver.stdout is not None
            receiver.stdout.readline()
            before = cpu(pid)
            seconds = float(subprocess.run(own("send", *shared), stdout=subprocess.PIPE, check=True).stdout)
            used = cpu(pid) - before
    moved = size * count / 1e6
    return moved / seconds, moved / used


def compare(megabytes: int, times: int) -> dict[int, tuple[float, float]]:
    """Measure both, several times in alternation; return the median ratios (wall, CPU) for each size."""
    ratios = {}
    for size in SIZES:
        count = max(EVERY, megabytes * 2**20 // size // EVERY * EVERY)
        pairs = [(measure(BROKER, size, count), measure(RELAY, size, count)) for _ in range(times)]
        walls, cpus = ([pair[0][part] / pair[1][part] for pair in pairs] for part in (0, 1))
        ratios[size] = statistics.median(walls), statistics.median(cpus)
        middle = [statistics.median(pair[who][part] for pair in pairs) for part in (0, 1) for who in (0, 1)]
        sys.stdout.write(
            f"{size >> 10:>5} KiB  broker {middle[0]:6.0f} MB/s  relay {middle[1]:6.0f} MB/s  "
            f"per CPU second {middle[2]:6.0f} and {middle[3]:6.0f} MB  "
            f"ratio {ratios[size][0]:.2f} wall, {ratios[size][1]:.2f} CPU\n"
        )
        sys.stdout.flush()
    return ratios


def main(arguments: list[str]) -> int:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", nargs="?", default="compare", choices=("compare", RELAY, "send", "receive"))
    for name, default in {"port": 0, "count": 0, "size": 0, "megabytes": 400, "times": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("mode", "address", "key"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    if given.role == RELAY:
        relay(given.port)
    elif given.role == "send":
        send(given.mode, given.address, bytes.fromhex(given.key), given.count, given.size)
    elif given.role == "receive":
        receive(given.mode, given.address, bytes.fromhex(given.key), given.count)
    else:
        return int(min(wall for wall, _ in compare(given.megabytes, given.times).values()) < LEAST)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
