"""A process that knows a secret number: what can be done so that it leaves nothing behind, and what cannot.

Done: no core file, no debugger of the same user (`PR_SET_DUMPABLE`), pages locked into memory where the system allows
it. The process ends together with the one that started it. Not done, because Python cannot: overwriting numbers that
were computed with. Those pages go back to the kernel, which clears them before anybody else gets them.
Leaves to others: telling people (commands). Source: docs/protocol.md §5, docs/operations.md "Deployment".
"""

import ctypes
import resource
import signal
from pathlib import Path

_DUMPABLE, _DEATH_SIGNAL = 4, 1
"""prctl: PR_SET_DUMPABLE, PR_SET_PDEATHSIG."""

_EVERYTHING = 3
"""mlockall: MCL_CURRENT | MCL_FUTURE."""

SWAPS = Path("/proc/swaps")


def harden() -> bool:
    """Keep this process's memory from files and debuggers; return whether its pages are locked into memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(_DUMPABLE, 0, 0, 0, 0)
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    # With a limit, locking what comes later would make an allocation fail in the middle of the work.
    return limit == resource.RLIM_INFINITY and system.mlockall(_EVERYTHING) == 0


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def swapping(listed: Path = SWAPS) -> bool:
    """Say whether this machine may write memory to a disk; also when it does not say."""
    try:
        return len(listed.read_text().splitlines()) > 1
    except OSError:
        return True
