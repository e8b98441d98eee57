"""Our own TCP proxy: what a bad network does to connections, decided for each one by a seed.

Faults of bytes are faults of a connection here, since the link is encrypted. A byte that is doubled, lost or changed
breaks CURVE's own sequence, and libzmq ends the connection. So the proxy resets at a byte, closes at a byte, or doubles
bytes. Or it holds everything for a while (a delay), or for ever (a black hole). What happens to single messages (the
request lost, the reply lost, one message twice, one late and overtaken) happens above the encryption: support.faulty.
"""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

KINDS = ("reset", "close", "double", "delay", "hole")
_RESET = struct.pack("ii", 1, 0)
_READ = 65_536


@dataclass(frozen=True)
class Fate:
    """What becomes of one connection: `kind` at byte `at` of one direction, held for `seconds`; nothing when empty."""

    kind: str = ""
    at: int = 0
    up: bool = True
    seconds: float = 0.0


Draw = Callable[[], Fate]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def drawn(seed: int, hold: float = 2.0, hole: float = 4.0) -> Draw:
    """Return fates by a seed: each connection meets one, a quarter of them within its first 1,000 bytes.

    Those are the handshake of CURVE and the greeting. The others come after 20 KB to 4 MB, few as often as many: in the
    middle of an upload, or some rounds later.
    """
    chance = random.Random(seed)

    def draw() -> Fate:
        kind = chance.choice(KINDS)
        early = chance.random() < 0.25
        at = int(1_000 * chance.random() if early else 20_000 * 200 ** chance.random())
        return Fate(kind, at, chance.random() < 0.5, {"delay": hold, "hole": hole}.get(kind, 0.0))

    return draw


class Proxy:
    """Ports of loopback that lead to those of a broker; a context manager, on a thread of its own."""

    def __init__(self, ports: dict[int, int], draw: Draw = Fate) -> None:
        self.met: Counter[str] = Counter()
        self.draw = draw
        self._ports = ports
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._open = threading.Event()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._open.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        servers = [await asyncio.start_server(self._leading(to), "127.0.0.1", port) for port, to in self._ports.items()]
        self._open.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.transport.abort()
        # A transport lets go of its socket one turn of the loop after it was told to.
        await asyncio.gather(*(end.wait_closed() for end in self._ends), return_exceptions=True)

    def _leading(self, to: int) -> Connected:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._ends.append(writer)
            task = asyncio.current_task()
            if task:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with suppress(OSError, asyncio.CancelledError):
                await self._join(reader, writer, to)
            writer.close()

        return connected

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", to)
        except OSError:
            _reset(writer)
            return
        self._ends.append(back)
        fate = self.draw()
        calm = Fate()
        pumps = [
            asyncio.create_task(self._pump(reader, back, fate if fate.up else calm)),
            asyncio.create_task(self._pump(there, writer, calm if fate.up else fate)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, back):
                if fate.kind == "reset":
                    _reset(end)
                else:
                    end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fate: Fate) -> None:
        """Pass bytes on; return when the connection is over, by itself or by its fate. After a delay comes another."""
        passed = 0
        while data := await reader.read(_READ):
            while fate.kind and passed + len(data) > fate.at:
                cut = fate.at - passed
                writer.write(data[:cut])
                await writer.drain()
                data, passed = await self._meet(fate, data[cut:]), 0
                if not data:
                    return
                fate = self.draw() if fate.kind == "delay" else Fate()
            writer.write(data)
            await writer.drain()
            passed += len(data)

    async def _meet(self, fate: Fate, data: bytes) -> bytes:
        """Let the fate happen; return what is passed on after all, nothing when the connection is over."""
        self.met[fate.kind] += 1
        if fate.kind == "double":
            return data[:32] + data
        if fate.kind in ("delay", "hole"):
            await asyncio.sleep(fate.seconds)
        return data if fate.kind == "delay" else b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a router that lost its state does."""
    found = writer.get_extra_info("socket")
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
