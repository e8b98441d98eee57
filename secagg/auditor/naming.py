"""Members that the log names by a proof: each proof is judged again, and who is named is in no later set of the job.

Rules (protocol §3): a fault without its evidence names nobody. A proof is of the attempt and the member that the
statement says. An attempt whose manifest was logged behind a fault has the named member neither in U1 nor in U3.
Leaves to others: what proves what (the engine's check_fault), who signed the statement (check 4).
"""

from secagg.auditor.evidence import Entry, Evidence, Proposal, Violation, engine_of
from secagg.errors import SecaggError
from secagg.log.statements import Contributors, Fault
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed


class Named:
    """Who was named so far, by job, at which entry of the round log."""

    def __init__(self) -> None:
        self._at: dict[str, dict[str, int]] = {}

    def fault(self, evidence: Evidence, entry: Entry, statement: Fault, relies: Proposal) -> None:
        """Take a fault, once its proof holds.

        Raises: Violation; BundleIncomplete when the proof is not kept.
        """
        manifest, data = relies.manifest, evidence.bundle.file(statement.evidence)
        try:
            found = engine_of(entry, manifest).check_fault(data, manifest.key)
        except SecaggError as error:
            raise Violation(entry, error.cause.rstrip(".")) from None
        scope = Scope(manifest.round, bytes.fromhex(statement.manifest))
        if (found.member, found.kind, found.scope) != (statement.member, statement.kind, scope):
            raise Violation(entry, f"its proof is of another fault, or of another member than {statement.member}")
        self._at.setdefault(statement.job, {}).setdefault(statement.member, entry.index)

    def frozen(self, evidence: Evidence, entry: Entry, statement: Contributors, relies: Proposal) -> None:
        """Hold a contributor set, and the members who exchanged keys for it, against who was named before.

        Raises: Violation naming the member.
        """
        named = self._at.get(statement.job, {})
        earlier = {member for member, index in named.items() if index < relies.entry.index}
        if not earlier:
            return
        shown = {contributor.member for contributor in statement.members} | _keys_of(evidence, statement)
        for member in sorted(earlier & shown):
            raise Violation(entry, f"the fault of {member} was proven before")


def _keys_of(evidence: Evidence, statement: Contributors) -> set[str]:
    """Return who is in U1, where the engine has one."""
    if not statement.u1:
        return set()
    entries = decode(tuple[Signed, ...], evidence.bundle.file(statement.u1), LIMIT_LIST)
    return {entry.sender for entry in entries}
