"""A whole federation on this machine: key server, broker, aggregator and nodes, enrolled as real ones are.

How to read it: `open` founds the federation and starts the operator's roles, `enrol` lets members join with tokens and
approves them. `start_node` runs one; `submit`, `watch` and `export` are what an operator does afterwards.
Rules: every role has its own directory (0700), keys and passphrase. An institution's directory holds its own data and
its own copy of the task, and nothing of another one's. Ports are free ones of loopback. Nothing outlives the block.
Leaves to others: what the federation is for (heart.py), showing it (live.py).
"""

import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from secagg.crypto.rng import system_rng
from secagg.daemon.admin import SOCKET, call, watch
from secagg.demo.processes import SECAGG, Processes, undisturbed
from secagg.errors import BadInput, TryLater
from secagg.events.line import Event

OPERATOR, AGGREGATOR = "operator", "aggregator"
SOCKET_PATH = 107
"""Bytes that the path of a unix socket may have."""

DECIDED = 15.0
"""Seconds until a decision must be published."""

_PAUSE = 0.02


class Federation:
    """A federation in a temporary directory; a context manager that ends its processes and removes the directory.

    The broker listens on `port` and the two after it, or on free ones when it is 0; then it cannot be started again.
    """

    def __init__(self, name: str, port: int = 0) -> None:
        self.name, self.port = name, port
        # Short, because the path of an admin socket must fit 107 bytes.
        self._temporary = tempfile.TemporaryDirectory(prefix="secagg-", ignore_cleanup_errors=True)
        self.place = Path(self._temporary.name)
        self.processes = Processes(self.place / "logs")
        self._commands = itertools.count()
        self.fingerprint = ""
        self.drills: dict[str, str] = {}

    def __enter__(self) -> "Federation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process, remove every file."""
        with undisturbed():
            self.processes.end()
            self._temporary.cleanup()

    def run(self, *arguments: str, command: tuple[str, ...] = SECAGG) -> str:
        """Run one command to its end and return what it printed. Raises: SecaggError with what it said."""
        return self.processes.run(f"command-{next(self._commands)}", *arguments, command=command)

    # Founding --------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Found the federation: key server and broker run when this returns."""
        key = self.run("broker", "init", "--state-dir", str(self._directory("broker"))).strip()
        told = json.loads(
            self.run(
                "keyserver", "init", "--state-dir", str(self.place / "keyserver" / "state"), "--federation", self.name,
                "--passphrase-file", str(self._passphrase("keyserver")), "--broker-key", key,
                "--config-out", str(self.place / "keyserver" / "keyserver.toml"), "--format", "json",
            )
        )  # fmt: skip
        self.fingerprint = told["root_fingerprint"]
        config = self.place / "broker" / "broker.toml"
        config.write_text(
            f'[broker]\nport = {self.port}\nstate_dir = "."\n[federation]\nname = "{self.name}"\n'
            f'root_fingerprint = "{self.fingerprint}"\nkeyserver_curve_key = "{told["keyserver_curve_key"]}"\n'
        )
        ready = self.place / "broker" / "places.json"
        self.processes.serve("broker", "broker", "serve", "--config", str(config), "--ready", str(ready))
        self._point_at(json.loads(ready.read_text()))
        self.processes.serve("keyserver", "keyserver", "serve", "--config", str(self._keyserver_toml()))

    def enrol(self, roles: Mapping[str, str]) -> None:
        """Enrol members (name to role): a token for each, joins side by side, words read out, approvals."""
        for name, role in roles.items():
            self.join(name, role, self.token(name, role))
        for name in roles:
            self.approve(name)
        for name in roles:
            self.processes.finish(f"{name}-join")

    def token(self, name: str, role: str = "node") -> str:
        """Return a one-time token for a member, whose institution has its name (the operator, for the aggregator)."""
        institution = OPERATOR if role == AGGREGATOR else name
        request: dict[str, object] = {
            "command": "token.create", "institution": institution, "name": name, "role": role,
        }  # fmt: skip
        return str(self._decide(request)["token"])

    def join(self, name: str, role: str, token: str) -> None:
        """Start a member's `join`; it waits for the approval."""
        home = self._directory(name)
        self.processes.start(
            f"{name}-join", role, "join", "-", "--state-dir", str(home / "state"), "--passphrase-file",
            str(self._passphrase(name)), "--config-out", str(home / f"{role}.toml"), given=token,
        )  # fmt: skip

    def approve(self, name: str) -> None:
        """Approve a member once its institution has read out two of its words."""
        self.processes.await_line(f"{name}-join", b"The request is there")
        words = self._said(name, "words").split()
        shown = self.ask({"command": "member.show", "name": name})
        self._decide(
            {
                "command": "member.approve", "name": name, "fingerprint": shown["fingerprint"],
                "words": [words[1], words[4]],
            }
        )  # fmt: skip

    # Members ---------------------------------------------------------------------------------------------------------

    def home(self, name: str) -> Path:
        """Return a member's own directory."""
        return self.place / name

    def config(self, name: str) -> Path:
        """Return a member's configuration file."""
        return self.home(name) / ("aggregator.toml" if name == AGGREGATOR else "node.toml")

    def configure(self, name: str, text: str) -> None:
        """Add sections to a member's configuration: its policy, its tasks."""
        with self.config(name).open("a", encoding="utf-8") as file:
            file.write(text)

    def start_aggregator(self, cheat: bool = False) -> None:
        """Start the aggregator, or the program that cheats in its place."""
        config = ("--config", str(self.config(AGGREGATOR)))
        if cheat:
            self.processes.serve(AGGREGATOR, *config, command=(sys.executable, "-m", "secagg.demo.cheat"))
        else:
            self.processes.serve(AGGREGATOR, "aggregator", "serve", *config)

    def start_node(self, name: str, drill: str = "") -> None:
        """Start a node, with a drill if it is to die in one; `await_node` waits until it is ready."""
        if drill:
            self.drills[name] = drill
        options = ("--drill-kill", drill) if drill else ()
        self.processes.start(name, "node", "run", "--config", str(self.config(name)), *options)

    def await_node(self, name: str) -> None:
        """Wait until a node is ready. Raises: SecaggError when it ended instead."""
        self.processes.await_line(name, b"ready ")

    # What an operator does -------------------------------------------------------------------------------------------

    def ask(self, request: dict[str, object]) -> Any:
        """Ask the key server over its admin socket."""
        return call(self.place / "keyserver" / "state" / SOCKET, request)

    def ask_aggregator(self, request: dict[str, object]) -> Any:
        """Ask the aggregator over its admin socket."""
        return call(self.home(AGGREGATOR) / "state" / SOCKET, request)

    def submit(self, job: str, model: Path | None = None, custody: Path | None = None) -> None:
        """Submit a job, as job.toml has it; with a `custody` when trustees open its sums."""
        file = self.home(AGGREGATOR) / "job.toml"
        file.write_text(job, encoding="utf-8")
        extra: tuple[str, ...] = ("--model", str(model)) if model else ()
        extra += ("--custody", str(custody)) if custody else ()
        self.run("job", "submit", str(file), *extra, "--config", str(self.config(AGGREGATOR)))

    def watch(self) -> Generator[Event, None, None]:
        """Return what the aggregator tells from now on, as it happens."""
        return watch(self.home(AGGREGATOR) / "state" / SOCKET)

    def export(self, bundle: Path) -> None:
        """Write the bundle of everything so far."""
        keyserver, aggregator = self.place / "keyserver" / "state", self.home(AGGREGATOR) / "state"
        self.run("audit", "export", "--keyserver", str(keyserver), "--aggregator", str(aggregator), "-o", str(bundle))

    # Inside ----------------------------------------------------------------------------------------------------------

    def _directory(self, name: str) -> Path:
        path = self.place / name
        if len(os.fsencode(path / "state" / SOCKET)) > SOCKET_PATH:
            raise BadInput(f"{path} is too long a path for a socket.", "Set TMPDIR to a directory with a short path.")
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def _passphrase(self, name: str) -> Path:
        path = self._directory(name) / "passphrase"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(system_rng(16).hex() + "\n")
        return path

    def _keyserver_toml(self) -> Path:
        return self.place / "keyserver" / "keyserver.toml"

    def _point_at(self, places: dict[str, str]) -> None:
        """Write the addresses that the broker got into the key server's configuration."""
        file = self._keyserver_toml()
        where = f'"{places["control"]}"\nbulk = "{places["bulk"]}"\nenrol = "{places["enrol"]}"'
        file.write_text(file.read_text().replace('"tcp://127.0.0.1:7700"', where))

    def _decide(self, request: dict[str, object]) -> Any:
        """Ask for a decision and wait until it is published and in force."""
        answer, end = self.ask(request), time.monotonic() + DECIDED
        while (status := self.ask({"command": "status"}))["published"] < status["decided"]:
            if time.monotonic() > end:
                raise TryLater("The key server has not published its decision.", "See its log.")
            time.sleep(_PAUSE)
        return answer

    def _said(self, name: str, label: str) -> str:
        """Return what a member's `join` printed under a label."""
        lines = self.processes.log(f"{name}-join").read_text().splitlines()
        return next(line.removeprefix(label).strip() for line in lines if line.startswith(label))
