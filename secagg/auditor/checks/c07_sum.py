"""Check 7: every result is the sum of the kept uploads, recomputed from the signed answers (protocol §7)."""

from secagg.auditor.evidence import Entry, Evidence, Finding, Proposal, Violation, engine_of, proposal
from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import BundleIncomplete, ProtocolViolation, SecaggError, WireError
from secagg.ids import RoundId
from secagg.log.statements import Contributor, Contributors, Opening, Result
from secagg.protocol.manifest import Published
from secagg.protocol.published import bytes_of, check_form
from secagg.protocol.session import UploadName
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed

NUMBER, TITLE = 7, "sum recomputed from the uploads and the signed answers"


def check(evidence: Evidence) -> Finding:
    """Recompute every result.

    Raises: Violation naming the result; BundleIncomplete when an upload or an answer is not kept.
    """
    frozen = {statement.manifest: statement for _, statement in evidence.of(Contributors)}
    opened = {statement.manifest: statement for _, statement in evidence.of(Opening)}
    results = list(evidence.of(Result))
    for entry, result in results:
        if result.manifest not in frozen or result.manifest not in opened:
            raise Violation(entry, "no contributor set or no opening leads to it")
        _recompute(evidence, entry, result, frozen[result.manifest], opened[result.manifest])
    if not results:
        return Finding("n/a", "the log holds no result")
    return Finding("pass", f"{len(results)} sums recomputed")


def _recompute(evidence: Evidence, entry: Entry, result: Result, frozen: Contributors, opened: Opening) -> None:
    file = evidence.bundle.file
    uploads = {member.member: member.upload for member in frozen.members}
    relies = proposal(evidence, entry, result.manifest)
    if _listed(evidence, entry, frozen) != frozen.members:
        raise Violation(entry, "the frozen contributor set is not the one that U3 lists")
    try:
        words = engine_of(entry, relies.manifest).recompute_frozen(
            file(relies.statement.signed), frozen, file, [file(answer.digest) for answer in opened.answers],
            lambda member: evidence.bundle.upload(uploads[member]), _proposer(evidence, relies),
        )  # fmt: skip
    except BundleIncomplete:
        raise
    except SecaggError as error:
        raise Violation(entry, error.cause) from None
    sums = {name: group.tobytes() for name, group in words.items()}
    published = _published(evidence, entry, result)
    if published.manifest.hex() != result.manifest or published.contributors != result.contributors:
        raise Violation(entry, "the published result is about another manifest or another set")
    manifest = relies.manifest
    try:
        check_form(published, manifest.groups, manifest.names(), manifest.round)
    except ProtocolViolation as error:
        raise Violation(entry, error.cause.rstrip(".")) from None
    if bytes_of(published) != sums:
        raise Violation(entry, "the published sum is not the sum of the uploads")


def _proposer(evidence: Evidence, relies: Proposal) -> bytes:
    """Return the signing key of the aggregator under the roster that its manifest names."""
    for member in evidence.aggregators(relies.entry):
        return member.sign_key
    raise Violation(relies.entry, "the roster that it names has no aggregator")


def _listed(evidence: Evidence, entry: Entry, frozen: Contributors) -> tuple[Contributor, ...]:
    """Return the contributor set as the signed headers of U3 give it; `recompute` checks their signatures."""
    try:
        headers = decode(tuple[Signed, ...], evidence.bundle.file(frozen.u3), LIMIT_LIST)
        return tuple(
            Contributor(header.sender, sha256(encode(header)).hex(), decode(UploadName, header.body).upload.hex())
            for header in headers
        )
    except WireError as error:
        raise Violation(entry, error.cause) from None


def _published(evidence: Evidence, entry: Entry, result: Result) -> Published:
    """Return the published result that the statement's salted digest names."""
    label = RoundId(result.federation, result.job, result.round, result.attempt, result.group).label()
    data = evidence.bundle.result(result.result)
    if hmac_sha256(evidence.bundle.salt(label), data).hex() != result.result:
        raise Violation(entry, "the kept result does not give the logged digest")
    return decode(Published, data, len(data))
