"""Children of a demonstration: started, heard, ended, and never left behind."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from secagg.demo.orphans import watch
from secagg.demo.processes import Processes, undisturbed
from secagg.errors import SecaggError, TryLater

PYTHON = (sys.executable, "-c")
WAITS = "import sys, time; print('ready', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS.replace("ready", "ready deaf")


def test_what_a_child_prints_and_what_it_failed_with(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        assert processes.run("a", "print(6 * 7)", command=PYTHON) == "42\n"
        with pytest.raises(SecaggError, match=r"ended with 3: no luck"):
            processes.run("b", "import sys; print('no luck', file=sys.stderr); sys.exit(3)", command=PYTHON)
        processes.start("c", "print(input())", given="a token", command=PYTHON)
        processes.finish("c")
        begun = processes.run("d", "import tempfile; print(tempfile.mkdtemp())", command=PYTHON)
        assert Path(begun.strip()).parent.parent == tmp_path / "logs"
        assert processes.log("c").read_text() == "a token\n"
        with pytest.raises(SecaggError, match=r"e ended with code 1: .*ValueError"):
            processes.serve("e", "raise ValueError", command=PYTHON)


def test_leaving_the_block_ends_all_children_even_deaf_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secagg.demo.processes.PATIENCE", 0.2)
    with Processes(tmp_path / "logs") as processes:
        mild = processes.start("mild", WAITS, command=PYTHON)
        deaf = processes.serve("deaf", DEAF, command=PYTHON)
        assert processes.alive("deaf")
    assert (mild.returncode, deaf.returncode) == (-signal.SIGTERM, -signal.SIGKILL)
    assert processes.killed("deaf")
    assert not processes.killed("mild")
    with pytest.raises(TryLater, match="everything is being ended"):
        processes.start("late", WAITS, command=PYTHON)


def test_ending_reaches_a_child_that_another_thread_waits_for(tmp_path: Path) -> None:
    failures: list[str] = []
    processes = Processes(tmp_path / "logs")

    def wait() -> None:
        try:
            processes.run("slow", f"open({str(tmp_path / 'begun')!r}, 'w'); {WAITS}", command=PYTHON)
        except SecaggError as error:
            failures.append(error.cause)

    thread = threading.Thread(target=wait)
    thread.start()
    while not (tmp_path / "begun").exists():
        assert thread.is_alive()
    processes.end()
    thread.join(10)
    assert len(failures) == 1
    assert f"ended with {-signal.SIGTERM}" in failures[0]


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    reached = []
    before = signal.getsignal(signal.SIGTERM)

    def interrupt() -> None:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("end")
        reached.append("after")

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert reached == ["end"]
    assert signal.getsignal(signal.SIGTERM) is before


PARENT = """
import sys, time
from pathlib import Path
from secagg.demo.orphans import watch
from secagg.demo.processes import Processes
place = Path(sys.argv[1])
processes = Processes(place / "logs")
for name, code in (("mild", sys.argv[2]), ("deaf", sys.argv[3])):
    print(processes.serve(name, code, command=(sys.executable, "-c")).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfds")
def test_a_program_that_is_killed_leaves_no_child_and_no_file(tmp_path: Path) -> None:
    place = tmp_path / "federation"
    place.mkdir()
    mild = WAITS.replace("ready", "ready mild")
    line = [sys.executable, "-c", PARENT, str(place), mild, DEAF]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [os.pidfd_open(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
    for child in children:
        # A descriptor of a process is readable when that has ended.
        poll = select.poll()
        poll.register(child, select.POLLIN)
        assert poll.poll(30_000), "a child runs on"
        os.close(child)
    end = time.monotonic() + 10
    while place.exists():
        assert time.monotonic() < end, "its directory lies there"


def test_children_of_a_program_that_ends_in_order_are_its_own_to_end(tmp_path: Path) -> None:
    watch(["4000000\n", "done\n"], tmp_path)
    assert tmp_path.exists()
