"""How much memory this process used at most since a moment: peak resident set above its own baseline.

Rules: the baseline is taken after everything that was freed has gone back to the system. The peak is the kernel's own
(VmHWM), reset at the baseline where the kernel lets a process do so. `ru_maxrss` would not do: it survives exec, so a
child starts with the peak of its parent. Linux only; elsewhere the figures are 0.
"""

import ctypes
import gc
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class Footprint:
    """Made at the baseline; `peak()` is what came on top of it since."""

    def __init__(self) -> None:
        gc.collect()
        _give_back()
        if _CLEAR.exists():
            _CLEAR.write_text(_RESET_PEAK)
        self.baseline = _read("VmRSS")

    def peak(self) -> int:
        """Return the most bytes that were resident above the baseline."""
        return max(_read("VmHWM") - self.baseline, 0)

    def whole(self) -> int:
        """Return the most bytes that were resident in all."""
        return _read("VmHWM")


def _give_back() -> None:
    """Ask the C library to return freed memory; those that cannot keep it, which makes the baseline larger."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _read(field: str) -> int:
    if not _STATUS.exists():
        return 0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024
