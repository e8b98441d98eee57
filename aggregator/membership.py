"""The roster in force as this aggregator follows it, and the opening key of every job.

Rules: an opening key is drawn once per job and lies sealed in the journal. It is destroyed with its data key when the
job is over. Leaves to others: believing a roster (secagg.daemon.following), using it (schedule.py).
"""

from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.daemon.following import Follower, Own
from secagg.daemon.membership import Pin
from secagg.daemon.turn import Turn
from secagg.daemon.vault import RoundKeys
from secagg.protocol.manifest import Seat
from secagg.roster.members import Roster
from secagg.transport.link import Received


class Membership(Follower):
    """Who is in the federation, and what members seal to."""

    def __init__(self, name: str, public: bytes, pin: Pin, keys: RoundKeys, rng: Rng) -> None:
        super().__init__(Own(name, "aggregator", public), pin)
        self._keys, self._rng = keys, rng
        self._openings: dict[bytes, SealingKey] = {}

    def seats(self, turn: Turn) -> tuple[Seat, ...]:
        """Return the seats of all nodes now. Raises: TryLater while there is no roster."""
        nodes = self.roster(turn).nodes()
        return tuple(Seat(member.name, member.organisation, member.sign_key) for member in nodes)

    def has(self, name: str, turn: Turn) -> bool:
        """Say whether somebody of this name is in the federation now. Raises: TryLater while there is no roster."""
        return any(member.name == name for member in self.roster(turn).members)

    def take(self, message: Received, turn: Turn) -> Roster | None:
        """Take a roster, and send nothing any more to whoever is not in it. Raises: as Follower."""
        before = self.roster(turn).members if self.known(turn) else ()
        roster = super().take(message, turn)
        if roster is not None:
            left = {(member.name, member.sign_key) for member in roster.members}
            for gone in (member for member in before if (member.name, member.sign_key) not in left):
                turn.withdraw(gone.name)
        return roster

    def opening(self, job: str, turn: Turn) -> SealingKey:
        """Return the key to which members seal what opens this job's rounds; drawn on first use."""
        sealed = turn.get(f"opening/{job}")
        if sealed is None:
            sealed = self._keys.seal(_label(job), self._rng(96))
            turn.put(f"opening/{job}", sealed)
        if sealed not in self._openings:
            self._openings = {sealed: SealingKey.from_private_bytes(self._keys.open(_label(job), sealed))}
        return self._openings[sealed]

    def erase_opening(self, job: str, turn: Turn) -> None:
        """Destroy a job's opening key."""
        turn.delete(f"opening/{job}")
        # After the commit: a turn that is rolled back still needs the key.
        turn.run(f"erase/{_label(job)}", lambda: self._keys.erase(_label(job)))

    def sweep(self, turn: Turn) -> None:
        """Destroy what a crash left of the opening keys of jobs that are over, or of turns that were never saved."""
        kept = {_label(key.partition("/")[2]) for key, _ in turn.scan("opening/")}
        for label in self._keys.labels():
            if label not in kept:
                # Now and not beside the loop: the same job may be proposed next, under a key of that very name.
                self._keys.erase(label)


def _label(job: str) -> str:
    return f"{job}.opening"
