"""Commands ask the running key server over its admin socket, and wait until what they asked for has taken effect."""

import time
from pathlib import Path
from typing import Any

from keyserver.config import read
from secagg.daemon.admin import SOCKET, call
from secagg.daemon.options import current
from secagg.errors import TryLater

PATIENCE = 15.0
"""Seconds until a decision must be published; it takes milliseconds unless the disk is slow."""

_PAUSE = 0.02


def ask(state_dir: Path | None, request: dict[str, object]) -> Any:
    """Return the key server's answer.

    Raises: PeerUnavailable when it does not run; its own errors.
    """
    return call((state_dir or read(current().config).state_dir) / SOCKET, request)


def decide(state_dir: Path | None, request: dict[str, object]) -> Any:
    """As `ask`, and wait until everything decided is in the published directory and in force.

    Raises: as `ask`; TryLater when it is not published in time.
    """
    place = state_dir or read(current().config).state_dir
    answer = ask(place, request)
    end = time.monotonic() + PATIENCE
    while True:
        status = ask(place, {"command": "status"})
        if status["published"] >= status["decided"]:
            return answer
        if time.monotonic() > end:
            raise TryLater(
                "The decision is kept but not published yet.", "Look at the key server's log; it goes on trying."
            )
        time.sleep(_PAUSE)
