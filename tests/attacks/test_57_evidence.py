"""Row 57: evidence of a lie convinces whoever gets it, and nobody can make any against who did not lie."""

from collections.abc import Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from secagg.crypto.derive import hmac_sha256, sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.statements import Contributors, parse_statement, sign_statement
from secagg.protocol.manifest import Published
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.spot import Transcript
from secagg.protocol.round import spots
from secagg.protocol.round.lie import Lie, check_lie
from secagg.protocol.round.spots import Leaf
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, Signed, sign
from support.lies import FEDERATION, Kept, Lying, Thousandfold, evidence_of

LIE, ROUND = evidence_of(Lying)
HONEST, _ = evidence_of(Kept)
STRANGER = SigningKey.from_private_bytes(bytes(range(32)))


def test_a_lie_is_proven_to_whoever_knows_the_aggregators_key() -> None:
    proven = check_lie(encode(LIE), FEDERATION.aggregator.public)
    assert (proven.aggregator, proven.key, proven.round.label()) == ("aggregator", LIE.aggregator_key, "job.1.1.0")
    assert proven.cause == "Leaf 0 of the published sum is not the sum of the uploads."
    assert check_lie(encode(LIE)) == proven


def test_a_lie_about_the_scalars_is_found_by_whoever_checks() -> None:
    lie, _ = evidence_of(Thousandfold)
    assert "Leaf 105 of the published sum" in check_lie(encode(lie)).cause


def transcript_of(lie: Lie) -> Transcript:
    """What opened the round, as this engine reads it."""
    return decode(Transcript, bytes(lie.transcript), len(lie.transcript))


def showing(lie: Lie, **changed: object) -> Lie:
    """The same evidence with another transcript."""
    return replace(lie, transcript=Raw(encode(replace(transcript_of(lie), **changed))))


def own_key(lie: Lie) -> Lie:
    """Say that it is about another key."""
    return replace(lie, aggregator_key=STRANGER.public)


def other_words(lie: Lie) -> Lie:
    """Publish, in the evidence, what was never published."""
    published = decode(Published, lie.published, len(lie.published))
    words = bytearray(published.groups[1].words)
    words[8] ^= 1
    groups = (published.groups[0], replace(published.groups[1], words=bytes(words)))
    return replace(lie, published=encode(replace(published, groups=groups)))


def restated(lie: Lie) -> Lie:
    """State another result in the aggregator's name, with a digest that fits other words."""
    bent = other_words(lie)
    statement = parse_statement(lie.result)[0]
    digest = hmac_sha256(lie.salt, bent.published).hex()
    return replace(bent, result=sign_statement(replace(statement, result=digest), "aggregator", STRANGER))


def second_header(lie: Lie) -> Lie:
    """Let a member of U3 sign another upload after the round, and show that."""
    member = FEDERATION.members["node-03"]
    upload = bytes(len(ROUND.uploads["node-03"]))
    tree = spots.tree_of(ROUND.manifest, upload)
    headers = list(decode(tuple[Signed, ...], transcript_of(lie).u3, 2**20))
    body = replace(decode(MaskedInput, headers[-1].body), upload=tree.root())
    assert ROUND.phase is not None
    headers[-1] = sign(member, "MaskedInput", ROUND.phase.scope, "node-03", EVERYBODY, encode(body))
    drawn = [leaf.index for leaf in lie.leaves[0]]
    leaves = (*lie.leaves[:-1], spots.leaves(ROUND.manifest, upload, tree, drawn))
    return replace(showing(lie, u3=encode(tuple(headers))), leaves=leaves)


def refrozen(lie: Lie) -> Lie:
    """The same, with a freeze of these lists that somebody else signed in the aggregator's name."""
    bent = second_header(lie)
    frozen = parse_statement(transcript_of(lie).frozen)[0]
    assert isinstance(frozen, Contributors)
    frozen = replace(frozen, u3=sha256(transcript_of(bent).u3).hex())
    leaf = sign_statement(frozen, "aggregator", STRANGER)
    return showing(bent, frozen=leaf)


def fewer_answers(lie: Lie) -> Lie:
    """Leave out what opens the round."""
    return showing(lie, answers=transcript_of(lie).answers[:2])


def bent_leaf(lie: Lie) -> Lie:
    """Change a byte of a member's upload."""
    first, *rest = lie.leaves[0]
    bent = Leaf(first.index, bytes([first.data[0] ^ 1]) + first.data[1:], first.path)
    return replace(lie, leaves=((bent, *rest), *lie.leaves[1:]))


def unlogged(lie: Lie) -> Lie:
    """Show another entry's place in the log."""
    return replace(lie, proof=replace(lie.proof, index=0))


def no_leaves(lie: Lie) -> Lie:
    """Show nothing."""
    return replace(lie, leaves=((),) * len(lie.leaves))


def nobody(lie: Lie) -> Lie:
    """Show a list with nobody in it, and so no upload at all: whoever judges it has to come to a verdict."""
    return replace(showing(lie, u3=encode(())), leaves=())


def of_trustees(lie: Lie) -> Lie:
    """Show a manifest of an engine whose sums have no single leaves."""
    body = encode(replace(ROUND.manifest, engine="paillier"))
    scope = Scope(ROUND.manifest.round, NO_DIGEST)
    return showing(lie, manifest=sign(FEDERATION.aggregator, "Manifest", scope, "aggregator", EVERYBODY, body))


FORGED = (
    other_words, restated, second_header, refrozen, fewer_answers, bent_leaf, unlogged, no_leaves, own_key,
    nobody, of_trustees,
)  # fmt: skip


@pytest.mark.parametrize("forge", FORGED)
def test_an_honest_aggregator_is_shown_as_a_liar_by_nobody(forge: Callable[[Lie], Lie]) -> None:
    with pytest.raises(VerificationFailed, match="The evidence proves nothing"):
        check_lie(encode(HONEST), FEDERATION.aggregator.public)
    with pytest.raises(VerificationFailed, match="The evidence proves nothing"):
        check_lie(encode(forge(HONEST)), FEDERATION.aggregator.public)


@pytest.mark.parametrize("data", [b"", b"\xc0", encode(LIE)[:-1], encode(LIE) + b"\0"])
def test_what_is_no_evidence_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(VerificationFailed, match="The evidence proves nothing"):
        check_lie(data)
