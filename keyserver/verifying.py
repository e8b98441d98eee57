"""Verifies a roster as anybody can who knows the root's fingerprint: chain, directory, and every member's enrolment."""

from keyserver.answers import EntryShown, RosterShown
from secagg.daemon import clock
from secagg.daemon.membership import Pin, follow
from secagg.errors import VerificationFailed
from secagg.log.statements import Enrolled, open_statement
from secagg.log.witness import LogProof, check
from secagg.roster.chain import SignedRoster, fingerprint, online_key
from secagg.roster.fingerprints import groups, member_fingerprint, words
from secagg.roster.members import Member, Roster
from secagg.roster.messages import RosterPush
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK


def rows(answer: RosterShown) -> tuple[str, list[dict[str, object]]]:
    """Return one line about the roster and one row per member, without verifying (`verify` does)."""
    push = decode(RosterPush, bytes.fromhex(answer.push), LIMIT_BULK)
    root = fingerprint(decode(SignedRoster, push.roster, LIMIT_BULK).root_key)
    roster = _roster(answer)
    head = (
        f"{roster.federation} · version {roster.version} · c = {roster.limits.colluders} · "
        f"at least {roster.limits.min_nodes} nodes"
    )
    return head, [
        {
            "name": member.name,
            "organisation": member.organisation,
            "role": member.role,
            "fingerprint": member_fingerprint(roster.federation, root, member).hex(),
        }
        for member in roster.members
    ]


def verify(answer: RosterShown, root_fingerprint: str) -> list[str]:
    """Return one line per thing that holds.

    Raises: VerificationFailed naming the first that does not.
    """
    push, roster = bytes.fromhex(answer.push), _roster(answer)
    standing = follow(push, Pin(roster.federation, root_fingerprint), clock.wall(), None)
    key = online_key(standing.signed, root_fingerprint)
    state = standing.checkpoint()
    lines = [
        f"root        {root_fingerprint}",
        f"roster      version {roster.version}, {len(roster.members)} members, expires {roster.expires}",
        f"directory   {state.origin}, {state.size} entries, {state.root.hex()}",
    ]
    entries = {statement.member: (entry, statement) for entry in answer.entries for statement in [_open(entry, key)]}
    for member in roster.members:
        if member.name not in entries:
            raise VerificationFailed(f"There is no proof that {member.name} was enrolled.", "Ask the operator.")
        entry, statement = entries[member.name]
        proof = decode(LogProof, bytes.fromhex(entry.proof), LIMIT_BULK)
        if check(entry.leaf.encode(), proof, state.origin, key, None) != state:
            raise VerificationFailed(f"{member.name} is proved in another state of the directory.", "Ask again.")
        lines.append(_line(member, statement, roster, root_fingerprint, proof.index))
    return lines


def _line(member: Member, statement: Enrolled, roster: Roster, root: str, index: int) -> str:
    """Return a member's line once its enrolment names exactly its keys."""
    seen = member_fingerprint(roster.federation, root, member)
    logged = (statement.organisation, statement.role, statement.sign_key, statement.curve_key, statement.fingerprint)
    if logged != (member.organisation, member.role, member.sign_key.hex(), member.curve_key.hex(), seen.hex()):
        raise VerificationFailed(f"{member.name} was enrolled with other keys.", "Keep both: they are evidence.")
    return f"entry {index:<5} {member.name} ({member.role})  {groups(seen)}  {' '.join(words(seen))}"


def _open(entry: EntryShown, key: bytes) -> Enrolled:
    statement, _ = open_statement(entry.leaf.encode(), lambda _: key)
    if not isinstance(statement, Enrolled):
        raise VerificationFailed("A proof is of another statement than an enrolment.", "Ask the operator.")
    return statement


def _roster(answer: RosterShown) -> Roster:
    push = decode(RosterPush, bytes.fromhex(answer.push), LIMIT_BULK)
    return decode(Roster, decode(SignedRoster, push.roster, LIMIT_BULK).roster, LIMIT_BULK)
