"""What auditors are shown of inputs: headers that say what they like of them, persons' words, and the verdict."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from secagg.auditor.verify import verify
from secagg.crypto.derive import sha256
from secagg.log.log import Log
from secagg.log.statements import OverlapAllowed, sign_statement
from secagg.protocol.binding import ANY, Bound, Only
from secagg.protocol.inputs import Counted, Given, Naming, rehearsed
from secagg.protocol.manifest import Manifest
from secagg.rehearsal.federation import START_OF_TIME, Federation
from secagg.wire.signed import Scope


def naming(only: Only = ANY, of: str = "the data") -> Naming:
    """Return headers that call a member's input the same in every attempt."""

    def given(manifest: Manifest, scope: Scope, name: str, past: Sequence[Counted] = ()) -> Given:
        return replace(rehearsed(manifest, scope, name, past), bound=Bound(sha256(f"{of} of {name}".encode()), only))

    return given


ONE = naming()
"""Headers of one input that never say that it was summed before."""


def allow(names: tuple[str, ...], job: str = "job") -> Callable[[Federation, Log], None]:
    """Return what logs members' words that a job may sum inputs over another set."""

    def before(federation: Federation, log: Log) -> None:
        for name in names:
            said = OverlapAllowed(federation="fed", time=START_OF_TIME, member=name, job=job)
            log.append(sign_statement(said, name, federation.members[name]))

    return before


def outcome(path: Path) -> list[tuple[int, str]]:
    """Return every check that does not pass, with its reason."""
    return [(line.number, line.detail.rpartition("): ")[2]) for line in verify(path).checks if line.status != "pass"]


def summed(name: str, before: str) -> list[tuple[int, str]]:
    """Return the outcome when a member's input was opened over another set before."""
    return [(6, f"the input of {name} was summed over another set of members in round {before}.")]
