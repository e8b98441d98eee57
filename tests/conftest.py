"""What every test may count on: drawn examples are the same everywhere, and two workers do not fight for cores.

Members in one process do not compute again what one of them has (support/remembering.py).
"""

import os

import pytest
from hypothesis import settings

from support.remembering import remember

# Two threads on two shared cores make training an order of magnitude slower; real processes inherit this too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A failure that a second run does not show is no use to anybody; slow machines are no failure.
settings.register_profile("secagg", deadline=None, derandomize=True, database=None)
settings.load_profile("secagg")

# No test in this process loses its power; what has to be synced, and when, is watched where it is the question.
os.fsync = lambda fd: None

# Before any test module is imported, so that every `from secagg.crypto.sign import verify` finds what remembers.
remember()


@pytest.fixture
def short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every role take a Paillier key of 512 bits: where length is not the question, a full one costs 64 times more.

    What a full key is refused for below 2048 bits is tested without (tests/unit/crypto_paillier/test_keys.py).
    """
    from secagg.crypto.paillier import keys
    from support.paillier_keys import SMALL

    monkeypatch.setattr(keys, "FLOOR_BITS", SMALL)
