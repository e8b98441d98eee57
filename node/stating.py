"""What this institution itself states in the round log: signed here, kept until the aggregator can be reached.

Rules: a statement is signed once, in the turn in which it becomes true. It is sent as kind `state` until the aggregator
has it, also after restarts. Who receives it parses it with the log's own reader and logs it once.
Leaves to others: what is stated (node.sources, node.service), logging it (the aggregator).
"""

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.daemon.turn import Turn
from secagg.log.statements import Statement, sign_statement

STATE = "state"
"""The kind of a member's own statement on its way to the aggregator."""

_KEPT = "state/"


class Stating:
    """The statements of one member."""

    def __init__(self, name: str, key: SigningKey) -> None:
        self._name, self._key = name, key

    def say(self, statement: Statement, turn: Turn) -> None:
        """Sign a statement and keep it for the aggregator."""
        leaf = sign_statement(statement, self._name, self._key)
        turn.put(f"{_KEPT}{sha256(leaf).hex()}", leaf)

    def send(self, to: str, turn: Turn) -> None:
        """Hand what is kept to the outbox, for the aggregator `to`."""
        for key, leaf in turn.scan(_KEPT):
            turn.send(to, STATE, b"", leaf)
            turn.delete(key)
