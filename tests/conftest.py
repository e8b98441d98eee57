"""What every test may count on: drawn examples are the same everywhere, and two workers do not fight for cores.

Members in one process do not compute again what one of them has (support/remembering.py).
"""

import os

from hypothesis import settings

from support.remembering import remember

# Two threads on two shared cores make training an order of magnitude slower; real processes inherit this too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A failure that a second run does not show is no use to anybody; slow machines are no failure.
settings.register_profile("secagg", deadline=None, derandomize=True, database=None)
settings.load_profile("secagg")

# Before any test module is imported, so that every `from secagg.crypto.sign import verify` finds what remembers.
remember()
