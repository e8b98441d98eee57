"""What an institution has given to sums, and what follows from it for the next one: the rules of its ledger.

How to read it: a `Counted` is one signed header. `froze`, `left_out`, `lift` and `answer` are all that can happen to
it. `bind` says to which set an input is bound and by which rule, `admit` which job is refused whatever the set. Rules
(protocol §6.5): an input is what its owner computes it from, never a field that somebody else chose. It counts from the
signed header on. Inputs of one identity are summed over one set only and in one encoding. Sums and training over one
source keep one set. Only a logged end of exactly this attempt lifts, and only where nothing was answered. A person may
allow more, by name, and never for what comes after.
Leaves to others: storing entries (secagg.daemon.inputs), computing identities (node), what a set is (binding.py), what
an encoding is (encoding.py).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.errors import Refused
from secagg.ids import NO_DIGEST, Count, Digest, Name, RoundId
from secagg.protocol.binding import ANY, NOTHING, Bound, Only, seats_digest
from secagg.protocol.encoding import encoding_digest
from secagg.protocol.manifest import Manifest, Purpose, Seat
from secagg.wire.signed import Scope

SOURCE_LABEL, IDENTITY_LABEL = "secagg/v2/ledger/source", "secagg/v2/ledger/identity"
REHEARSED_LABEL = "secagg/v2/ledger/rehearsed"

LISTED = ("ledger.unlisted", "ledger.encoding")
"""The rules that a person ends with `secagg node allow JOB`, without another word."""

State = Literal["pending", "frozen", "out", "lifted"]
Job = tuple[str, bytes, str]
"""What a job is to a ledger: its federation by name and fingerprint, and its name there."""


class Counted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """One signed header: an input that may be in a sum from now on.

    `state`: pending (no freeze is known), frozen (over `seats`), out (the agreed freeze left this upload out), lifted
    (a logged end of this attempt). `answered`: opening material was released, so nothing lifts it any more. `root` is
    the fingerprint of the federation, since two may have one name. `tag` is what travels. `handed_out` says that the
    model was given and not computed here. `vector` is a keyed digest of a sum's exact values. `sketch` a sealed sketch
    of a training update. `encoding` what names the job's way from values to words. `seats` is the frozen set; while
    pending the cohort, of which it is a part.
    """

    round: RoundId
    manifest: Digest
    purpose: Purpose
    task: Name
    source: Digest
    identity: Digest
    tag: Digest
    handed_out: bool
    time: Count
    root: Digest = NO_DIGEST
    vector: Digest = NO_DIGEST
    sketch: bytes = b""
    state: State = "pending"
    answered: bool = False
    seats: tuple[Seat, ...] = ()
    encoding: Digest = NO_DIGEST

    @property
    def counts(self) -> bool:
        """Say whether this input may be in a sum."""
        return self.state in ("pending", "frozen")


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """The input that is to be given next; `manifest` is zeros before the round is proposed."""

    round: RoundId
    purpose: Purpose
    source: Digest
    identity: Digest
    tag: Digest
    handed_out: bool
    root: Digest = NO_DIGEST
    manifest: Digest = NO_DIGEST
    vector: Digest = NO_DIGEST
    encoding: Digest = NO_DIGEST


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """What goes with a header: what it says of the input, the entry that is written before it leaves, the sets that a
    person excused. Where that word is not enough, it says to what the input is bound."""

    bound: Bound
    counted: Counted
    excused: tuple[tuple[Seat, ...], ...] = ()
    otherwise: Only = NOTHING


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """What the institution's policy says of its inputs."""

    changing_sets: bool = False
    unlisted_jobs: Count = 20
    max_rounds_per_source: Count = 1000


