"""Commands ask the running key server over its admin socket, and wait until what they asked for has taken effect."""

import time
from pathlib import Path
from typing import TypeVar

from keyserver.answers import MemberShown
from keyserver.config import read
from keyserver.requests import ShowMember, Status
from secagg.daemon import admin
from secagg.daemon.options import current
from secagg.daemon.requests import Request
from secagg.errors import BadInput, SecaggError, TryLater

PATIENCE = 15.0
"""Seconds until a decision must be published; it takes milliseconds unless the disk is slow."""

_PAUSE = 0.02

A = TypeVar("A")


def socket(state_dir: Path | None) -> Path:
    """Return the admin socket of the key server of this state directory, or of the configuration that was named."""
    return (state_dir or read(current().config).state_dir) / admin.SOCKET


def ask(state_dir: Path | None, request: Request[A]) -> A:
    """Return the key server's answer.

    Raises: PeerUnavailable when it does not run; its own errors.
    """
    return admin.ask(socket(state_dir), request)


def decide(state_dir: Path | None, request: Request[A]) -> A:
    """As `ask`, and wait until everything decided is in the published directory and in force.

    Raises: as `ask`; TryLater when it is not published in time.
    """
    place = state_dir or read(current().config).state_dir
    answer = ask(place, request)
    end = time.monotonic() + PATIENCE
    while True:
        status = ask(place, Status())
        if status.published >= status.decided:
            return answer
        if time.monotonic() > end:
            raise TryLater(
                "The decision is kept but not published yet.", "Look at the key server's log; it goes on trying."
            )
        time.sleep(_PAUSE)


def await_request(state_dir: Path | None, name: str, seconds: float) -> MemberShown:
    """Return a member's request, as `member.show` gives it, once it is there.

    Raises: as `ask`; BadInput (`E-CANDIDATE` or `E-MEMBER`) when it has not come in time.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return ask(state_dir, ShowMember(name))
        except SecaggError as error:
            if error.exit_code != BadInput.exit_code or time.monotonic() >= end:
                raise
        time.sleep(_PAUSE)
