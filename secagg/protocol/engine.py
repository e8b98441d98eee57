"""What an engine is: the sides of it that members, the aggregator, trustees and auditors ask, each a type.

How to read it: an engine is a folder with modules that have these functions, put together as an `Engine` by its
engine.py. The table in secagg.protocol.engines finds it by name. A function that is renamed or changes its shape there
is an error of the type checker. One worked example: `engines.load("masks").sums.stage(phase)` says what the aggregator
does next.
Rules: whoever asks knows no engine; a phase goes in and comes out as the engine made it, and only its `stage` is asked.
Leaves to others: what a round of an engine is (its folder), the vocabulary they share (secagg.protocol.round), what
is asked of values (round/asked.py).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple, Protocol

from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.log.checkpoint import Checkpoint
from secagg.log.statements import Contributors
from secagg.log.witness import LogProof
from secagg.protocol.acceptance import KnownLog
from secagg.protocol.binding import Bound
from secagg.protocol.inputs import Given
from secagg.protocol.lanes import Contribution, Groups
from secagg.protocol.manifest import Custody, JobSpec, Manifest, Numbers, Published, Seat
from secagg.protocol.round.asked import Collector, Decided, Fault, Named, Running, Stage
from secagg.protocol.round.events import Effect, Event, FromNode, Step, Turned
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import AggregatorContext, NodeContext
from secagg.protocol.round.phases import Closed, Common, Failed, Out, Standing
from secagg.protocol.round.spots import Leaf
from secagg.protocol.round.trustees import TrusteeContext
from secagg.wire.signed import Scope, Signed

Phase = Common | Closed | Failed
"""A phase of the aggregator, whatever the engine."""


class SumSide(Protocol):
    """What an aggregator asks."""

    UPLOAD: str
    """The message that is the header of an upload."""
    OPENING: str
    """The step in which a sum is opened."""

    def read(self, data: bytes) -> Phase:
        """Return an encoded phase. Raises: WireError."""
        ...

    def start(
        self, manifest: Manifest, standings: tuple[Standing, ...], ctx: AggregatorContext, out: tuple[Out, ...] = ()
    ) -> Turned[Phase]:
        """Sign a manifest and ask for its log entry; those in `out` keep their seats and have no part."""
        ...

    def advance(self, phase: Phase, event: Event, ctx: AggregatorContext) -> Turned[Phase]:
        """Take one event in one phase. Raises: ProtocolViolation; the phase is then unchanged."""
        ...

    def stage(self, phase: Phase) -> Stage:
        """Return what a phase means."""
        ...

    def step_of(self, phase: Common) -> str:
        """Return the name of the step that a waiting phase belongs to."""
        ...

    def waiting_for(self, phase: Common) -> tuple[str, ...]:
        """Return whose message a waiting phase still lacks."""
        ...

    def frozen(self, phase: Phase) -> bytes | None:
        """Return the list of the headers whose uploads are now fixed, when this is the phase that fixes them."""
        ...

    def agreed(self, phase: Phase) -> tuple[bytes, bytes, tuple[Signed, ...]] | None:
        """Return what came before the frozen list, the list, and who agreed to it, once enough did.

        Both lists and the encoded tuple of agreements are side files by then (`Keep`): members ask for them afterwards.
        """
        ...

    def bounds(self, listed: bytes) -> Mapping[str, Bound]:
        """Return what every header in a list of verified ones says of its input, by member."""
        ...

    def opened(self, manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
        """Return whose inputs may have been summed when a round is lost in its last step."""
        ...

    def uploaded(self, phase: Common) -> tuple[str, ...]:
        """Return whose uploads count already in a phase that gathers."""
        ...

    def entrusted(self, phase: Phase) -> bytes:
        """Return the list of the headers whose uploads trustees may fetch now; nothing when none may."""
        ...

    def check_header(self, phase: Common, event: FromNode) -> None:
        """Check a header before its upload is looked at. Raises: ProtocolViolation."""
        ...

    def claimed_size(self, event: FromNode) -> int | None:
        """Return the size of the log checkpoint that a message says its sender holds, if it says so."""
        ...

    def shown(self, phase: Common, event: FromNode) -> bytes:
        """Return the checkpoint that a message in this phase proves its sender to hold; nothing when none."""
        ...

    def judge(self, phase: Common) -> Event:
        """Hold the answers against what was signed of them; runs beside the loop."""
        ...

    def failed(self, phase: Common, reason: str, now: int) -> Turned[Phase]:
        """Return the end of a round whose sum cannot be opened."""
        ...

    def upload_bytes(self, manifest: Manifest) -> int:
        """Return the length of an upload in bytes."""
        ...

    def verify(self, phase: Common, member: str, header: Signed, data: bytes) -> None:
        """Hold a whole upload against its header. Raises: ProtocolViolation."""
        ...

    def check_name(self, manifest: Manifest, member: str, name: bytes, data: bytes) -> None:
        """Hold the bytes of an upload against the name it is kept under. Raises: ProtocolViolation."""
        ...

    def chunk_hash(self, manifest: Manifest, body: bytes) -> bytes:
        """Return the hash that names a chunk of an upload."""
        ...

    def running(self, manifest: Manifest) -> Running:
        """Return the sum of no uploads yet."""
        ...

    def open_sum(
        self, phase: Common, sums: Running, file: Callable[[str], bytes], asked: Effect | None = None
    ) -> Event:
        """Open the sum of exactly the frozen uploads; canaries are checked before anybody sees it.

        `file` reads a side file by its digest; `asked` is the effect that asked for it, none after a restart.
        Raises: ProtocolViolation when the sum is not one of honest members.
        """
        ...

    def list_of(self, phase: Common) -> bytes:
        """Return the list of the headers whose sum is opened."""
        ...


class MemberSide(Protocol):
    """What a node asks."""

    ANSWERS: Mapping[str, str]
    """The step in which a member answers each of the aggregator's messages."""
    FIRST: str
    """The answer to a proposal that is repeated with it; nothing where only the upload answers."""

    def read(self, data: bytes) -> object:
        """Return an encoded phase. Raises: WireError."""
        ...

    def start(self, propose: Propose, ctx: NodeContext) -> Step[object]:
        """Accept a proposal and answer it. Raises: Refused naming the rule; VerificationFailed."""
        ...

    def advance(self, phase: object, event: object, ctx: NodeContext) -> Step[object]:
        """Take one event in one phase. Raises: ProtocolViolation; the phase is then unchanged."""
        ...

    def stage(self, phase: object) -> Stage:
        """Return what a phase means."""
        ...

    def awaited(self, phase: object) -> str:
        """Return what a member waits for in a phase, for people."""
        ...

    def agreed(self, phase: object) -> bytes:
        """Return the SHA-256 of the list that a member agreed to, in what it has of the round; zeros when it never did.
        """
        ...

    def moduli(self, manifest: Manifest) -> tuple[bytes, ...]:
        """Return the moduli of the keys that a manifest has encrypted to."""
        ...

    def prepare(self, phase: object, me: str, rng: Rng, tables: Path, executor: Executor) -> object:
        """Make while the model trains what protecting will need, or nothing; it lives in memory only."""
        ...

    def protect(
        self, phase: object, me: str, given: Contribution, rng: Rng, tables: Path, executor: Executor,
        warm: bytearray | None = None, prepared: object = None,
    ) -> tuple[bytes | bytearray, Named]:  # fmt: skip
        """Mask or encrypt a contribution; return the upload and the event for `advance`. Raises: BadInput."""
        ...

    def counted(self, done: Named, given: Given) -> object:
        """Return the event of a stored upload with what the node's ledger says of its input."""
        ...

    def check_frozen(
        self, before: bytes, frozen: bytes, leaf: bytes, proof: LogProof, agreements: tuple[Signed, ...],
        manifest: Manifest, scope: Scope, known: KnownLog, last: Checkpoint | None,
    ) -> tuple[tuple[str, ...], Checkpoint]:  # fmt: skip
        """Check that a list is the set of an attempt that was frozen; return its members and the log's checkpoint.

        Raises: Refused, BadSignature, ProtocolViolation, VerificationFailed.
        """
        ...

    def check_words(self, words: Collection[Signed], custody: Custody, scope: Scope) -> None:
        """Check that enough trustees signed that an attempt is over for them. Raises: Refused."""
        ...


