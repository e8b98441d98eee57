"""The roster in force, as a member keeps it in its journal: asked for until there is one, believed once per push.

Rules: manifests name the very roster bytes and the very directory checkpoint that were received, so both are kept as
received. A member that the roster knows under another key or role takes part in nothing.
Leaves to others: judging a push (secagg.daemon.membership), distributing it (keyserver), using it (the roles).
"""

from contextlib import suppress

from msgspec import Struct

from secagg.daemon.membership import Pin, Standing, follow, request
from secagg.daemon.turn import Turn
from secagg.errors import NotAuthorised, Refused, TryLater, VerificationFailed
from secagg.roster.members import Member, Roster
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import decode, encode

ASK = 5.0
"""Seconds between two questions for a roster, until there is an answer."""

TIMER = "roster"
"""Name of the timer that asks."""

_KEY, _BEFORE = "standing", "standing/before"
_WHOLE = 2**40


class Own(Struct, frozen=True):
    """What this party is in the roster: its name, its role and its signing key (32 bytes)."""

    name: str
    role: str
    sign_key: bytes


class Follower:
    """Who is in the federation, by the last roster that was verified."""

    def __init__(self, own: Own, pin: Pin) -> None:
        self._own, self._pin = own, pin
        self._cached: tuple[bytes, Standing, Roster] | None = None

    def known(self, turn: Turn) -> bool:
        """Say whether there is a roster."""
        return turn.get(_KEY) is not None

    def roster(self, turn: Turn) -> Roster:
        """Return the roster in force.

        Raises: TryLater while there is none.
        """
        return self._read(turn)[1]

    def standing(self, turn: Turn) -> Standing:
        """Return the signed roster and the directory checkpoint that holds it, as received.

        Raises: TryLater while there is none.
        """
        return self._read(turn)[0]

    def before(self, turn: Turn) -> Standing | None:
        """Return what stood before the roster in force, or None."""
        kept = turn.get(_BEFORE)
        return decode(Standing, kept, _WHOLE) if kept else None

    def relied(self, version: int, turn: Turn) -> Standing:
        """Return the roster that a manifest of this version is held against: the one in force, or what it renewed.

        A renewal changes nobody, and a round proposed in its moment should not fail; a revocation does.
        Raises: TryLater while there is no roster; Refused when it has expired, since nobody knows then who was revoked.
        """
        found, before = self.standing(turn), self.before(turn)
        if before is not None:
            old, new = before.roster(), found.roster()
            renewed = (old.members, old.limits) == (new.members, new.limits)
            found = before if renewed and old.version == version else found
        if turn.now() >= found.roster().expires:
            raise Refused(
                f"Roster version {found.roster().version} has expired.", "Check the key server, then the clock.",
                rule="roster.expired",
            )  # fmt: skip
        return found

    def aggregator(self, turn: Turn) -> Member:
        """Return the aggregator of this federation. Raises: TryLater while no roster names one."""
        with suppress(NotAuthorised):
            return self.roster(turn).aggregator()
        raise TryLater("The roster names no aggregator yet.", "Wait until the operator has enrolled one.")

    def reachable(self, turn: Turn) -> bool:
        """Say whether there is a roster, and an aggregator in it."""
        return self.aggregator_key(turn) is not None

    def aggregator_key(self, turn: Turn) -> bytes | None:
        """Return the aggregator's signing key, None while no roster names one."""
        try:
            return self.aggregator(turn).sign_key
        except TryLater:
            return None

    def sender(self, message: Received, turn: Turn) -> Member:
        """Return the aggregator, who sent this. Raises: NotAuthorised; TryLater while no roster names one."""
        aggregator = self.aggregator(turn)
        if message.sender != aggregator.name:
            raise NotAuthorised(f"{message.sender} sends a {message.kind}, which only the aggregator may.")
        return aggregator

    def ask(self, turn: Turn) -> None:
        """Ask the key server for the roster in force, and again until it answers."""
        turn.emit(KEYSERVER, "roster", b"", request(self.standing(turn) if self.known(turn) else None))
        turn.after(TIMER, ASK)

    def take(self, message: Received, turn: Turn) -> Roster | None:
        """Verify and keep what the key server pushes; return the roster, or None when it was asked for again.

        Raises: NotAuthorised when it is not the key server's; VerificationFailed when it does not hold, or names
        another key or role for this member.
        """
        if message.sender != KEYSERVER:
            raise NotAuthorised(f"{message.sender} sends a roster, which only the key server may.")
        last = self.standing(turn) if self.known(turn) else None
        try:
            standing = follow(message.body, self._pin, turn.now(), last)
        except VerificationFailed as error:
            if error.code != "E-BEHIND":
                raise
            self.ask(turn)
            return None
        roster = standing.roster()
        self._check_own(roster)
        if last is not None and last.signed != standing.signed:
            turn.put(_BEFORE, encode(last))
        turn.put(_KEY, encode(standing))
        turn.cancel(TIMER)
        return roster

    def _check_own(self, roster: Roster) -> None:
        own = self._own
        found = next((member for member in roster.members if member.name == own.name), None)
        if found is not None and (found.role, found.sign_key) != (own.role, own.sign_key):
            raise VerificationFailed(
                f"The roster holds another key or role for {own.name}.",
                "Do not take part: ask the operator who enrolled it.",
            )

    def _read(self, turn: Turn) -> tuple[Standing, Roster]:
        kept = turn.get(_KEY)
        if kept is None:
            raise TryLater("The key server has sent no roster yet.", "Wait, or check the broker and the key server.")
        if self._cached is None or self._cached[0] != kept:
            standing = decode(Standing, kept, _WHOLE)
            self._cached = (kept, standing, standing.roster())
        return self._cached[1:]
