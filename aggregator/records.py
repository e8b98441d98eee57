"""What the aggregator keeps in its journal: jobs, outcomes of rounds, and the keys under which they lie.

Rules: a struct per value, encoded completely; a job's name is used once. Leaves to others: what follows from them
(aggregator.schedule), phases of a round (the engine), secrets (secagg.daemon.vault).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from msgspec import UNSET, Struct
from msgspec.structs import replace

from secagg.daemon.turn import Turn
from secagg.errors import BadInput
from secagg.ids import NO_DIGEST, Count, Digest, Name, Ordinal, RoundId
from secagg.log.aside import readable
from secagg.protocol import engines
from secagg.protocol.binding import Bound, seats_digest
from secagg.protocol.fitting import Known
from secagg.protocol.manifest import JobSpec, Seat
from secagg.protocol.round.phases import Closed, Common, Failed
from secagg.protocol.session import LOST_STEPS
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed

WHOLE = 2**40
"""Limit for values that this daemon wrote itself."""

_OPENING = "opening"
"""Where the running round's `Opening` lies."""

Phase = Common | Closed | Failed
"""A phase of any engine's round."""

JobState = Literal["queued", "waiting", "round", "step", "done", "failed"]


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """A job: `round` and `attempt` come next or are running.

    `model` is the blob of the model they start from, `initial` that of the first one. `state_blob` is that of what the
    algorithm keeps between rounds (zeros while that is nothing).

    `state`: queued (others are before it, or members are missing), waiting (for members between rounds), round (one is
    running). Then step (the next model is being computed), done, failed. `entry` is its place in the log. `gone` are
    the members that dropped out of the last round, for which the next one waits `rejoin_ms`. `named` those whose fault
    is proven, by the side files `proofs`. `asked` is the name in its file. `reason`, `rule` and `remedy` say why a job
    failed, and what gets on.
    """

    number: Count
    spec: JobSpec
    signed: Signed
    entry: Count
    initial: Digest = NO_DIGEST
    state: JobState = "queued"
    round: Ordinal = 1
    attempt: Ordinal = 1
    model: Digest = NO_DIGEST
    model_digest: Digest = NO_DIGEST
    state_blob: Digest = NO_DIGEST
    state_digest: Digest = NO_DIGEST
    gone: tuple[Name, ...] = ()
    rejoin_ms: Count = 0
    asked: str = ""
    reason: str = ""
    rule: str = ""
    remedy: str = ""
    named: tuple[Name, ...] = ()
    proofs: tuple[Digest, ...] = ()

    @property
    def parties(self) -> tuple[str, ...]:
        """Return everybody whom a round is proposed to: the cohort, and the trustees that open it."""
        spec = self.spec
        return spec.cohort if spec.custody is UNSET else (*spec.custody.names(), *spec.cohort)

    @property
    def patience(self) -> float:
        """Return how many seconds a round waits for its members to be there."""
        # Before the first round members may still have a model to fetch and a task to load.
        return self.longest if self.gone or self.round == 1 else self.spec.step_ms / 1000

    @property
    def longest(self) -> float:
        """Return how many seconds a round waits for members that it cannot do without."""
        return max(self.spec.step_ms, self.rejoin_ms) / 1000

    @property
    def mark(self) -> str:
        """Return what names the attempt that comes next."""
        return f"{self.spec.name}.{self.round}.{self.attempt}"


class Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """How a round ended for good: published (blob, length, salt, place in the log), or lost with step and reason."""

    round: RoundId
    contributors: tuple[Name, ...] = ()
    published: Digest = NO_DIGEST
    length: Count = 0
    salt: Digest = NO_DIGEST
    entry: Count = 0
    step: str = ""
    reason: str = ""
    missing: tuple[Name, ...] = ()
    manifest: Digest = NO_DIGEST

    @property
    def lost(self) -> bool:
        """Say whether the attempt has no result."""
        return self.published == NO_DIGEST

    @property
    def lost_round(self) -> bool:
        """Say whether it may have been opened all the same, so that the round never comes again."""
        return self.lost and self.step in LOST_STEPS


class Opening(Struct, frozen=True, forbid_unknown_fields=True):
    """The set that the running round asks to open, and the tag of every input in it, in the order of seats."""

    seats: tuple[Seat, ...]
    inputs: tuple[Digest, ...]


