"""What this institution gives to sums: what an input is here, to which set it is bound, and what is written of it.

How to read it: `present` says before a round to which set the next input is bound, and `admit` judges a proposal.
`give` binds and counts an input in the moment in which its header is signed. `pending` are the attempts whose end is
unknown. Rules (protocol §6.5): an input is what this node computes it from, never a field that somebody else chose.
That is its data by resolved path and edition, the model it computed itself, the exact vector, the update's sketch.
Nothing is signed for an input before its entry is on disk. Who is refused is told by which rule, over whom it was
summed, and what gets on.
Leaves to others: the rules (secagg.protocol.inputs), the file (secagg.daemon.inputs), computing (node.work).
"""

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from node.config import OwnTask
from node.records import Job
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.daemon.inputs import InputLedger
from secagg.errors import Refused
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol import inputs, sketch
from secagg.protocol.acceptance import Policy
from secagg.protocol.binding import NOTHING, UNKNOWN, Bound
from secagg.protocol.encoding import encoding_digest
from secagg.protocol.inputs import Allowed, Binding, Counted, Given, Wanted
from secagg.protocol.manifest import Manifest, Seat
from secagg.wire.signed import Scope


class Mark(Struct, frozen=True):
    """What is kept of an input's values: the keyed digest of a sum's vector, the sketch of a training update."""

    vector: bytes = NO_DIGEST
    sketch: bytes = b""


class Inputs:
    """The ledger of this institution, as one of its nodes uses it."""

    def __init__(
        self, ledger: InputLedger, policy: Policy, tasks: Mapping[str, OwnTask], federation: str, root: str, rng: Rng
    ) -> None:
        """`root` is the fingerprint of the federation, as it is pinned."""
        self.ledger, self.policy, self.tasks, self._rng = ledger, policy, tasks, rng
        self._federation, self._root = federation, sha256(root.encode())

    def present(self, job: Job, proven: frozenset[bytes]) -> Bound:
        """Return what is known of the next input of a job before its round is proposed.

        While a person here has to allow the job first, no set is safe: so the round waits for that word.
        """
        if job.over or job.spec.task not in self.tasks:
            return UNKNOWN
        wanted = self._wanted(job, RoundId(job.spec.federation, job.spec.name, job.next_round))
        bound = self._bind(wanted, proven)
        try:
            inputs.admit(self.ledger.entries(), wanted, self.policy.terms, self.ledger.allowed())
        except Refused as refusal:
            if refusal.rule in inputs.LISTED:
                return Bound(bound.tag, NOTHING)
        return Bound(bound.tag, bound.only)

    def admit(self, job: Job, manifest: Manifest, proven: frozenset[bytes]) -> None:
        """Judge a proposed round: whether a person has to allow it first, and whether any set can be summed.

        Raises: Refused (`ledger.<rule>`, `policy.max_rounds_per_source`).
        """
        wanted = self._wanted(job, manifest.round)
        inputs.admit(self.ledger.entries(), wanted, self.policy.terms, self.ledger.allowed())
        require_possible(self._bind(wanted, proven), job, manifest.members, proven)

    def hindrance(self, job: Job, proven: frozenset[bytes]) -> tuple[str, Refused] | None:
        """Return what keeps the next input of a job out of every sum over its cohort, and who can change that.

        As far as names tell it: keys come with the manifest.
        """
        if job.over or job.spec.task not in self.tasks:
            return None
        wanted = self._wanted(job, RoundId(job.spec.federation, job.spec.name, job.next_round))
        binding = self._bind(wanted, proven)
        found = binding.by.seats if binding.by else ()
        try:
            inputs.admit(self.ledger.entries(), wanted, self.policy.terms, self.ledger.allowed())
            require_possible(binding, job, tuple(s for s in found if s.name in job.spec.cohort), proven)
        except Refused as refusal:
            asked = binding.by is not None and binding.by.state == "pending"
            return "aggregator" if asked else "people", refusal
        return None

    def give(
        self, job: Job, scope: Scope, manifest: Manifest, mark: Mark, now: int, proven: frozenset[bytes]
    ) -> tuple[Given, Binding]:
        """Return what goes with a header, and why; the caller holds the ledger until the entry in it is written.

        Raises: Refused (`ledger.<rule>`) when no set, or none of this round, may be summed.
        """
        wanted = self._wanted(job, scope.round, scope.manifest, mark)
        inputs.admit(self.ledger.entries(), wanted, self.policy.terms, self.ledger.allowed())
        binding = self._bind(wanted, proven, self._near(mark))
        require_possible(binding, job, manifest.members, proven)
        sealed = self.ledger.keys.seal(mark.sketch, self._rng) if mark.sketch else b""
        otherwise = self._bind(wanted, proven, self._near(mark), overlap=False).only if binding.excused else NOTHING
        return inputs.given(wanted, binding, manifest, now, sealed, otherwise), binding

    def allow(self, job: str, overlap: bool, now: int) -> Allowed:
        """Write that a person allows a job of this federation."""
        return self.ledger.allow(self._federation, self._root, job, overlap, now)

    def pending(self) -> tuple[RoundId, ...]:
        """Return the attempts of this node whose end is not known."""
        mine = (entry for entry in self.ledger.entries() if entry.state == "pending" and entry.root == self._root)
        return tuple(entry.round for entry in mine if self.ledger.find(entry.round) == entry)

    def source(self, task: str) -> bytes:
        """Return what names the data of a task: where it lies now, links followed, and its edition."""
        own = self.tasks[task]
        return inputs.source_digest(str(own.data.resolve()), own.edition)

    def _wanted(self, job: Job, round_id: RoundId, manifest: bytes = NO_DIGEST, mark: Mark | None = None) -> Wanted:
        spec, source = job.spec, self.source(job.spec.task)
        if spec.purpose == "training":
            identity = inputs.training_identity(source, job.given)
        else:
            identity = inputs.sum_identity(source, spec.task if self.policy.static_inputs == "task" else "")
        return Wanted(
            round_id, spec.purpose, source, identity, self.ledger.tag(self._federation, identity),
            spec.purpose == "training" and job.given == NO_DIGEST, self._root, manifest,
            mark.vector if mark else NO_DIGEST, encoding_digest(spec),
        )  # fmt: skip

    def _bind(
        self, wanted: Wanted, proven: frozenset[bytes], near: Callable[[Counted], bool] = lambda entry: False,
        overlap: bool = True,
    ) -> Binding:  # fmt: skip
        terms, ledger = self.policy.terms, self.ledger
        # Without `overlap`, whoever a person here listed stays listed, and nothing is excused.
        allowed = [entry if overlap else replace(entry, overlap=False) for entry in ledger.allowed()]
        return inputs.bind(ledger.entries(), wanted, terms, allowed, near, proven)

    def _near(self, mark: Mark) -> Callable[[Counted], bool]:
        """Return what says whether the update of an entry is nearly this one."""
        if not mark.sketch:
            return lambda entry: False
        mine, keys, least = sketch.decode(mark.sketch), self.ledger.keys, self.policy.min_change

        def near(entry: Counted) -> bool:
            return bool(entry.sketch) and sketch.sine(mine, sketch.decode(keys.open(entry.sketch))) < least

        return near


