"""The phases of a node and of a trustee in a round of engine `paillier`: frozen values, no vectors, no secret.

Rules: a phase encodes completely, so that recovering from a crash is decoding it. A trustee's share is in no phase:
the shell opens it for the one function that decrypts (trustee.answer).
Leaves to others: the transitions (node.py, trustee.py).

What a trustee's shell calls (trustee.py, decrypting.py):
    start(propose, ctx) -> Step                       `Propose`: answers `Attend`
    advance(phase, signed | Decrypted, ctx) -> Step   `Freeze`: answers `Witness`; `Open`: phase `Decrypting`;
                                                      Decrypted: answers `Decrypt`
    collect(phase, executor) -> Collector             in `Decrypting`: .wanted() gives the SHA-256 of each member's
                                                      upload, .add(member, data) verifies and multiplies, .close() ends
    answer(phase, secret, products, rng, executor)    -> Decrypted: the only use of the share (threshold.Share, or
                                                      private.PrivateKey of a single holder), in a process of its own
The shell stores `Step.phase` and `Step.records` in one transaction and only then sends `Step.send`.
"""

from msgspec import UNSET, Struct, UnsetType

from secagg.crypto.paillier.knowledge import KnowledgeProof
from secagg.ids import Digest, Name
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.inputs import Given
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier.messages import Answer
from secagg.protocol.round.phases import Over
from secagg.wire.signed import Scope, Signed


class Encrypting(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Node: the manifest is accepted; the shell trains, encrypts and comes back with `Encrypted`. `allowed` are the
    members whose signed word came with the proposal that the job may sum inputs over other sets than before."""

    scope: Scope
    manifest: Manifest
    allowed: tuple[Name, ...] = ()


class Uploaded(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Node: the header is signed and repeated as it is until the round closes; there is nothing more to say."""

    scope: Scope
    manifest: Manifest
    header: Signed


NodePhase = Encrypting | Uploaded | Over


class Encrypted(Struct, frozen=True, forbid_unknown_fields=True):
    """Shell → phase `Encrypting`: the upload is stored; its Merkle root, length, SHA-256, proof of knowledge, and the
    SHA-256 of every chunk. `given` is what the shell's ledger says of the input; without it no header is signed.
    """

    root: Digest
    length: int
    upload: Digest
    proof: KnowledgeProof
    chunks: tuple[Digest, ...]
    given: Given | UnsetType = UNSET


class Attending(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Trustee: the manifest is accepted; waiting for the frozen set."""

    scope: Scope
    manifest: Manifest
    seen: Checkpoint


class Witnessed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Trustee: U is agreed and witnessed; waiting for the others' witness lines. `allowances` came with U."""

    scope: Scope
    manifest: Manifest
    u: bytes
    names: tuple[Name, ...]
    frozen: Checkpoint
    allowances: tuple[bytes, ...] = ()


class Decrypting(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Trustee: the opening is recorded; the shell multiplies U's uploads, decrypts and comes back with `Decrypted`."""

    scope: Scope
    manifest: Manifest
    u: bytes
    names: tuple[Name, ...]


class Answered(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Trustee: the answer is recorded, in its pieces; they are repeated byte for byte until the round closes."""

    scope: Scope
    answers: tuple[Signed, ...]


TrusteePhase = Attending | Witnessed | Decrypting | Answered | Over


class Decrypted(Struct, frozen=True, forbid_unknown_fields=True):
    """Shell → phase `Decrypting`: this trustee's decryption of the product that it made itself."""

    answer: Answer
