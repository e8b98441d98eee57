"""A daemon as a process: says when it is ready, keeps a second one away, ends on a signal."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from secagg.daemon import admin, process

pytestmark = pytest.mark.processes

PROGRAM = """
import sys, threading
from pathlib import Path
from secagg.daemon.process import run_daemon
from secagg.errors import SecaggError
from secagg.transport.memory import MemoryNetwork

class Idle:
    def start(self, turn):
        turn.put("starts", (turn.get("starts") or b"") + b".")
        turn.run("forever", threading.Event().wait)
    def receive(self, message, turn): ...
    def wake(self, name, turn): ...
    def finished(self, name, outcome, turn): ...
    def command(self, request, turn):
        return {"starts": len(turn.get("starts"))}

try:
    run_daemon(Idle(), lambda: MemoryNetwork().link("idle"), Path(sys.argv[1]), "idle", "node")
except SecaggError as error:
    sys.exit(f"{error.code} {error.cause}")
"""


def run(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(state)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_daemon_is_ready_alone_and_ends_on_a_signal(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for start in (1, 2):
        with run(state) as daemon:
            assert daemon.stdout is not None
            assert daemon.stdout.readline() == "ready node idle\n"
            told = json.loads((state / process.READY).read_text())
            assert told == {"pid": daemon.pid, "name": "idle", "role": "node"}
            assert admin.call(state / admin.SOCKET, {"command": "status"}) == {"starts": start}
            with run(state) as second:
                assert "E-JOURNAL" in second.communicate(timeout=20)[1]
            assert second.returncode == 1
            assert (state / process.READY).exists()
            assert admin.call(state / admin.SOCKET, {"command": "status"}) == {"starts": start}
            daemon.send_signal(signal.SIGTERM)
            _, log = daemon.communicate(timeout=20)
        assert daemon.returncode == 0
        events = [json.loads(line)["event"] for line in log.splitlines()]
        # Nobody is at the other end, which a slow machine has time to say.
        assert [event for event in events if event != "change_link"] == ["serve", "stop"]
        assert [path.name for path in state.iterdir() if path.name.endswith((".json", ".sock"))] == []


def test_an_open_state_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with run(tmp_path) as daemon:
        assert "mode 0755" in daemon.communicate(timeout=20)[1]