def require_possible(binding: Binding, job: Job, members: tuple[Seat, ...], proven: frozenset[bytes]) -> None:
    """Refuse an input that no set of these members can be summed over.

    Raises: Refused by the rule that binds the input.
    """
    entry = binding.by
    if entry is None or binding.only.kind in ("any", "overlap"):
        return
    earlier = f"round {entry.round.round} of {entry.round.job}"
    allow = f"secagg node allow {job.spec.name} --overlap"
    if binding.only.kind == "nothing" and entry.state == "pending":
        raise Refused(
            f"The data of {job.spec.task} may be in {earlier}, and how that ended is not known here.",
            f"It is asked for. If the aggregator is gone for good: {allow}.", rule=binding.rule,
        )  # fmt: skip
    if binding.only.kind == "nothing" and binding.rule == "ledger.unlisted":
        raise Refused(
            f"The data of {job.spec.task} was trained on over more than one set before, and nobody here listed "
            f"{job.spec.name}.", f"At every institution: secagg node allow {job.spec.name}.", rule=binding.rule,
        )  # fmt: skip
    if binding.only.kind == "nothing":
        raise Refused(
            f"The data of {job.spec.task} was summed over more than one set before.",
            f"At every institution: {allow}.", rule=binding.rule,
        )  # fmt: skip
    lacking = [seat.name for seat in entry.seats if seat.key not in proven and seat not in members]
    if lacking:
        raise Refused(
            f"The data of {job.spec.task} was summed in {earlier} with {', '.join(lacking)}, not in this round.",
            f"Run the job over the same members, or at every institution: {allow}.", rule=binding.rule,
        )  # fmt: skip
