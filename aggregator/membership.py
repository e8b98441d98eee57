"""The roster in force as this aggregator verified it, and the opening key of every job.

Rules: a roster is believed under the pinned root only, never an older one, and only with its entry in the directory
log; manifests name the very bytes and the very checkpoint received. An opening key is drawn once per job, lies sealed
in the journal, and is destroyed with its data key when the job is over.
Leaves to others: distributing rosters (keyserver), using them (aggregator.schedule).
"""

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.daemon.turn import Turn
from secagg.daemon.vault import RoundKeys
from secagg.errors import TryLater, VerificationFailed
from secagg.log.statements import RosterChanged, open_statement
from secagg.log.witness import LogProof, check
from secagg.roster.chain import SignedRoster, online_key, open_roster
from secagg.roster.members import Roster
from secagg.wire.codec import decode

_ROSTER, _DIRECTORY = "roster/signed", "roster/directory"
_WHOLE = 2**40


class RosterPush(Struct, frozen=True, forbid_unknown_fields=True):
    """Key server → member, kind `roster`."""

    roster: bytes
    leaf: bytes
    proof: LogProof


class Membership:
    """Who is in the federation, by the last roster that was verified."""

    def __init__(self, name: str, public: bytes, fingerprint: str, keys: RoundKeys, rng: Rng) -> None:
        self._name, self._public, self._fingerprint = name, public, fingerprint
        self._keys, self._rng = keys, rng
        self._cached: tuple[bytes, Roster] | None = None
        self._openings: dict[bytes, SealingKey] = {}

    def known(self, turn: Turn) -> bool:
        """Say whether there is a roster."""
        return turn.get(_ROSTER) is not None

    def roster(self, turn: Turn) -> Roster:
        """Return the roster in force.

        Raises: TryLater while there is none.
        """
        signed = turn.get(_ROSTER)
        if signed is None:
            raise TryLater("The key server has sent no roster yet.", "Wait, or check the broker and the key server.")
        if self._cached is None or self._cached[0] != signed:
            self._cached = (signed, _inside(signed))
        return self._cached[1]

    def evidence(self, turn: Turn) -> tuple[bytes, bytes]:
        """Return the signed roster and the directory checkpoint that holds it, as received."""
        self.roster(turn)
        return turn.get(_ROSTER) or b"", turn.get(_DIRECTORY) or b""

    def take(self, signed: bytes, leaf: bytes, proof: LogProof, turn: Turn) -> Roster:
        """Verify and keep a roster; return it.

        Raises: VerificationFailed when root, chain, expiry or log entry do not hold, or this aggregator is not in it.
        """
        last = self.roster(turn) if self.known(turn) else None
        roster = open_roster(signed, self._fingerprint, turn.now(), last)
        key = online_key(signed, self._fingerprint)
        check(leaf, proof, f"{roster.federation}/directory", key, None)
        statement, _ = open_statement(leaf, lambda signer: key)
        if not isinstance(statement, RosterChanged) or statement.roster != sha256(signed).hex():
            raise VerificationFailed("The directory's entry names another roster.", "Ask the operator for the log.")
        mine = roster.member(self._name)
        if (mine.role, mine.sign_key) != ("aggregator", self._public):
            raise VerificationFailed(f"The roster has another key or role for {self._name}.", "Enrol it again.")
        turn.put(_ROSTER, signed)
        turn.put(_DIRECTORY, proof.checkpoint)
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


def _inside(signed: bytes) -> Roster:
    """Return the roster in signed bytes that were verified when they came; it may have expired since."""
    return decode(Roster, decode(SignedRoster, signed, _WHOLE).roster, _WHOLE)


def _label(job: str) -> str:
    return f"{job}.opening"
