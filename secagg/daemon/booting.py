"""A member's boot epoch: asked for at every start, and nothing is done in rounds before the key server has granted it.

How to read it: `start` draws a nonce and counts the start, and `ask` tells the key server where this member stands.
`take` hears the answer: `granted` (kept, and said), then `held`. `tell` lets the key server know that the ledger has
grown.
Rules: what was fenced once stays fenced. Only an answer to this very start counts. A ledger shorter than the one the
key server knows of is an old one, whatever the epoch says. Leaves to others: the verdict (keyserver.boots).
Source: docs/threat-model.md row 14.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.daemon.following import Follower
from secagg.daemon.ledger import Ledger
from secagg.daemon.turn import Turn
from secagg.errors import NotAuthorised, TryLater
from secagg.events.members import Fenced
from secagg.ids import Count, Digest
from secagg.roster.boot import BOOT, BootRequest, open_reply, sign_request
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import decode, encode

TIMER = "boot"
ASK = 2.0
"""Seconds between two questions, until there is an answer."""

_KEY = "boot"


class Boot(Struct, frozen=True, forbid_unknown_fields=True):
    """Where this start stands: the epoch, how often this member started, how long a ledger the key server knows of."""

    number: Count
    starts: Count
    nonce: Digest
    state: Literal["asking", "held", "fenced"]
    told: Count = 0
    said: Count = 0


def standing(turn: Turn) -> Boot | None:
    """Return where this start stands, None before the first."""
    kept = turn.get(_KEY)
    return decode(Boot, kept) if kept else None


def held(turn: Turn) -> bool:
    """Say whether the key server has confirmed that this start is the newest."""
    boot = standing(turn)
    return boot is not None and boot.state == "held"


class Booting:
    """The epoch of one member."""

    def __init__(self, name: str, key: SigningKey, follower: Follower, rng: Rng) -> None:
        self._name, self._key, self._follower, self._rng = name, key, follower, rng

    def start(self, turn: Turn) -> None:
        """Begin a start: a nonce of its own, and nothing is held any more."""
        before = standing(turn)
        number, starts = (before.number, before.starts) if before else (0, 0)
        state: Literal["asking", "fenced"] = "fenced" if before and before.state == "fenced" else "asking"
        _keep(turn, Boot(number, starts + 1, self._rng(32), state))
        self.ask(turn)

    def ask(self, turn: Turn) -> None:
        """Say where this member stands, and again until it is confirmed; a fenced one has nothing to ask."""
        boot = standing(turn)
        if boot is None or boot.state == "fenced":
            return
        size = Ledger(turn).size
        if boot.state == "asking" or boot.told < size:
            if self._follower.known(turn):
                turn.emit(KEYSERVER, BOOT, b"", sign_request(self._request(boot, turn), self._key))
                _keep(turn, replace(boot, said=size))
            turn.after(TIMER, ASK)

    def tell(self, turn: Turn) -> None:
        """Let the key server know that the ledger has grown, if it has."""
        boot = standing(turn)
        if boot and boot.state == "held" and boot.said < Ledger(turn).size:
            self.ask(turn)

    def take(self, message: Received, turn: Turn) -> bool:
        """Hear the key server; return whether this start has just been confirmed, or fenced.

        Raises: NotAuthorised when another says it; BadSignature; TryLater while there is no roster to judge it by.
        """
        if message.sender != KEYSERVER:
            raise NotAuthorised(f"{message.sender} grants epochs, which only the key server may.")
        reply, boot = open_reply(message.body, self._follower.standing(turn).log_key()), standing(turn)
        mine = (self._follower.roster(turn).federation, self._name)
        if boot is None or boot.state == "fenced" or (reply.federation, reply.member) != mine:
            return False
        if reply.nonce != boot.nonce:
            return False
        if reply.state == "fenced" or reply.records > Ledger(turn).size:
            self._fence(boot, turn)
            return True
        if reply.number > boot.number:
            _keep(turn, replace(boot, number=reply.number))
            self.ask(turn)
        elif reply.state == "held":
            _keep(turn, replace(boot, state="held", told=max(boot.told, reply.records)))
            turn.cancel(TIMER)
            self.tell(turn)
            return boot.state == "asking"
        return False

    def require(self, turn: Turn) -> None:
        """Raises: TryLater until this start is confirmed; NotAuthorised when it is fenced."""
        boot = standing(turn)
        if boot and boot.state == "fenced":
            raise NotAuthorised(CAUSE, REMEDY, code="E-FENCED")
        if boot is None or boot.state != "held":
            raise TryLater("The key server has not confirmed yet that this is the newest start.", "It is asked again.")

    def _fence(self, boot: Boot, turn: Turn) -> None:
        fenced = replace(boot, state="fenced")
        _keep(turn, fenced)
        turn.cancel(TIMER)
        turn.send(KEYSERVER, BOOT, b"", sign_request(replace(self._request(boot, turn), fenced=True), self._key))
        turn.tell(Fenced("E-FENCED", CAUSE, REMEDY))

    def _request(self, boot: Boot, turn: Turn) -> BootRequest:
        federation, size = self._follower.roster(turn).federation, Ledger(turn).size
        return BootRequest(federation, self._name, boot.number, boot.starts, boot.nonce, size)


CAUSE = "The key server knows a newer start of this member: this is a restored backup, or a second copy."
REMEDY = "Stop this copy. If it is the only one left, revoke the member and enrol it anew: it forgot what it opened."


def _keep(turn: Turn, boot: Boot) -> None:
    turn.put(_KEY, encode(boot))
