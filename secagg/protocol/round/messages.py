"""Messages and side files that the rounds of every engine have.

Rule: a struct per message; a refusal is the name of a rule, never text. Leaves to others: an engine's own messages.
"""


from msgspec import Struct

from secagg.ids import Name, Rule
from secagg.log.witness import LogProof
from secagg.protocol.refusals import require_known
from secagg.wire.signed import Signed


class Propose(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → node: the signed manifest, the log entry that names it and the proof that it is logged.

    `allowances` are members' signed `OverlapAllowed` entries for this job, where trustees open. A node is shown no
    freeze there, and holds them against the sets that its own ledger knows before it signs a header.
    """

    manifest: Signed
    leaf: bytes
    proof: LogProof
    allowances: tuple[bytes, ...] = ()


class Cosignature(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A member's witness line on the checkpoint of the freeze or of the directory (C2SP tlog-cosignature)."""

    member: Name
    line: bytes


class Witnesses(Struct, frozen=True, forbid_unknown_fields=True):
    """Side file of the audit: the freeze checkpoint and the witness lines on it and on the manifest's directory."""

    checkpoint: bytes
    rounds: tuple[Cosignature, ...]
    directory: tuple[Cosignature, ...]


class Refuse(Struct, frozen=True, forbid_unknown_fields=True):
    """Node, trustee → aggregator: it leaves the round, naming its rule, which is one of secagg.protocol.refusals."""

    rule: Rule

    def __post_init__(self) -> None:
        require_known(self.rule)


class Ended(Struct, frozen=True, forbid_unknown_fields=True):
    """Trustee → everybody: I decided nothing in this attempt, whose `Aborted` is logged, and never answer it.

    It says nothing but its scope, so that it is the same however often it is told. Once there are m − t + 1 + c' of
    them, fewer than t trustees are left that could answer.
    """