class Agreed(Struct, frozen=True, forbid_unknown_fields=True):
    """Which set of an attempt was agreed to: the entry of its freeze; the files of manifest, lists and agreements."""

    entry: Count
    files: tuple[Digest, Digest, Digest, Digest]


def put_job(turn: Turn, job: Job, **changes: object) -> Job:
    """Keep a job with these changes and return it."""
    changed: Job = replace(job, **changes)
    turn.put(f"job/{job.spec.name}", encode(changed))
    return changed


def find_job(turn: Turn, name: str) -> Job | None:
    """Return the job of this name, if there is one."""
    kept = turn.get(f"job/{name}")
    return decode(Job, kept, WHOLE) if kept else None


def get_job(turn: Turn, name: str) -> Job:
    """Return the job of this name.

    Raises: BadInput when there is none.
    """
    job = find_job(turn, name)
    if job is None:
        raise BadInput(f"There is no job {name}.", "See `secagg job list`.", code="E-JOB")
    return job


def all_jobs(turn: Turn) -> list[Job]:
    """Return all jobs in the order of submission."""
    return sorted((decode(Job, kept, WHOLE) for _, kept in turn.scan("job/")), key=lambda job: job.number)


def put_outcome(turn: Turn, outcome: Outcome) -> None:
    """Keep how a round ended."""
    turn.put(f"outcome/{outcome.round.job}/{outcome.round.round:010d}", encode(outcome))


def find_outcome(turn: Turn, job: str, number: int) -> Outcome | None:
    """Return how a round ended, if it has."""
    kept = turn.get(f"outcome/{job}/{number:010d}")
    return decode(Outcome, kept, WHOLE) if kept else None


def put_attempt(turn: Turn, outcome: Outcome) -> None:
    """Keep how an attempt ended."""
    turn.put(f"attempt/{outcome.round.label()}", encode(outcome))


def find_attempt(turn: Turn, round_id: RoundId) -> Outcome | None:
    """Return how an attempt ended, if it has."""
    data = turn.get(f"attempt/{round_id.label()}")
    found = decode(Outcome, data, WHOLE) if data else None
    return found if found and found.round == round_id else None


def put_frozen_set(turn: Turn, seats: Sequence[Seat]) -> None:
    """Keep that a set of seats was frozen: inputs may be bound to it from now on."""
    turn.put(f"frozen/{seats_digest(seats).hex()}", encode(tuple(seats)))


def frozen_sets(turn: Turn, named: Collection[str] = ()) -> dict[bytes, tuple[Seat, ...]]:
    """Return every set that was frozen, by its digest; each also without the named members."""
    found: dict[bytes, tuple[Seat, ...]] = {}
    for _, data in turn.scan("frozen/"):
        seats = decode(tuple[Seat, ...], data, WHOLE)
        for left in (seats, _without(seats, named)):
            found[seats_digest(left)] = left
    return found


def _without(seats: Sequence[Seat], named: Collection[str]) -> tuple[Seat, ...]:
    return tuple(seat for seat in seats if seat.name not in named)


def put_opening(turn: Turn, seats: Sequence[Seat], bounds: Mapping[str, Bound]) -> None:
    """Keep which set, and which inputs in it, the running round asks to open."""
    mine = tuple(seat for seat in seats if seat.name in bounds)
    turn.put(_OPENING, encode(Opening(mine, tuple(bounds[seat.name].input for seat in mine))))


def opening(turn: Turn) -> tuple[str, ...]:
    """Return the members of the set that the running round asked to open; nobody before it asks."""
    kept = turn.get(_OPENING)
    return tuple(seat.name for seat in decode(Opening, kept, WHOLE).seats) if kept else ()


def put_summed(turn: Turn, members: Collection[str]) -> None:
    """Remember for good over which set the inputs of these members were summed, or may have been; the round is over."""
    data = turn.get(_OPENING)
    if data is None:
        return
    found = decode(Opening, data, WHOLE)
    digest = seats_digest(found.seats)
    for seat, tag in zip(found.seats, found.inputs, strict=True):
        if seat.name in members:
            before = [one for one in _summed(turn, seat.key, tag) if one != digest]
            turn.put(f"summed/{seat.key.hex()}/{tag.hex()}", b"".join((*before, digest)))
    turn.delete(_OPENING)


def _summed(turn: Turn, key: bytes, tag: bytes) -> tuple[bytes, ...]:
    """Return the digests of the sets over which an input was summed, the last one last."""
    kept, size = turn.get(f"summed/{key.hex()}/{tag.hex()}") or b"", len(NO_DIGEST)
    return tuple(kept[at : at + size] for at in range(0, len(kept), size))