class AuditSide(Protocol):
    """What an auditor asks."""

    def recompute_frozen(
        self, manifest_signed: bytes, frozen: Contributors, file: Callable[[str], bytes], answers: Sequence[bytes],
        upload: Callable[[str], bytes], aggregator_key: bytes,
    ) -> Groups:  # fmt: skip
        """Return the clear summed words, recomputed from kept files. Raises: VerificationFailed, BundleIncomplete."""
        ...

    def check_fault(self, data: bytes, key_of: Callable[[str], bytes]) -> Fault:
        """Return what an encoded proof of a fault shows. Raises: VerificationFailed when it proves nothing."""
        ...

    def check_agreements(self, data: bytes, manifest: Manifest, scope: Scope, frozen: Contributors) -> None:
        """Check that a quorum agreed to exactly the frozen set. Raises: ProtocolViolation, WireError."""
        ...

    def witnesses(self, manifest: Manifest) -> Mapping[str, bytes]:
        """Return who witnesses a round, with their keys."""
        ...

    def quorum(self, manifest: Manifest) -> int:
        """Return how many witnesses and agreements a manifest needs."""
        ...

    def least(self, manifest: Manifest, colluders: int) -> int:
        """Return how many contributors a manifest needs, `colluders` being the federation's c."""
        ...

    def check_holders(self, manifest: Manifest, trustees: tuple[Seat, ...]) -> None:
        """Hold a manifest's trustees and their key against the roster. Raises: ProtocolViolation naming the rule."""
        ...

    def bounds(self, data: bytes, manifest: Manifest, scope: Scope) -> Mapping[str, Bound]:
        """Return what every header in a list says of its input. Raises: ProtocolViolation, BadSignature, WireError."""
        ...

    def answered(self, manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
        """Return the members of a set whose inputs count as opened when a round is lost in its last step."""
        ...


class OpenerSide(Protocol):
    """What a trustee asks, where trustees open sums; the end of an attempt is the same for all (round/trustees.py)."""

    def read(self, data: bytes) -> object:
        """Return an encoded phase. Raises: WireError."""
        ...

    def start(self, propose: Propose, ctx: TrusteeContext) -> Step[object]:
        """Accept a proposal and answer it. Raises: Refused naming the rule; VerificationFailed."""
        ...

    def advance(self, phase: object, event: object, ctx: TrusteeContext) -> Step[object]:
        """Take a signed message, or what `answer` gave. Raises: ProtocolViolation; the phase is then unchanged."""
        ...

    def stage(self, phase: object) -> Stage:
        """Return what a phase means."""
        ...

    def decided(self, phase: object) -> Decided:
        """Return what is to be opened in a phase that opens. Raises: ProtocolViolation in another."""
        ...

    def collect(self, phase: object) -> Collector:
        """Return a collector for the set that is to be opened. Raises: ProtocolViolation in another phase."""
        ...

    def answer(self, phase: object, me: str, collected: bytes, secret: Secret, rng: Rng, executor: Executor) -> object:
        """Decrypt what was collected, and prove it: the one place that uses the secret. Return the event of it.

        Raises: ProtocolViolation for what is no product; BadInput for a secret that is none.
        """
        ...

    def read_answer(self, data: bytes) -> object:
        """Return an encoded event that `answer` gave. Raises: WireError."""
        ...


class TermsSide(Protocol):
    """What is asked of a job before it is signed."""

    def check(self, spec: JobSpec) -> None:
        """Say what this engine cannot do for a job. Raises: BadInput, ProtocolViolation."""
        ...

    def numbers(self, spec: JobSpec, colluders: int) -> Numbers:
        """Return t, K_min, degree and threshold of every round of a job, `colluders` being c. Raises: BadInput."""
        ...

    def upload_bytes_of(self, spec: JobSpec) -> int:
        """Return the length of an upload of a job in bytes."""
        ...


class SpotSide(Protocol):
    """What members ask who recompute drawn leaves of a sum, where single leaves prove something (round/spots.py)."""

    def transcript(self, phase: Phase, frozen: Callable[[], bytes]) -> bytes | None:
        """Return what opens a round, in the phase that opens it; `frozen` gives the log entry that froze its set.

        It is an encoded struct that has the signed manifest as its field `manifest`.
        """
        ...

    def listed(self, transcript: bytes) -> bytes:
        """Return the list of the headers whose uploads were summed, unverified. Raises: WireError."""
        ...

    def check(
        self, manifest: Manifest, scope: Scope, aggregator_key: bytes, transcript: bytes, published: Published,
        indexes: Sequence[int], found: Mapping[str, Sequence[Leaf]],
    ) -> None:  # fmt: skip
        """Recompute the drawn leaves of a sum and compare them with what was published.

        Raises: VerificationFailed; with code `E-SPOT` it is the aggregator's lie, else what was shown proves nothing.
        """
        ...


class Engine(NamedTuple):
    """All sides of an engine; `opener` is there where trustees open its sums, `spots` where members check leaves."""

    terms: TermsSide
    sums: SumSide
    member: MemberSide
    audit: AuditSide
    opener: OpenerSide | None = None
    spots: SpotSide | None = None
