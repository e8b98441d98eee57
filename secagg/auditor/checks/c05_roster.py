"""Check 5: the roster chain from the pinned root: versions, predecessors, expiry; and that manifests rely on it.

A manifest relies on the newest roster of the directory checkpoint that it names, and never goes back to an older one.
Every other check judges what belongs to a manifest under that roster. Every leaf of it follows from its signed job and
that roster (secagg.auditor.following). Where trustees open, the directory says that a ceremony dealt the key to exactly
them.
"""

from msgspec import UNSET

from secagg.auditor.evidence import Entry, Evidence, Finding, Proposal, Violation, engine_of
from secagg.auditor.following import Jobs, check_follows
from secagg.crypto.derive import sha256
from secagg.errors import ProtocolViolation, SecaggError, VerificationFailed
from secagg.log.checkpoint import read_checkpoint
from secagg.log.statements import KeyDealt, RosterChanged, RosterRoot
from secagg.protocol.manifest import Seat
from secagg.roster.chain import fingerprint, follows, online_key, open_roster
from secagg.roster.members import Roster

NUMBER, TITLE = 5, "roster chain from the pinned root"


def check(evidence: Evidence) -> Finding:
    """Walk the roster versions, then hold every manifest against the version it names.

    Raises: Violation naming the entry.
    """
    _, pinned = evidence.bundle.root()
    for entry, root in evidence.of(RosterRoot):
        if fingerprint(bytes.fromhex(root.root_key)) != pinned:
            raise Violation(entry, f"its root key is not the pinned {pinned}")
    before: bytes | None = None
    accepted: dict[int, tuple[bytes, Roster]] = {}
    for entry, change in evidence.of(RosterChanged):
        data = evidence.bundle.file(change.roster)
        roster = _open(evidence, entry, data, pinned, change.time, accepted.get(change.version - 1))
        if roster.version != change.version or not follows(data, before):
            raise Violation(entry, "the version does not follow the one before")
        accepted[roster.version] = (sha256(data), roster)
        before = data
    seen, jobs = 0, Jobs(evidence)
    for proposal in evidence.proposals.values():
        found = accepted.get(proposal.manifest.roster_version)
        if found is None or not _in_force(found, proposal):
            raise Violation(proposal.entry, "its members do not follow from the roster in force")
        check_follows(proposal, jobs, found[1], found[0])
        _holders(found[1], proposal)
        _dealt(evidence, proposal)
        seen = _newest(evidence, proposal, seen)
    return Finding("pass", f"{len(accepted)} versions, {len(evidence.proposals)} manifests")


def _in_force(accepted: tuple[bytes, Roster], proposal: Proposal) -> bool:
    """Say whether a manifest relies on this roster, unexpired, with nobody but its nodes."""
    digest, roster = accepted
    known = {Seat(member.name, member.organisation, member.sign_key) for member in roster.nodes()}
    current = proposal.statement.time < roster.expires
    return digest == proposal.manifest.roster and current and set(proposal.manifest.members) <= known


def _holders(roster: Roster, proposal: Proposal) -> None:
    """Hold the trustees of a manifest, if its engine has any, and their key against the roster and the rules."""
    known = tuple(Seat(one.name, one.organisation, one.sign_key) for one in roster.members if one.role == "trustee")
    try:
        engine_of(proposal.entry, proposal.manifest).check_holders(proposal.manifest, known)
    except ProtocolViolation as error:
        raise Violation(proposal.entry, error.cause.rstrip(".")) from None


def _dealt(evidence: Evidence, proposal: Proposal) -> None:
    """Hold the key of a manifest with trustees against the ceremonies that the directory holds."""
    custody = proposal.manifest.custody
    if custody is UNSET:
        return
    numbers, digest = (custody.names(), custody.threshold, custody.colluders), sha256(custody.key).hex()
    known = [(one.trustees, one.threshold, one.colluders) for _, one in evidence.of(KeyDealt) if one.key == digest]
    if numbers not in known:
        raise Violation(proposal.entry, "its key is of no ceremony of these trustees and numbers in the directory")


def _newest(evidence: Evidence, proposal: Proposal, seen: int) -> int:
    """Hold a manifest against the directory that it names; return its size, `seen` that of the manifest before."""
    manifest, entry, stated = proposal.manifest, proposal.entry, proposal.statement.roster_version
    if stated != manifest.roster_version:
        raise Violation(entry, f"it is logged with roster {stated} and names roster {manifest.roster_version}")
    try:
        size = read_checkpoint(manifest.directory).size
    except VerificationFailed as error:
        raise Violation(entry, error.cause) from None
    known = [change.version for at, change in evidence.of(RosterChanged) if at.index < size]
    if size < seen:
        raise Violation(entry, "it relies on an older directory than a manifest before it")
    if max(known, default=0) < manifest.roster_version:
        raise Violation(entry, "its directory does not hold the roster that it names")
    if max(known, default=0) > manifest.roster_version:
        raise Violation(entry, "its directory holds a newer roster than the one it names")
    return size


def _open(
    evidence: Evidence, entry: Entry, data: bytes, pinned: str, now: int, last: tuple[bytes, Roster] | None
) -> Roster:
    try:
        roster = open_roster(data, pinned, now, last[1] if last else None)
        known = online_key(data, pinned)
    except SecaggError as error:
        raise Violation(entry, error.cause) from None
    if known != evidence.online_key():
        raise Violation(entry, "another online key signs it than the root delegated to")
    return roster