class Allowed(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's word (`node allow`): this job may run, in an encoding of its own, and with `overlap` over another set
    than the entries before.

    `before` is how many entries the ledger had then: what comes after is bound again.
    """

    federation: Name
    root: Digest
    job: Name
    overlap: bool
    before: Count
    time: Count

    def names(self, job: Job) -> bool:
        """Say whether it is this job that is allowed."""
        return (self.federation, self.root, self.job) == job


class Binding(NamedTuple):
    """To what an input is bound: the word that travels, the tag, and by which rule. Then the entries that bind it or
    that a person excused."""

    only: Only
    tag: bytes
    rule: str = ""
    by: Counted | None = None
    excused: tuple[Counted, ...] = ()

    def names(self) -> list[str]:
        """Return over whom the input was summed, or may have been."""
        return [seat.name for seat in self.by.seats] if self.by else []


def source_digest(path: str, edition: str) -> bytes:
    """Return what names a data source: its resolved path and the edition that the institution gave it."""
    return sha256(fields(SOURCE_LABEL, path, edition))


def training_identity(source: bytes, model: bytes) -> bytes:
    """Return what a training input is computed from; `model` is zeros when it was handed out.

    Else it is the digest of the tensors that `train` is given, their zeros unsigned.
    """
    return sha256(fields(IDENTITY_LABEL, "training", source, model))


def sum_identity(source: bytes, task: str) -> bytes:
    """Return what a sum's input is computed from; `task` is empty when all tasks over a source are one input."""
    return sha256(fields(IDENTITY_LABEL, "sum", source, task))


def given(
    wanted: Wanted, binding: "Binding", manifest: Manifest, time: int, sketch: bytes = b"", otherwise: Only = NOTHING
) -> Given:  # fmt: skip
    """Return what goes with the header of an input that is bound so."""
    counted = Counted(
        round=wanted.round, manifest=wanted.manifest, purpose=wanted.purpose, task=manifest.task, source=wanted.source,
        identity=wanted.identity, tag=binding.tag, handed_out=wanted.handed_out, time=time, root=wanted.root,
        vector=wanted.vector, sketch=sketch, seats=manifest.members, encoding=wanted.encoding,
    )  # fmt: skip
    return Given(Bound(binding.tag, binding.only), counted, tuple(entry.seats for entry in binding.excused), otherwise)


def rehearsed(manifest: Manifest, scope: Scope, me: str, past: Sequence[Counted] = ()) -> Given:
    """Return what goes with a header in a rehearsal, where the data of a sum is the same in every round.

    Nobody keeps a ledger there but the notebook of `past`; an update is a new one each time.
    """
    source = sha256(fields(REHEARSED_LABEL, me))
    training = manifest.purpose == "training"
    identity = training_identity(source, scope.manifest) if training else sum_identity(source, manifest.task)
    wanted = Wanted(
        scope.round, manifest.purpose, source, identity, sha256(identity), False, manifest=scope.manifest,
        encoding=encoding_digest(manifest),
    )  # fmt: skip
    return given(wanted, bind(past, wanted, Terms(changing_sets=True), ()), manifest, 0)


Naming = Callable[[Manifest, Scope, str, Sequence[Counted]], Given]
"""What a rehearsal's headers say of a member's input, as `rehearsed` does."""


def required(entry: Counted | None, round_id: RoundId) -> Counted:
    """Return the entry of an attempt that this node signed a header for.

    Raises: Refused (`ledger.lost`) when the ledger holds none.
    """
    if entry is None:
        raise Refused(
            f"The ledger of inputs holds no entry of {round_id.label()}.",
            "It is an old copy: put the newest one back.", rule="ledger.lost",
        )  # fmt: skip
    return entry


# What happens to an entry --------------------------------------------------------------------------------------------


def froze(entry: Counted, seats: Iterable[Seat]) -> Counted:
    """Return the entry once the logged freeze of its attempt is known to hold this upload.

    Raises: Refused (`ledger.second-freeze`) when another set was frozen for this attempt before.
    """
    found = tuple(seats)
    if entry.state == "frozen" and seats_digest(entry.seats) != seats_digest(found):
        raise Refused(
            f"Two sets are frozen for {entry.round.label()}.", "Keep the log: it is evidence against the aggregator.",
            rule="ledger.second-freeze",
        )  # fmt: skip
    return replace(entry, state="frozen", seats=found) if entry.state == "pending" else entry


def left_out(entry: Counted) -> Counted:
    """Return the entry once the freeze that enough members agreed to is known not to hold this upload."""
    return replace(entry, state="out") if entry.state == "pending" else entry


def lift(entry: Counted) -> Counted:
    """Return the entry once a logged `Aborted` of exactly its attempt is known; one that was answered stays."""
    return replace(entry, state="lifted") if entry.counts and not entry.answered else entry


def answer(entry: Counted) -> Counted:
    """Return the entry once opening material for it is about to be released.

    Raises: Refused (`ledger.lifted`) when its attempt was lifted: it never answers again.
    """
    if entry.state != "frozen":
        raise Refused(
            f"Attempt {entry.round.attempt} of round {entry.round.round} is over for this node.",
            "Propose the next attempt.", rule="ledger.lifted",
        )  # fmt: skip
    return replace(entry, answered=True)


# What follows from entries -------------------------------------------------------------------------------------------


def admit(entries: Sequence[Counted], wanted: Wanted, terms: Terms, allowed: Sequence[Allowed]) -> None:
    """Refuse a job that a person has to allow first, and a source whose budget is spent.

    Raises: Refused (`ledger.unlisted`, `ledger.encoding`, `policy.max_rounds_per_source`).
    """
    counted = [e for e in entries if e.counts and e.source == wanted.source]
    rounds = {(e.root, e.round.opening) for e in counted if e.purpose == wanted.purpose}
    rounds -= {(wanted.root, wanted.round.opening)}
    if len(rounds) >= terms.max_rounds_per_source:
        raise Refused(
            f"This institution's policy max_rounds_per_source allows {terms.max_rounds_per_source} rounds of a source.",
            "Raise it in node.toml, or open a new edition of the data.", rule="policy.max_rounds_per_source",
        )  # fmt: skip
    _require_encoding(entries, wanted, allowed)
    if wanted.purpose == "sum" or not _unlisted(counted, wanted, allowed):
        return
    first = _job(_trainings(counted)[0])
    unlisted = {_job(e) for e in _trainings(counted)} - {first, _job(wanted)}
    unlisted -= {job for job in unlisted if any(entry.names(job) for entry in allowed)}
    if len(unlisted) >= terms.unlisted_jobs:
        raise Refused(
            f"{wanted.round.job} would be training job number {len(unlisted) + 2} over this data, and the policy "
            f"unlisted_jobs allows {terms.unlisted_jobs} after the first.",
            f"secagg node allow {wanted.round.job}", rule="ledger.unlisted",
        )  # fmt: skip


def _require_encoding(entries: Sequence[Counted], wanted: Wanted, allowed: Sequence[Allowed]) -> None:
    """Refuse an input in another encoding than before, unless a person listed the job.

    All training from models that were handed out is one input, and every job begins with it. So jobs keep the encoding
    of the source's first training. Sums are compared where the very same values are wanted again.
    """
    counting = [e for e in entries if e.counts]
    alike = _trainings([e for e in counting if e.source == wanted.source])[:1]
    if wanted.purpose == "sum":
        alike = [e for e in counting if e.purpose == "sum" and e.vector == wanted.vector != NO_DIGEST]
    other = [e for e in alike if e.encoding != wanted.encoding]
    if other and not any(entry.names(_job(wanted)) for entry in allowed):
        raise Refused(
            f"{wanted.round.job} turns the data of {other[0].task} into numbers in another way than "
            f"{other[0].round.job} did: max_examples, clip, bits or metrics differ.",
            f"Give it those of {other[0].round.job}, or let it run as it is: secagg node allow {wanted.round.job}.",
            rule="ledger.encoding",
        )  # fmt: skip


def bind(
    entries: Sequence[Counted], wanted: Wanted, terms: Terms, allowed: Sequence[Allowed],
    near: Callable[[Counted], bool] = lambda entry: False, proven: Collection[bytes] = (),
) -> Binding:  # fmt: skip
    """Return to which set an input is bound; `near` says whether its sketch is close to an earlier entry's.

    Entries are in the order in which they were counted; the one of this very attempt binds nothing. `proven` are the
    keys of members whose fault is proven: they are in no set any more, and a difference shows their inputs only.
    """
    numbered = [(n, e) for n, e in enumerate(entries) if e.counts and _attempt(e) != _attempt(wanted)]
    found = [(n, e, rule) for n, e in numbered if (rule := _rule(e, wanted, terms))]
    found += _of_source(numbered, wanted, allowed)
    found += [(n, e, "ledger.near") for n, e in numbered if wanted.purpose == e.purpose == "training" and near(e)]
    # Named last: what binds by the input itself says more.
    found.sort(key=lambda one: one[2] == "ledger.source")
    limit = max((entry.before for entry in allowed if entry.overlap and entry.names(_job(wanted))), default=0)
    excused = tuple({id(e): e for n, e, _ in found if n < limit}.values())
    binding = [(e, rule) for n, e, rule in found if n >= limit]
    # A tag of another federation means nothing in this one, and would only tell that the two know one institution.
    alike = [e for _, e, rule in found if rule == "ledger.input" and _job(e)[:2] == _job(wanted)[:2]]
    tag = alike[0].tag if alike else wanted.tag
    return _bound(binding, excused, tag, proven)


def _bound(
    binding: Sequence[tuple[Counted, str]], excused: tuple[Counted, ...], tag: bytes, proven: Collection[bytes]
) -> Binding:
    for entry, rule in binding:
        if entry.state == "pending":
            return Binding(NOTHING, tag, rule, entry, excused)
    sets = {_left(entry, proven) for entry, _ in binding}
    if len(sets) > 1:
        # No set is both: only a person gets on. Where listing the job is enough, that is what is named.
        listed = [(entry, rule) for entry, rule in binding if rule != "ledger.unlisted"]
        enough = len({_left(entry, proven) for entry, _ in listed}) <= 1
        entry, rule = next(one for one in reversed(binding) if enough == (one[1] == "ledger.unlisted"))
        return Binding(NOTHING, tag, rule, entry, excused)
    if sets:
        return Binding(Only("same", sets.pop()), tag, binding[0][1], binding[0][0], excused)
    if excused:
        frozen = [entry for entry in excused if entry.state == "frozen"]
        seats = _left(frozen[-1], proven) if frozen else NO_DIGEST
        return Binding(Only("overlap", seats), tag, excused=excused)
    return Binding(ANY, tag)


def _left(entry: Counted, proven: Collection[bytes]) -> bytes:
    return seats_digest(seat for seat in entry.seats if seat.key not in proven)


def _rule(entry: Counted, wanted: Wanted, terms: Terms) -> str:
    """Return by which rule an entry binds an input, "" when by none."""
    if entry.purpose != wanted.purpose:
        # A training's lanes count what a sum may count too, so the two are taken apart as two sums are.
        return "ledger.source" if entry.source == wanted.source and not terms.changing_sets else ""
    same_vector = wanted.vector != NO_DIGEST and entry.vector == wanted.vector
    if entry.identity == wanted.identity or same_vector:
        return "ledger.input"
    if wanted.purpose == "training" and not terms.changing_sets and _job(entry) == _job(wanted):
        return "ledger.job"
    return ""


def _of_source(
    numbered: Sequence[tuple[int, Counted]], wanted: Wanted, allowed: Sequence[Allowed]
) -> list[tuple[int, Counted, str]]:
    """Return all training of the source, when this job is not its first one and nobody listed it.

    Its model may be a published one in which hidden units changed places, so any round may be repeated by it.
    """
    if wanted.purpose == "sum" or not _unlisted([e for _, e in numbered], wanted, allowed):
        return []
    return [(n, e, "ledger.unlisted") for n, e in numbered if e.purpose == "training" and e.source == wanted.source]


def _unlisted(counted: Sequence[Counted], wanted: Wanted, allowed: Sequence[Allowed]) -> bool:
    """Say whether another job trained this source first, and no person listed this one."""
    trainings = _trainings([e for e in counted if e.source == wanted.source])
    if not trainings or _job(trainings[0]) == _job(wanted):
        return False
    return not any(entry.names(_job(wanted)) for entry in allowed)


def _trainings(entries: Sequence[Counted]) -> list[Counted]:
    return [entry for entry in entries if entry.purpose == "training"]


def _job(entry: Counted | Wanted) -> Job:
    return entry.round.federation, entry.root, entry.round.job


def _attempt(entry: Counted | Wanted) -> tuple[RoundId, bytes, bytes]:
    return entry.round, entry.root, entry.manifest
