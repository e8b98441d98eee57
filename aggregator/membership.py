"""The roster in force as this aggregator follows it, and the opening key of every job.

Rules: manifests name the very roster bytes and the very directory checkpoint received; an aggregator that the roster
knows under another key serves nobody. An opening key is drawn once per job, lies sealed in the journal, and is
destroyed with its data key when the job is over.
Leaves to others: judging a push (secagg.daemon.membership), distributing it (keyserver), using it (schedule.py).
"""

from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.daemon.membership import Pin, Standing, follow, request
from secagg.daemon.turn import Turn
from secagg.daemon.vault import RoundKeys
from secagg.errors import TryLater, VerificationFailed
from secagg.roster.members import Roster
from secagg.wire.codec import decode, encode

_KEY = "standing"
_WHOLE = 2**40


class Membership:
    """Who is in the federation, by the last roster that was verified."""

    def __init__(self, name: str, public: bytes, pin: Pin, keys: RoundKeys, rng: Rng) -> None:
        self._name, self._public, self._pin = name, public, pin
        self._keys, self._rng = keys, rng
        self._cached: tuple[bytes, Standing, Roster] | None = None
        self._openings: dict[bytes, SealingKey] = {}

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

    def request(self, turn: Turn) -> bytes:
        """Return the question for the roster in force."""
        return request(self.standing(turn) if self.known(turn) else None)

    def take(self, body: bytes, turn: Turn) -> Roster:
        """Verify and keep what the key server pushes; return the roster.

        Raises: VerificationFailed when it does not hold, or names another key or role for this aggregator.
        """
        standing = follow(body, self._pin, turn.now(), self.standing(turn) if self.known(turn) else None)
        roster = standing.roster()
        mine = roster.member(self._name)
        if (mine.role, mine.sign_key) != ("aggregator", self._public):
            raise VerificationFailed(f"The roster has another key or role for {self._name}.", "Enrol it again.")
        turn.put(_KEY, encode(standing))
        return roster

    def opening(self, job: str, turn: Turn) -> SealingKey:
        """Return the key to which members seal what opens this job's rounds; drawn on first use."""
        kept = turn.get(f"opening/{job}")
        if kept is None:
            kept = self._keys.seal(_label(job), self._rng(96))
            turn.put(f"opening/{job}", kept)
        if kept not in self._openings:
            self._openings = {kept: SealingKey.from_private_bytes(self._keys.open(_label(job), kept))}
        return self._openings[kept]

    def erase_opening(self, job: str, turn: Turn) -> None:
        """Destroy a job's opening key."""
        self._openings = {}
        turn.delete(f"opening/{job}")
        self._keys.erase(_label(job))

    def _read(self, turn: Turn) -> tuple[Standing, Roster]:
        kept = turn.get(_KEY)
        if kept is None:
            raise TryLater("The key server has sent no roster yet.", "Wait, or check the broker and the key server.")
        if self._cached is None or self._cached[0] != kept:
            standing = decode(Standing, kept, _WHOLE)
            self._cached = (kept, standing, standing.roster())
        return self._cached[1:]


def _label(job: str) -> str:
    return f"{job}.opening"
