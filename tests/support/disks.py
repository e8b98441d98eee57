"""Disks that fill up and fail under real daemons: a small tmpfs, a limit on file sizes, EIO injected by strace.

Each is one federation of `support.drills`; where no other is named, the role under test is the aggregator, which writes
most.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secagg.demo.founding import AGGREGATOR, Federation


def may_mount(place: Path) -> str:
    """Return why a tmpfs cannot be mounted here; nothing when it can."""
    if os.geteuid() != 0:
        return "mounting a tmpfs takes root"
    place.mkdir(exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    tried = subprocess.run(line, capture_output=True, text=True)
    if tried.returncode:
        return f"a tmpfs cannot be mounted: {tried.stderr.strip()}"
    subprocess.run(["umount", str(place)], check=True)
    return ""


def may_trace() -> str:
    """Return why strace cannot inject faults here; nothing when it can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    line = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1", "true"]
    tried = subprocess.run(line, capture_output=True, text=True)
    return f"strace may not trace: {tried.stderr.strip()}" if tried.returncode else ""


@contextmanager
def small_disk(federation: Federation, mebibytes: int) -> Iterator[Path]:
    """Put the aggregator's state on a tmpfs of this size, before it is started."""
    state = federation.home(AGGREGATOR) / "state"
    kept = state.with_name("kept")
    state.rename(kept)
    state.mkdir(mode=0o700)
    size = f"size={mebibytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(state)], check=True)
    try:
        # A daemon that was killed leaves its socket, which is no file to copy.
        shutil.copytree(kept, state, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
        state.chmod(0o700)
        yield state
    finally:
        federation.processes.stop(AGGREGATOR)
        shutil.rmtree(kept)
        # What happened on the small disk goes on elsewhere: an older copy would be a fork.
        shutil.copytree(state, kept)
        subprocess.run(["umount", "-l", str(state)], check=True)
        state.rmdir()
        kept.rename(state)


def fill(state: Path) -> Path:
    """Take all the room that is left on a disk."""
    filler = state / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


@contextmanager
def failing(
    federation: Federation, syscall: str, first: int, every: int, log: Path, role: str = AGGREGATOR
) -> Iterator[None]:
    """Let every so many of a system call of a running role fail with EIO while the block runs."""
    inject = f"inject={syscall}:error=EIO:when={first}+{every}"
    pid = str(federation.processes.pid(role))
    line = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={syscall}", "-e", inject, "-p", pid]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
        try:
            while f"TracerPid:\t{tracer.pid}" not in Path(f"/proc/{pid}/status").read_text():
                time.sleep(0.01)
            yield
        finally:
            tracer.terminate()
