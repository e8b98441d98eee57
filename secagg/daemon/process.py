"""A daemon as a process: state directory, signals, readiness, and an end that loses nothing.

Rules: no core file, because memory holds keys. "ready" is printed and sent to the service manager only after the
journal was read and the admin socket is open. A signal stops the loop between two turns, so what is kept is whole.
Leaves to others: configuration and keys (the role), the loop itself (secagg.daemon.loop).
Source: docs/operations.md "Commands" and "Deployment".
"""

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable
from pathlib import Path

from secagg.daemon import clock, drill, logs
from secagg.daemon.admin import SOCKET
from secagg.daemon.journal import SqliteJournal
from secagg.daemon.loop import Daemon, Service
from secagg.daemon.storage import RESERVED, Storage
from secagg.daemon.vault import private_directory, write_private
from secagg.daemon.writing import say
from secagg.errors import TryLater
from secagg.events.line import write
from secagg.events.lines import Serve, Stop
from secagg.transport.link import Link

JOURNAL = "journal.sqlite"
READY = "ready.json"
"""Written when the daemon is ready, removed when it stops; holds its process id, name and role."""

_GRACE = 0.2
"""Seconds for each worker to notice the end; those that compute do not."""

LinkFactory = Callable[[], Link | Awaitable[Link]]


def run_daemon(
    service: Service,
    link_factory: LinkFactory,
    state_dir: Path,
    name: str,
    role: str,
    *,
    verbosity: int = 0,
    color: bool = True,
    workers: int = 2,
    federation: str = "",
) -> None:
    """Run a role until SIGTERM or SIGINT; `link_factory` is called inside the running loop.

    Raises: BadConfiguration for a state directory that cannot be used, or a drill outside of a federation for drills.
    TryLater when the disk has no room. What the service's `start` raises.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    drill.arm(federation)
    private_directory(state_dir)
    logger = logs.configure(role, name, verbosity, color=color)
    executor = ThreadPoolExecutor(workers, thread_name_prefix=f"{role}-work")
    ready = state_dir / READY

    def announce() -> None:
        _announce(ready, name, role)
        write(logger, Serve(os.getpid()))

    async def main() -> None:
        # Opened first: its lock keeps a second daemon away from this state and from this link's key.
        journal = SqliteJournal(state_dir / JOURNAL)
        ready.unlink(missing_ok=True)
        storage = _reserved(journal, state_dir)
        made = link_factory()
        link = await made if isawaitable(made) else made
        daemon = Daemon(
            link, journal, service, executor, logger, state_dir / SOCKET, ready=announce, storage=storage, asks=True
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.stop)
        try:
            await daemon.serve()
        finally:
            ready.unlink(missing_ok=True)

    asyncio.run(main())
    notify("STOPPING=1")
    write(logger, Stop())
    _leave()


def _announce(ready: Path, name: str, role: str) -> None:
    write_private(ready, json.dumps({"pid": os.getpid(), "name": name, "role": role}).encode())
    say(f"ready {role} {name}")
    notify("READY=1")


def _reserved(journal: SqliteJournal, state_dir: Path) -> Storage:
    """Return the storage of a daemon that may begin to write. Raises: TryLater when the disk has no room for it."""
    storage = Storage(journal, clock.wall, state_dir)
    try:
        storage.reserve()
    except OSError as error:
        journal.close()
        raise TryLater(
            f"There is no room for {RESERVED >> 20} MiB in {state_dir}: {error.strerror}.",
            "Free space on its disk: a daemon keeps that much back, so that it can end cleanly when it is full.",
            code="E-DISK",
        ) from None
    return storage


def notify(message: str) -> None:
    """Tell the service manager, if there is one (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        # A leading @ means the abstract namespace.
        connection.connect("\0" + address[1:] if address.startswith("@") else address)
        connection.send(message.encode())


def _leave() -> None:
    """End now if work is still running: it is asked for again at the next start, and training may take hours."""
    threads = [thread for thread in threading.enumerate() if thread.name.partition("_")[0].endswith("-work")]
    for thread in threads:
        thread.join(_GRACE)
    if any(thread.is_alive() for thread in threads):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
