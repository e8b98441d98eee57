"""What every test may count on: drawn examples are the same everywhere, and two workers do not fight for cores."""

import os

from hypothesis import settings

# Two threads on two shared cores make training an order of magnitude slower; real processes inherit this too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A failure that a second run does not show is no use to anybody; slow machines are no failure.
settings.register_profile("secagg", deadline=None, derandomize=True, database=None)
settings.load_profile("secagg")
