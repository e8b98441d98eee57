"""What members state themselves (kind `state`): judged by the log's own reader, and kept once.

Rules: a statement is the sender's own, of a type that members make, signed with its key in the roster. What is not is
its sender's fault. Nobody has more than MOST of them kept. Leaves to others: logging what is kept.
"""

from secagg.crypto.derive import sha256
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation
from secagg.log.statements import OverlapAllowed, SourceChanged, UncheckedAccepted, open_statement
from secagg.roster.members import Roster
from secagg.transport.link import Received

KEPT = "stated/"
Stated = OverlapAllowed | SourceChanged | UncheckedAccepted
MOST = 256
"""Statements of one member: people make them, one at a time."""


def take(message: Received, roster: Roster, turn: Turn) -> Stated | None:
    """Keep a member's statement; return it when it is a new one.

    Raises: ProtocolViolation (`state.member`), VerificationFailed when it is not to be believed.
    """
    keys = {member.name: member.sign_key for member in roster.nodes()}
    statement, signer = open_statement(message.body, lambda name: keys.get(name, b""))
    about = (message.sender, message.sender, roster.federation)
    made = statement if isinstance(statement, OverlapAllowed | SourceChanged | UncheckedAccepted) else None
    if made is None or (signer, made.member, made.federation) != about:
        cause = f"{message.sender} states what is not its own."
        raise ProtocolViolation(cause, "It is discarded.", rule="state.member")
    place = f"{KEPT}{signer}/{sha256(message.body).hex()}"
    if turn.get(place) is not None or len(turn.scan(f"{KEPT}{signer}/")) >= MOST:
        return None
    turn.put(place, message.body)
    return made