def put_terms(turn: Turn, member: str, changing_sets: bool, exact_counts: bool) -> None:
    """Remember what a member's policy says, for when it is away."""
    said = b"%d%d" % (changing_sets, exact_counts)
    if turn.get(f"terms/{member}") != said:
        turn.put(f"terms/{member}", said)


def lacking_terms(turn: Turn, members: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return whose policy lets no set of members change, and whose takes no exact counts; unknown ones do neither."""
    said = {member: turn.get(f"terms/{member}") or b"00" for member in members}
    return tuple(m for m in members if said[m][:1] == b"0"), tuple(m for m in members if said[m][1:] == b"0")


def free_name(turn: Turn, name: str, over: str = "") -> str:
    """Return the name under which a job is submitted: its own, or with a number when those before it failed.

    `over` is a job that is about to fail.
    """
    free, number = name, 1
    while (job := find_job(turn, free)) is not None and (job.state == "failed" or free == over):
        number += 1
        free = f"{name[:56]}-{number}"
    return free


def put_allowance(turn: Turn, job: str, member: str, leaf: bytes) -> None:
    """Keep that a member lets a job overlap; its newest word counts, which may be under another key."""
    turn.put(f"allowance/{job}/{member}", leaf)


def find_allowances(turn: Turn, job: str, roster: Collection[Seat]) -> tuple[bytes, ...]:
    """Return the entries of members who let a job overlap, as far as they still have the seat that signed."""
    keys = {seat.name: seat.key for seat in roster}
    kept = [(key.rpartition("/")[2], leaf) for key, leaf in turn.scan(f"allowance/{job}/")]
    return tuple(leaf for name, leaf in kept if name in keys and readable(leaf, name, keys[name]))


def known(job: Job, seats: Callable[[Turn], tuple[Seat, ...]], turn: Turn) -> Known:
    """Return what is known, beside a round of a job, of whom can be summed together."""
    roster, earlier = seats(turn), frozen_sets(turn, job.named)

    def summed(key: bytes, tag: bytes) -> tuple[bytes, ...]:
        # A set is the same one without members whose fault is proven: the difference shows their own inputs.
        return tuple(seats_digest(_without(earlier[one], job.named)) for one in _summed(turn, key, tag))

    return Known(earlier, find_allowances(turn, job.spec.name, roster), roster, summed)


def put_agreed(turn: Turn, round_id: RoundId, agreed: Agreed) -> None:
    """Keep which set of an attempt was agreed to, for members that ask afterwards."""
    turn.put(f"agreed/{round_id.label()}", encode(agreed))


def find_agreed(turn: Turn, round_id: RoundId) -> Agreed | None:
    """Return which set of an attempt was agreed to."""
    kept = turn.get(f"agreed/{round_id.label()}")
    return decode(Agreed, kept, WHOLE) if kept else None


def outcomes(turn: Turn, job: str) -> list[Outcome]:
    """Return how the rounds of a job ended, in their order."""
    return [decode(Outcome, kept, WHOLE) for _, kept in turn.scan(f"outcome/{job}/")]


def publish_blob(turn: Turn, digest: bytes) -> None:
    """Allow members to fetch the blob of this digest."""
    turn.put(f"public/{digest.hex()}", b"")


def is_public(turn: Turn, digest: bytes) -> bool:
    """Say whether members may fetch the blob of this digest."""
    return turn.get(f"public/{digest.hex()}") is not None


def put_held(turn: Turn, member: str, size: int) -> None:
    """Remember which checkpoint of the round log a member holds."""
    if held(turn, member) != size:
        turn.put(f"held/{member}", str(size).encode())


def held(turn: Turn, member: str) -> int:
    """Return the size of the last checkpoint that a member is known to hold."""
    return int(turn.get(f"held/{member}") or b"0")


class Saved(Struct, frozen=True, forbid_unknown_fields=True):
    """The round in the journal: its phase, and the log entry it waits for with the sizes to prove from."""

    phase: bytes
    began: int
    entry: int = -1
    sizes: tuple[int, ...] = ()
    proposal: int = -1
    engine: str = "masks"


def phase_of(saved: Saved) -> Phase:
    """Return the phase of a running round, as its engine wrote it."""
    return engines.load(saved.engine).sums.read(saved.phase)
