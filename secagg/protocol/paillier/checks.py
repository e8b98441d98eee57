"""What a trustee checks before it witnesses and before it opens (protocol §4, §5, §6), one function per rule.

Rules: each raises an error that names its rule; none has an effect. `rule` names are what logs, tests and
tests/attacks/defences.toml use. A trustee does not see the job. That a manifest follows from it is what every honest
node checked before it signed an upload for exactly this manifest.
Leaves to others: order and consequences (trustee.py), the uploads themselves (accepting.py, decrypting.py).
"""

from secagg.crypto.derive import sha256
from secagg.errors import Refused, VerificationFailed
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.checkpoint import Checkpoint, open_checkpoint, verify_cosignature
from secagg.log.statements import Contributors, ManifestLogged
from secagg.log.witness import LogProof
from secagg.log.witness import check as check_proof
from secagg.protocol import manifest as rules
from secagg.protocol.acceptance import KnownLog
from secagg.protocol.custody import check_custody, custody_of, key_digest
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier.accepting import check_header
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import Agreement, EncryptedInput, Freeze, Open
from secagg.protocol.paillier.phases import Attending, Witnessed
from secagg.protocol.paillier.proposing import check_leaves
from secagg.protocol.round.lists import signed_list
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.parties import opening_key, stated_of
from secagg.protocol.round.trustees import TrusteeExpectation
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, open_signed


def proposal(signed: Signed, expect: TrusteeExpectation) -> tuple[Manifest, Scope]:
    """Return a manifest of this trustee's federation, engine and key, and its scope.

    Raises: Refused (`trustee.<rule>`, `custody.<rule>`); BadSignature; WireError; VerificationFailed for a directory
    that is no checkpoint.
    """
    manifest = decode(Manifest, signed.body, LIMIT_BULK)
    open_signed(signed, expect.aggregator_key, "Manifest", Scope(manifest.round, NO_DIGEST), EVERYBODY)
    if (manifest.engine, manifest.round.federation) != ("paillier", expect.federation):
        raise _refusal("The manifest is of another engine or federation.", "engine")
    if manifest.aggregator != expect.aggregator:
        raise _refusal("The manifest is another aggregator's.", "aggregator")
    custody = custody_of(manifest)
    if expect.me not in custody.names() or key_digest(custody.key) not in expect.keys:
        raise _refusal("This trustee has no share of the round's key.", "key")
    check_custody(custody, expect.federation, expect.trustees, True)
    _cohort(manifest, expect)
    check_leaves(manifest, expect.federation, expect.aggregator, expect.colluders, custody)
    opening_key(manifest)
    relied = open_checkpoint(manifest.directory, expect.directory_origin, expect.directory_key)
    if expect.directory is None or relied != expect.directory:
        raise _refusal("The manifest relies on another directory than this trustee was shown.", "directory")
    return manifest, Scope(manifest.round, rules.digest(signed.body))


def _cohort(manifest: Manifest, expect: TrusteeExpectation) -> None:
    """Check seats and numbers: without this a cohort of strangers, or of too few, could be opened."""
    names = manifest.names()
    known = {seat.name: seat for seat in expect.seats}
    if (manifest.roster_version, manifest.roster) != (expect.roster_version, expect.roster):
        raise _refusal("The manifest relies on another roster.", "roster")
    if names != tuple(sorted(set(names))) or any(known.get(seat.name) != seat for seat in manifest.members):
        raise _refusal("The cohort does not agree with the roster.", "members")
    if len({seat.organisation for seat in manifest.members}) != len(names):
        raise _refusal("One organisation has two seats.", "members")
    if manifest.colluders < expect.colluders:
        raise _refusal(f"The manifest assumes fewer than {expect.colluders} colluders.", "colluders")
    if not rules.fewest_entrusted(manifest.colluders) <= manifest.k_min <= len(names):
        raise _refusal("K_min is below max(c + 2, 3), or exceeds the cohort.", "k_min")
    if manifest.threshold != custody_of(manifest).threshold:
        raise _refusal("The threshold is not the trustees'.", "threshold")


def logged_manifest(propose: Propose, scope: Scope, expect: TrusteeExpectation, last: Checkpoint | None) -> Checkpoint:
    """Check that the manifest is in the log, in a checkpoint consistent with this trustee's last (§6.2)."""
    statement = stated_of(propose.leaf, expect, ManifestLogged, scope)
    if statement.manifest != scope.manifest.hex():
        raise VerificationFailed("The log entry names another manifest.", "Ask the operator for the log.")
    return _proved(propose.leaf, propose.proof, expect, last)


