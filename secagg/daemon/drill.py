"""Crash points: a daemon kills itself at a named place of its own loop, so that every line of the crash table is tried.

`SECAGG_DRILL` in the environment is `WHERE/WHAT@COUNT`: the process dies by SIGKILL when it comes to that place for the
COUNT-th time. WHERE is `before-save` (decided, files written, the journal not committed) or `after-save` (committed,
nothing sent). It is `chunk-data` (a chunk's bytes are on disk, its entry is not) or `relay` (the broker has not passed
a message on). WHAT is the kind of the event: that of a message (`round.MaskedInput`, `chunk`, `enrol`), or the door of
a broker. It is `timer.`, `work.` or `command.` and its name; `*` is any.

Rules: it is refused unless the federation's name begins with `drill`, so that nobody's service carries it by mistake.
It cannot make a role send anything it would not. Leaves to others: starting the role again.
Source: docs/transport.md "Crash rules".
"""

import os
import re
import signal

from secagg.errors import BadConfiguration, UsageError, WireError
from secagg.protocol.session import RoundHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode

VARIABLE = "SECAGG_DRILL"
PREFIX = "drill"
PLACES = ("before-save", "after-save", "chunk-data", "relay")

_WRITTEN = re.compile(r"\A(?P<where>[a-z-]+)/(?P<what>[A-Za-z0-9_.*-]{1,64})@(?P<count>[0-9]{1,6})\Z")


class Drill:
    """One place at which this process dies."""

    def __init__(self, where: str, what: str, count: int) -> None:
        self._place, self._what, self._left = where, what, count

    def met(self, where: str, what: str) -> bool:
        """Say whether this is the place, the last time before the count is full."""
        if where != self._place or self._what not in ("*", what):
            return False
        self._left -= 1
        return self._left == 0


_armed: list[Drill] = []
"""At most one: a process dies once."""


def parse(text: str) -> Drill:
    """Return the drill that `WHERE/WHAT@COUNT` describes.

    Raises: UsageError.
    """
    found = _WRITTEN.match(text)
    if found is None or found["where"] not in PLACES or int(found["count"]) < 1:
        raise UsageError(f"{VARIABLE}={text} is not WHERE/WHAT@COUNT.", f"Places: {', '.join(PLACES)}; count from 1.")
    return Drill(found["where"], found["what"], int(found["count"]))


def arm(federation: str) -> None:
    """Take up the drill that the environment asks for, if it does.

    Raises: BadConfiguration outside of a federation that is a drill; UsageError for a drill that is none.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return
    if not federation.startswith(PREFIX):
        raise BadConfiguration(
            f"{VARIABLE} is set, and the federation {federation} is no drill.",
            f"Unset it; a federation for drills has a name that begins with {PREFIX}.",
            code="E-DRILL",
        )
    _armed[:] = [parse(text)]


def reach(where: str, what: str = "") -> None:
    """Die here, as by a power cut, if this is the place."""
    if _armed and _armed[0].met(where, what):
        os.kill(os.getpid(), signal.SIGKILL)


def label(message: Received) -> str:
    """Return the name of a message's kind; messages of a round have that of their step."""
    if message.kind != "round":
        return message.kind
    try:
        return f"round.{decode(RoundHeader, message.header).kind}"
    except WireError:
        return message.kind
