"""Evidence that an aggregator lied: a published sum beside signed uploads that do not give it, for anybody to judge.

In order (`check_lie`): the manifest is signed by the aggregator's key. The log entry `Result` is signed by it, is about
that manifest and is in a checkpoint that it signed. The published bytes have the digest of that entry under the salt.
The lists are those that the aggregator froze. The members' answers give the secrets that were committed to. Every leaf
is under the root that its owner signed. And the words that were published are not the sum of the leaves.
Rules (protocol §7): nothing is taken from who found it, so evidence convinces whoever gets it and cannot be forged
without the aggregator's key. It holds what opened the round, and leaves of every upload, as its finder drew them.
Whoever has it counts as the aggregator among those who may collude.
Leaves to others: recomputing leaves (the engine's `SpotSide`), finding a lie (node.spot), carrying evidence
(secagg.daemon.lies, keyserver.lies).
"""

from collections.abc import Mapping, Sequence

from msgspec import Raw, Struct

from secagg.crypto.derive import hmac_sha256
from secagg.errors import SecaggError, VerificationFailed
from secagg.ids import Digest, Key, RoundId
from secagg.log.statements import Result, open_statement
from secagg.log.witness import LogProof
from secagg.log.witness import check as check_proof
from secagg.protocol import engines
from secagg.protocol.manifest import Manifest, Published, digest
from secagg.protocol.round.lists import senders
from secagg.protocol.round.spots import Leaf
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed

EVIDENCE = 256 * 1_048_576
"""Bytes of evidence at most: the published words of 30 million parameters as 64-bit sums, or of 90 million packed.
A larger result cannot be carried; its finder still leaves the aggregator, and an auditor recomputes it from the files.
"""


class Lie(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The evidence; `transcript` is the engine's, `leaves` are those of every upload in its list, in its order."""

    aggregator_key: Key
    result: bytes
    proof: LogProof
    salt: Digest
    published: bytes
    transcript: Raw
    leaves: tuple[tuple[Leaf, ...], ...]


class Proposed(Struct, frozen=True):
    """What every engine's transcript has: the signed manifest."""

    manifest: Signed


class Proven(Struct, frozen=True):
    """What evidence proves: which aggregator, under which key, published a wrong sum of which round, and how wrong."""

    aggregator: str
    key: bytes
    round: RoundId
    cause: str


def check_lie(data: bytes, key: bytes | None = None) -> Proven:
    """Judge evidence of a lie; `key` is the aggregator's key it must be about, if one is known.

    Raises: VerificationFailed when it proves nothing, saying what does not hold.
    """
    try:
        return _judge(decode(Lie, data, EVIDENCE), key)
    except (SecaggError, LookupError, ValueError) as error:
        cause = error.cause if isinstance(error, SecaggError) else str(error)
        raise VerificationFailed(f"The evidence proves nothing: {cause}", "Distrust who brought it.") from None


def _judge(given: Lie, key: bytes | None) -> Proven:
    if key is not None and given.aggregator_key != key:
        raise VerificationFailed("it is about another key.")
    transcript = bytes(given.transcript)
    body = decode(Proposed, transcript, EVIDENCE).manifest.body
    manifest = decode(Manifest, body, LIMIT_BULK)
    scope = Scope(round=manifest.round, manifest=digest(body))
    engine = engines.load(manifest.engine)
    if engine.spots is None:
        raise VerificationFailed("leaves of such a sum prove nothing by themselves.")
    _check_result(given, manifest, scope)
    published = decode(Published, given.published, EVIDENCE)
    found: Mapping[str, Sequence[Leaf]] = dict(
        zip(senders(engine.spots.listed(transcript)), given.leaves, strict=True)
    )
    indexes = tuple(leaf.index for leaf in given.leaves[0])
    try:
        engine.spots.check(manifest, scope, given.aggregator_key, transcript, published, indexes, found)
    except VerificationFailed as error:
        if error.code != "E-SPOT":
            raise
        return Proven(manifest.aggregator, given.aggregator_key, manifest.round, error.cause)
    raise VerificationFailed("what was published is the sum of these leaves.")


def _check_result(given: Lie, manifest: Manifest, scope: Scope) -> None:
    """Check that the aggregator logged these bytes as the result of this manifest. Raises: VerificationFailed."""
    statement, signer = open_statement(given.result, lambda _: given.aggregator_key)
    if not isinstance(statement, Result) or signer != manifest.aggregator:
        raise VerificationFailed("the log entry is no result of this aggregator.")
    if statement.manifest != scope.manifest.hex() or statement.federation != manifest.round.federation:
        raise VerificationFailed("the log entry is about another manifest.")
    check_proof(given.result, given.proof, f"{statement.federation}/rounds", given.aggregator_key, None)
    if hmac_sha256(given.salt, given.published).hex() != statement.result:
        raise VerificationFailed("the published bytes have another digest than the log entry.")
