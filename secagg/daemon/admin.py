"""The admin socket: a person on this machine asks the daemon; the file's mode (0600) is the authentication.

JSON lines over a Unix socket in the state directory. One request is `{"command": …}`; the answer is `{"ok": …}` or
`{"error": {"code", "cause", "remedy", "exit_code"}}`. `{"command": "watch"}` is answered by one
line `{"event": {…}}` per event.

Rules: no command opens a database; a slow watcher is dropped, it never slows the daemon.
Source: docs/operations.md "Commands".
"""

import asyncio
import json
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from secagg.daemon import answers
from secagg.daemon.requests import TAG, Request, Watch, asks_for
from secagg.errors import BadConfiguration, BadInput, PeerUnavailable, SecaggError
from secagg.events import kinds
from secagg.events.line import Event

SOCKET = "admin.sock"
"""Name of the socket inside a state directory."""

LIMIT_REQUEST = 1_048_576
"""One line: a job's specification with an architecture of many tensors fits a hundred times."""

BACKLOG = 1000
"""Events that wait for a slow watcher before it is dropped."""

_LONGEST = 107
"""Bytes of a Unix socket's path on Linux."""

Answering = Callable[[dict[str, object]], object]
"""What answers a request: a struct of secagg.daemon.answers, a list of them, or their JSON values."""

A = TypeVar("A")


class Admin:
    """The daemon's end."""

    def __init__(self, path: Path, answer: Answering) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._watchers: dict[asyncio.Queue[bytes], asyncio.Task[Any] | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    async def open(self) -> None:
        """Bind the socket, 0600.

        Raises: BadConfiguration when the path is too long or cannot be bound.
        """
        if len(bytes(self._path)) > _LONGEST:
            cause = f"The admin socket {self._path} has a path of more than {_LONGEST} bytes."
            raise BadConfiguration(cause, "Choose a shorter state_dir.")
        # The journal's lock says that no other daemon is alive here: what lies there is left over.
        self._path.unlink(missing_ok=True)
        try:
            self._server = await asyncio.start_unix_server(self._connected, self._path, limit=LIMIT_REQUEST)
        except OSError as error:
            raise BadConfiguration(f"The admin socket {self._path} cannot be made: {error.strerror}.") from None
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Remove the socket and let go of everybody."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def publish(self, event: Event) -> None:
        """Give `event` to everybody who watches."""
        line = _line({"event": event.shown()})
        for queue, task in list(self._watchers.items()):
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:
                del self._watchers[queue]
                if task:
                    task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, ValueError, asyncio.CancelledError):
            # A line past the limit, a client that left, or the daemon that stops: nobody is there to be told.
            return
        finally:
            if task:
                self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = _request(line)
            if request is not None and asks_for(request, Watch):
                await self._watch(reader, writer)
                return
            writer.write(_line(self._reply(request)))
            await writer.drain()

    def _reply(self, request: dict[str, object] | None) -> dict[str, object]:
        try:
            if request is None:
                raise BadInput("The request is not a JSON object with a command.", "Use the command of this version.")
            return {"ok": answers.written(self._answer(request))}
        except SecaggError as error:
            return {"error": _describe(error)}
        except Exception as error:
            bug = SecaggError(f"The daemon failed: {type(error).__name__}: {error}.", "Its log has the details.")
            return {"error": _describe(bug)}

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue(BACKLOG)
        self._watchers[queue] = asyncio.current_task()
        writer.write(_line({"ok": "watching"}))
        leaving = asyncio.create_task(reader.read(1))
        waiting = asyncio.create_task(queue.get())
        try:
            while leaving not in (await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED))[0]:
                writer.write(waiting.result())
                waiting = asyncio.create_task(queue.get())
                await writer.drain()
        finally:
            self._watchers.pop(queue, None)
            for task in (leaving, waiting):
                task.cancel()
            await asyncio.gather(leaving, waiting, return_exceptions=True)


def _request(line: bytes) -> dict[str, object] | None:
    with suppress(ValueError, RecursionError):
        request = json.loads(line)
        if isinstance(request, dict) and isinstance(request.get(TAG), str):
            return request
    return None


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _describe(error: SecaggError) -> dict[str, object]:
    return {"code": error.code, "cause": error.cause, "remedy": error.remedy, "exit_code": error.exit_code}


def ask(path: Path, request: Request[A], timeout: float = 30.0) -> A:
    """Ask the daemon whose socket is `path`; return its answer.

    Raises: as `call`; BadInput for an answer of another version.
    """
    answer: A = answers.read(call(path, request, timeout), request.answered_by())
    return answer


def call(path: Path, request: Request[Any] | dict[str, object], timeout: float = 30.0) -> Any:
    """Ask the daemon whose socket is `path`; return what it answered, as JSON values.

    Raises: PeerUnavailable when no daemon answers within `timeout` seconds; SecaggError with the daemon's own code,
    cause, remedy and exit code.
    """
    with _connect(path, request, timeout) as connection:
        for answer in _answers(connection):
            return answer
    raise _silent(path)


def watch(path: Path) -> Generator[Event, None, None]:
    """Ask the daemon to watch; return its events from now on, one after the other, until the daemon stops.

    Who stops reading earlier closes the generator. Raises: as `call`; BadInput for an event of another version.
    """
    connection = _connect(path, Watch(), None)
    answers = _answers(connection)
    next(answers, None)
    # The file that `_answers` reads keeps the connection open until the generator ends or is closed.
    connection.close()
    return (kinds.read(answer) for answer in answers)


def _connect(path: Path, request: Request[Any] | dict[str, object], timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
        connection.sendall(_line(request.written() if isinstance(request, Request) else request))
    except OSError:
        connection.close()
        raise _silent(path) from None
    return connection


def _answers(connection: socket.socket) -> Generator[Any, None, None]:
    with connection.makefile("rb") as lines:
        try:
            for line in lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise _rebuilt(answer["error"])
                yield answer.get("ok", answer.get("event"))
        except OSError:
            return


def _rebuilt(told: dict[str, Any]) -> SecaggError:
    """Return the daemon's error as one that ends this command with the same words and exit code."""
    error = SecaggError(told["cause"], told["remedy"], code=told["code"])
    error.exit_code = told["exit_code"]
    return error


def _silent(path: Path) -> PeerUnavailable:
    return PeerUnavailable(f"No daemon answers at {path}.", "Start it with `serve` or `run`, or check state_dir.")
