"""The broker as a process: its configuration, its key, its limits, its signals.

Rules: the key lies in the state directory (0600 in 0700). The process announces itself only after it has tried its own
doors. Memory is limited, because an enrolled peer that sends a message of endless frames would fill it. A broker that
ends is started again by its supervisor and has lost nothing that matters. Memory and descriptors are looked at every
few seconds and said before they run out. `status` answers over the admin socket, as that of every daemon.
Leaves to others: relaying (secagg.transport.broker), restarting (the service manager).
Source: docs/transport.md "Security traps of ZeroMQ", docs/operations.md "Deployment".
"""

import asyncio
import json
import os
import resource
import signal
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from secagg.crypto.rng import Rng, system_rng
from secagg.crypto.secret import Secret
from secagg.daemon import clock, drill, logs
from secagg.daemon.admin import SOCKET, Admin
from secagg.daemon.answers import Answer, RosterVersion
from secagg.daemon.config import load, means
from secagg.daemon.process import notify
from secagg.daemon.requests import Request, parse
from secagg.daemon.vault import check_private, private_directory, write_private
from secagg.daemon.waits import Waiting
from secagg.daemon.writing import say
from secagg.errors import BadConfiguration, BadInput
from secagg.events import lines
from secagg.events.line import Logger, write
from secagg.ids import Name
from secagg.transport.broker import Broker
from secagg.transport.curve import Addresses, addresses, key_text, new_secret, parse_key, public_key
from secagg.transport.link import KEYSERVER

KEY = "curve.key"
FILES = 65_536
"""File descriptors wanted: one for each connection; a process without any left refuses everybody."""

LOOK = 5.0
"""Seconds between two looks at memory and descriptors."""

NEAR = 0.8
"""Part of a limit from which on it is an error to be looked into."""

_REMEDIES = {
    "memory": "A peer may send a message without end; the supervisor starts this broker again when it ends.",
    "descriptors": "Raise LimitNOFILE, or find out who connects so often.",
}


class BrokerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[broker]`: where it listens. Control, bulk and enrol are `port`, `port` + 1, `port` + 2; 0 lets it choose."""

    state_dir: Annotated[str, means("Where it keeps its key and the last member list.")]
    listen: Annotated[str, means("The address that it listens at.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_533), means("The first of three ports in a row; 0 lets it choose.")] = 7700
    key_file: Annotated[str, means("Its CURVE key; in the state directory unless written.")] = ""
    memory_limit_mib: Annotated[int, Meta(ge=0), means("MiB of memory that it may take; 0 for no limit.")] = 4096


class FederationSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[federation]`: whom it serves; the root's fingerprint and the key server's CURVE key (Z85 or hexadecimal)."""

    name: Annotated[Name, means("The federation that it serves, by its name.")]
    root_fingerprint: Annotated[str, means("The fingerprint of its root key.")]
    keyserver_curve_key: Annotated[str, means("The key server's CURVE key, as Z85 or in hexadecimal.")]


class BrokerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """broker.toml."""

    broker: BrokerSection
    federation: FederationSection


class BrokerStatus(Answer, frozen=True):
    """How a broker stands: who is connected, what waits for whom, how near the limits are."""

    roster: RosterVersion
    since: Annotated[int, means("Since when it runs, in seconds since 1970.")]
    waiting: Annotated[Waiting | None, means("For the first roster, until it came.")]
    connected: Annotated[list[str], means("Who is connected.")]
    waiting_bytes: Annotated[int, means("Bytes of messages that wait to leave.")]
    counts: Annotated[dict[str, int], means("What it did since it started, and how often.")]
    memory: Annotated[int, means("Bytes of address space that it has.")]
    memory_limit: Annotated[int, means("Bytes that it may have; -1 without a limit.")]
    descriptors: Annotated[int, means("File descriptors that it has.")]
    descriptor_limit: Annotated[int, means("File descriptors that it may have.")]


class Status(Request[BrokerStatus], frozen=True, tag="status"):
    """How the broker stands."""


def init_broker(state_dir: Path, rng: Rng = system_rng) -> bytes:
    """Make the broker's key unless there is one; return its public CURVE key (32 bytes).

    Raises: BadConfiguration when the directory or the key is open to others.
    """
    path = private_directory(state_dir) / KEY
    if not path.exists():
        write_private(path, key_text(new_secret(rng).reveal()).encode() + b"\n")
    return public_key(read_key(path))


def read_key(path: Path) -> Secret:
    """Return the secret CURVE key in a file. Raises: BadConfiguration."""
    if not path.exists():
        raise BadConfiguration(f"There is no key at {path}.", "Run `secagg broker init --state-dir DIR` first.")
    check_private(path)
    try:
        return Secret(parse_key(path.read_text(encoding="ascii").strip()))
    except (BadInput, UnicodeDecodeError):
        raise BadConfiguration(f"{path} is no CURVE key.", "Restore it from the backup.") from None


def run_broker(path: Path, ready: Path | None = None, *, verbosity: int = 0, color: bool = True) -> None:
    """Serve as the configuration at `path` says until SIGTERM or SIGINT; addresses and key go to the file `ready`.

    Raises: BadConfiguration for what cannot be served: a port that is taken, a key that is open to others.
    """
    config = load(path, BrokerConfig)
    drill.arm(config.federation.name)
    # Relative paths are relative to the file that names them, wherever the process was started.
    state_dir = private_directory(path.parent / config.broker.state_dir)
    secret = read_key(path.parent / config.broker.key_file if config.broker.key_file else state_dir / KEY)
    log = logs.configure("broker", config.federation.name, verbosity, color=color)
    _limit(config.broker.memory_limit_mib, log)
    asyncio.run(_serve(config, state_dir, secret, ready, log))
    notify("STOPPING=1")


def admin_socket(path: Path) -> Path:
    """Return the admin socket of the broker that a configuration file describes. Raises: BadConfiguration."""
    return path.parent / load(path, BrokerConfig).broker.state_dir / SOCKET


async def _serve(config: BrokerConfig, state_dir: Path, secret: Secret, ready: Path | None, log: Logger) -> None:
    federation = config.federation
    broker = Broker(
        addresses(config.broker.listen, config.broker.port),
        secret,
        _keyserver_key(federation),
        federation.root_fingerprint,
        federation.name,
        wall=clock.wall,
        monotonic=clock.monotonic,
        rng=system_rng,
        log=log,
        state_dir=state_dir,
        holding=lambda door: drill.reach("relay", door),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, broker.stop)
    began = clock.wall()
    admin = Admin(state_dir / SOCKET, lambda request: _answer(request, broker, began))
    bound = await broker.open()
    watch = asyncio.create_task(_watch_limits(log))
    try:
        await admin.open()
        _announce(bound, public_key(secret), federation.name, ready)
        write(log, lines.Serve(os.getpid(), bound.control, broker.roster_version))
        await broker.serve()
    finally:
        watch.cancel()
        await admin.close()
        if ready:
            ready.unlink(missing_ok=True)
        for reason, count in sorted(broker.counts.items()):
            write(log, lines.Counts(reason, count))


def _answer(request: dict[str, object], broker: Broker, began: int) -> BrokerStatus:
    """Answer a person. Raises: BadInput."""
    parse(request, Status, "broker")
    version = broker.roster_version
    waiting = None if version else Waiting(KEYSERVER, "the first roster", began)
    counts = dict(sorted(broker.counts.items()))
    return BrokerStatus(version or None, began, waiting, broker.connected, broker.waiting, counts, **_used())


def _used() -> dict[str, int]:
    """Return what this process has of memory (bytes of address space) and descriptors, and what it may have."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return {
        "memory": pages * resource.getpagesize(), "memory_limit": resource.getrlimit(resource.RLIMIT_AS)[0],
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names only, a thousand times a day
        "descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }  # fmt: skip


async def _watch_limits(log: Logger) -> None:
    """Say once, each time that it comes to that, that most of a limit is used."""
    near: set[str] = set()
    while True:
        used = _used()
        for what, remedy in _REMEDIES.items():
            most = used[f"{what}_limit"]
            high = most > 0 and used[what] > NEAR * most
            if high and what not in near:
                write(log, lines.NearLimit(what, used[what], most, remedy))
            near = near | {what} if high else near - {what}
        await asyncio.sleep(LOOK)


def _keyserver_key(federation: FederationSection) -> bytes:
    try:
        return parse_key(federation.keyserver_curve_key)
    except BadInput as error:
        raise BadConfiguration(
            f"[federation] keyserver_curve_key: {error.cause}", "Copy it from `secagg keyserver init`."
        ) from None


def _announce(bound: Addresses, key: bytes, federation: str, ready: Path | None) -> None:
    if ready:
        places = {"control": bound.control, "bulk": bound.bulk, "enrol": bound.enrol}
        text = json.dumps({**places, "public_key": key.hex(), "pid": os.getpid()})
        write_private(ready, text.encode() + b"\n")
    say(f"ready broker {federation} {bound.control} {bound.bulk} {bound.enrol}")
    notify("READY=1")


def _limit(memory_mib: int, log: Logger) -> None:
    """Allow no core file, as many descriptors as we may have, and only so much memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < FILES:
        write(log, lines.FewDescriptors(hard, FILES, "Set LimitNOFILE=65536 in the unit."))
    if memory_mib:
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))
