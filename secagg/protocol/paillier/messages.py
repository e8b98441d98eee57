"""One struct per message of engine `paillier`, in the order they travel (protocol §5, §6).

Every struct is the body of a `secagg.wire.signed.Signed` whose kind is the struct's name, unless its docstring says
that it carries signed parts itself. U travels as the encoded bytes that everybody hashes: the tuple of the signed
`EncryptedInput`s of the frozen set, in the manifest's order. `Propose`, `Cosignature` and `Witnesses` are those of
engine `masks`: a round begins and is witnessed in the same way.

    aggregator → node, trustee   Propose
    trustee → aggregator         Attend                 step Attend
    node → everybody             EncryptedInput         step EncryptedInput; the bytes travel as chunks
    aggregator → trustee         Freeze
    trustee → aggregator         Witness                step Witness
    aggregator → trustee         Open
    trustee → aggregator         Decrypt                step Decrypt
    trustee → everybody          Ended                  in place of an answer, once an `Aborted` is logged
"""

from typing import Annotated

from msgspec import Meta, Struct

from secagg.crypto.paillier.knowledge import KnowledgeProof
from secagg.crypto.paillier.partial import Partial
from secagg.ids import Count, Digest
from secagg.log.witness import LogProof
from secagg.protocol.binding import Bound
from secagg.protocol.round.messages import Cosignature
from secagg.wire.signed import Signed


class Attend(Struct, frozen=True, forbid_unknown_fields=True):
    """Trustee → aggregator: it will judge this round, and holds a log checkpoint of that size."""

    log_size: Count


class EncryptedInput(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody: what the upload is, and the proof that its sender knows what is in it."""

    root: Digest
    length: Count
    upload: Digest
    proof: KnowledgeProof
    bound: Bound


class Freeze(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → trustee: U, its log entry (`Contributors`, with H(U) as `u3`) and the proof for this trustee."""

    u: bytes
    leaf: bytes
    proof: LogProof
    allowances: tuple[bytes, ...] = ()
    """Signed `OverlapAllowed` entries of members, where an input is summed over another set than before."""


class Agreement(Struct, frozen=True, forbid_unknown_fields=True):
    """Trustee → everybody: I saw this U; signed once per attempt, as a message of kind `Witness`."""

    u: Digest


class Witness(Struct, frozen=True, forbid_unknown_fields=True):
    """Trustee → aggregator: the signed `Agreement`, and the witness lines on the round log and on the directory.

    Carries signed parts.
    """

    agreement: Signed
    rounds: bytes
    directory: bytes


class Open(Struct, frozen=True, forbid_unknown_fields=True):
    """Aggregator → trustee: the agreements and the witness quorum on the freeze; no product, no list of members."""

    agreements: tuple[Signed, ...]
    cosignatures: tuple[Cosignature, ...]


class Plain(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of a single holder: the plaintexts, big-endian in the width of N^s, and the root that proves them."""

    words: bytes
    proof: bytes


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """What a trustee answers: its decryption of the product of U's uploads, made by itself. Travels in pieces."""

    u: Digest
    partial: Partial | None = None
    plain: Plain | None = None


PIECE = 786_432
"""Bytes of a piece: with its seal and two signatures it fits one message of the bulk socket."""


class Piece(Struct, frozen=True, forbid_unknown_fields=True):
    """Trustee → aggregator, inside the seal, signed as kind `Answer`: piece `index` of `count` of an encoded answer."""

    u: Digest
    index: Annotated[int, Meta(ge=0, lt=2**16)]
    count: Annotated[int, Meta(ge=1, le=2**16)]
    data: Annotated[bytes, Meta(max_length=PIECE)]


class Decrypt(Struct, frozen=True, forbid_unknown_fields=True):
    """Trustee → aggregator: a signed `Piece`, sealed to the job's opening key."""

    sealed: bytes


STEPS = ("Attend", "EncryptedInput", "Witness", "Decrypt")
"""The steps of a round, as logs, tables and drop-out statements call them."""

ANSWERED_BY = {"Freeze": "Witness", "Open": "Decrypt"}
"""The step in which a trustee answers each of the aggregator's messages after `Propose`."""
