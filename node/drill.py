"""A drill: this node kills itself where it is told to, so that an operator sees how a federation bears it.

Rules: it dies by SIGKILL at the moment the message arrives that it would answer with the named step, before anything of
it is saved. It cannot make a node send anything it would not. Leaves to others: starting it again (the operator).
"""

import os
import re
import signal

from msgspec import Struct

from secagg.daemon.participant import find_round
from secagg.daemon.turn import Turn
from secagg.errors import UsageError
from secagg.ids import STEPS
from secagg.protocol import engines
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.messages import Propose
from secagg.protocol.session import RoundHeader
from secagg.transport.link import Received
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK

_WRITTEN = re.compile(r"\A(?P<step>[A-Za-z]+)@(?P<round>[0-9]{1,9})(?:@(?P<job>[a-z0-9-]{1,64}))?\Z")


class Drill(Struct, frozen=True):
    """STEP@ROUND[@JOB]: any job when it is left out."""

    step: str
    round: int
    job: str = ""

    def due(self, header: RoundHeader, engine: str) -> bool:
        """Say whether this message of a round of that engine would be answered with the drill's step, in its round."""
        place = header.round
        return (
            engine in engines.ENGINES
            and engines.load(engine).member.ANSWERS.get(header.kind) == self.step
            and place.round == self.round
            and self.job in ("", place.job)
        )  # fmt: skip

    def reached(self, message: Received, turn: Turn) -> bool:
        """Say whether this is the message of kind `round` that the drill waits for."""
        header = decode(RoundHeader, message.header)
        return self.due(header, _engine_of(header, message.body, turn))

    def die(self) -> None:
        """End this process as a power cut would."""
        os.kill(os.getpid(), signal.SIGKILL)


def _engine_of(header: RoundHeader, body: bytes, turn: Turn) -> str:
    """Return the engine of the round that a message is of; nothing when this node is not in it."""
    if header.kind == "Propose":
        return decode(Manifest, decode(Propose, body, LIMIT_BULK).manifest.body, LIMIT_BULK).engine
    kept = find_round(turn, header.round.label())
    return kept.engine if kept else ""


def parse(text: str) -> Drill:
    """Return the drill that `STEP@ROUND[@JOB]` describes.

    Raises: UsageError.
    """
    found = _WRITTEN.match(text)
    if found is None or found["step"] not in STEPS or int(found["round"]) < 1:
        raise UsageError(f"{text} is not STEP@ROUND[@JOB].", f"Steps: {', '.join(STEPS)}; rounds begin at 1.")
    return Drill(found["step"], int(found["round"]), found["job"] or "")