def frozen_set(u: bytes, phase: Attending) -> dict[str, EncryptedInput]:
    """Check U: members of the cohort in order, each with its own signed header of a whole upload, enough of them."""
    manifest = phase.manifest
    layout = Layout(manifest)
    headers = {
        name: decode(EncryptedInput, entry.body)
        for name, entry in signed_list(u, manifest, "EncryptedInput", phase.scope).items()
    }
    if len(headers) < manifest.needed:
        raise Refused(
            f"{len(headers)} members are fewer than the {manifest.needed} this round needs.",
            "The round cannot go on.", rule="u.enough",
        )  # fmt: skip
    for name, header in headers.items():
        check_header(layout, name, header)
    return headers


def logged_freeze(
    message: Freeze, phase: Attending, names: tuple[str, ...], expect: TrusteeExpectation, last: Checkpoint | None
) -> Checkpoint:
    """Check that exactly this set is frozen in the log (§6.2): statement, inclusion, consistency with the last seen."""
    return logged_set(message.u, message.leaf, message.proof, phase.scope, names, expect, last or phase.seen)


def logged_set(
    u: bytes, leaf: bytes, proof: LogProof, scope: Scope, names: tuple[str, ...], known: KnownLog,
    last: Checkpoint | None,
) -> Checkpoint:  # fmt: skip
    """Check that a set, with these members, is the one that is frozen in the log for an attempt (§6.2)."""
    statement = stated_of(leaf, known, Contributors, scope)
    same = (
        statement.manifest == scope.manifest.hex(),
        (statement.u1, statement.u2, statement.u3) == ("", "", sha256(u).hex()),
        # A statement over many members names their list instead; U, which it also names, is the set itself.
        bool(statement.listed) or tuple(entry.member for entry in statement.members) == names,
    )
    if not all(same):
        raise Refused("The logged freeze names another contributor set.", "Leave the round.", rule="freeze.statement")
    return _proved(leaf, proof, known, last)


def agreements(message: Open, phase: Witnessed) -> None:
    """Check a quorum of trustees that signed exactly this U: of two sets of one attempt only one can have it."""
    agreed(message.agreements, phase.manifest, phase.scope, sha256(phase.u))


def agreed(given: tuple[Signed, ...], manifest: Manifest, scope: Scope, u: bytes) -> None:
    """Check at least a quorum of distinct trustees' valid signatures on exactly `u` (H(U)).

    Raises: Refused naming the trustee, or how many there are; ProtocolViolation when a signature does not verify.
    """
    custody, signers = custody_of(manifest), set()
    for signed in given:
        if signed.sender not in custody.names():
            raise Refused(f"{signed.sender} signs but is no trustee.", "Leave the round.", rule="open.signer")
        body = open_signed(signed, custody.seat(signed.sender).key, "Witness", scope, EVERYBODY)
        if decode(Agreement, body).u != u:
            raise Refused(f"{signed.sender} signed another set.", "Leave the round.", rule="open.same-set")
        signers.add(signed.sender)
    if len(signers) < custody.quorum:
        raise Refused(
            f"{len(signers)} agreements are fewer than the quorum {custody.quorum}.", "Wait for more trustees.",
            rule="open.threshold",
        )  # fmt: skip


def witness_quorum(message: Open, phase: Witnessed) -> None:
    """Check a quorum of distinct trustees' co-signatures on the checkpoint of the freeze (§6.2)."""
    custody, witnesses = custody_of(phase.manifest), set()
    for entry in message.cosignatures:
        if entry.member not in custody.names():
            raise Refused(f"{entry.member} is not a witness of this round.", "Leave the round.", rule="open.witness")
        name = f"{phase.scope.round.federation}/{entry.member}"
        verify_cosignature(phase.frozen, entry.line, name, custody.seat(entry.member).key)
        witnesses.add(entry.member)
    if len(witnesses) < custody.quorum:
        raise Refused(
            f"{len(witnesses)} witnesses are fewer than the quorum {custody.quorum}.", "Wait for more trustees.",
            rule="open.quorum",
        )  # fmt: skip


def _proved(leaf: bytes, proof: LogProof, expect: KnownLog, last: Checkpoint | None) -> Checkpoint:
    return check_proof(leaf, proof, expect.log_origin, expect.aggregator_key, last)


def _refusal(cause: str, rule: str) -> Refused:
    return Refused(cause, "This trustee takes no part in the round.", rule=f"trustee.{rule}")
