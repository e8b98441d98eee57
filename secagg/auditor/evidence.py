"""What the checks look at: both logs parsed once, and the lookups every check needs.

Rules: parsing judges nothing but form; each check judges one thing. A violation names the log, the entry's number, who
signed it and the reason. Leaves to others: the checks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from secagg.auditor.bundle import Bundle
from secagg.auditor.listing import whole
from secagg.crypto.derive import sha256
from secagg.errors import BadInput, VerificationFailed
from secagg.log.durable import read_entries
from secagg.log.statements import (
    AnyStatement,
    ManifestLogged,
    OfRound,
    RosterChanged,
    RosterRoot,
    Statement,
    UncheckedAccepted,
    parse_statement,
)
from secagg.protocol import engines
from secagg.protocol.engine import AuditSide
from secagg.protocol.manifest import Manifest
from secagg.roster.chain import SignedRoster
from secagg.roster.members import Member, Roster
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed

S = TypeVar("S", bound=Statement)
DIRECTORY, ROUNDS = "directory", "rounds"


@dataclass(frozen=True)
class Entry:
    """A parsed leaf: which log, its number, the statement, who it says signed it, and the raw bytes."""

    log: str
    index: int
    statement: AnyStatement
    signer: str
    leaf: bytes


class Violation(VerificationFailed):
    """A rule is broken at one entry."""

    default_code = "E-VIOLATION"

    def __init__(self, entry: Entry, reason: str) -> None:
        kind = type(entry.statement).__name__
        super().__init__(
            f"Entry {entry.index} of the {entry.log} log ({kind}, signed by {entry.signer}): {reason}.",
            "Keep the bundle: it is the evidence.",
        )
        self.entry, self.reason = entry, reason


@dataclass(frozen=True)
class Proposal:
    """A logged manifest: its entry, its statement, its content."""

    entry: Entry
    statement: ManifestLogged
    manifest: Manifest


@dataclass
class Evidence:
    """A bundle with its logs."""

    bundle: Bundle
    raw: dict[str, tuple[list[bytes], bytes]] = field(default_factory=dict)

    def log(self, name: str) -> tuple[list[bytes], bytes]:
        """Return (leaves, checkpoint note) of a log; check 1 judges that they belong together.

        Raises: VerificationFailed, BundleIncomplete.
        """
        if name not in self.raw:
            self.raw[name] = read_entries(self.bundle.directory / name)
        return self.raw[name]

    @cached_property
    def entries(self) -> list[Entry]:
        """Return all entries: the directory's, then the rounds'."""
        found = []
        for name in (DIRECTORY, ROUNDS):
            for index, leaf in enumerate(self.log(name)[0]):
                statement, signer, _, _ = parse_statement(leaf)
                found.append(Entry(name, index, whole(statement, self.bundle.file), signer, leaf))
        return found

    def of(self, kind: type[S]) -> Iterator[tuple[Entry, S]]:
        """Yield the entries of one statement type, in order."""
        for entry in self.entries:
            if isinstance(entry.statement, kind):
                yield entry, entry.statement

    @cached_property
    def rosters(self) -> dict[int, Roster]:
        """Return the logged rosters by version, without judging their signatures (check 5 does)."""
        found = {}
        for entry, statement in self.of(RosterChanged):
            if entry.log != DIRECTORY:
                continue  # check 4 refuses it; here it must not replace what the key server stated
            signed = decode(SignedRoster, self.bundle.file(statement.roster), LIMIT_BULK)
            found[statement.version] = decode(Roster, signed.roster, LIMIT_BULK)
        return found

    def online_key(self) -> bytes:
        """Return the key server's online key as the directory's first entry states it."""
        for entry, statement in self.of(RosterRoot):
            if entry.log != DIRECTORY:
                break
            return bytes.fromhex(statement.online_key)
        raise VerificationFailed("The directory log names no root.", "Ask the operator for the whole log.")

    @cached_property
    def spans(self) -> list[range]:
        """Return the roster versions that each entry of the round log can have been made under.

        What is about a manifest is made under the roster that the manifest names, whatever the key server issued since.
        Anything else under one from the manifest before it to the one behind it, or to the newest. So is what a person
        says of a round. It may come when who says it has other keys, or from who was not enrolled in that round.
        """
        statements = [entry.statement for entry in self.entries if entry.log == ROUNDS]
        first, after = min(self.rosters, default=1), max(self.rosters, default=1)
        until: list[int] = []
        for statement in reversed(statements):
            after = statement.roster_version if isinstance(statement, ManifestLogged) else after
            until.append(after)
        known: dict[object, int] = {}
        spans = []
        for statement, last in zip(statements, reversed(until), strict=True):
            if isinstance(statement, ManifestLogged):
                first = known[statement.manifest] = known[_attempt(statement)] = statement.roster_version
            version = _named(statement, known)
            spans.append(range(first, last + 1) if version is None else range(version, version + 1))
        return spans

    def signers(self, entry: Entry) -> list[Member]:
        """Return the signer of an entry of the round log as the rosters know it that this can have been made under."""
        return [member for roster in self._rosters(entry) for member in roster.members if member.name == entry.signer]

    def aggregators(self, entry: Entry | None = None) -> list[Member]:
        """Return the aggregator of every roster that an entry of the round log, or its last checkpoint, can be of."""
        return [member for roster in self._rosters(entry) for member in roster.members if member.role == "aggregator"]

    def _rosters(self, entry: Entry | None) -> list[Roster]:
        versions = self.spans[entry.index] if entry else range(self._last_version(), max(self.rosters, default=0) + 1)
        return [self.rosters[version] for version in versions if version in self.rosters]

    def _last_version(self) -> int:
        return max((statement.roster_version for _, statement in self.of(ManifestLogged)), default=1)

    @cached_property
    def proposals(self) -> dict[str, "Proposal"]:
        """Return the logged manifests by H (hex)."""
        found = {}
        for entry, statement in self.of(ManifestLogged):
            signed = decode(Signed, self.bundle.file(statement.signed), LIMIT_BULK)
            if sha256(signed.body).hex() != statement.manifest:
                raise Violation(entry, "the kept manifest is another one")
            found[statement.manifest] = Proposal(entry, statement, decode(Manifest, signed.body, LIMIT_BULK))
        return found


def _attempt(statement: OfRound) -> tuple[str, int, int, int]:
    return (statement.job, statement.round, statement.attempt, statement.group)


def _named(statement: Statement, known: dict[object, int]) -> int | None:
    """Return the roster version of the manifest that a statement is about, if it is about one that was logged."""
    if not isinstance(statement, OfRound) or isinstance(statement, UncheckedAccepted):
        return None
    return known.get(getattr(statement, "manifest", None), known.get(_attempt(statement)))


def engine_of(entry: Entry, manifest: Manifest) -> AuditSide:
    """Return what a manifest's engine has for auditors.

    Raises: Violation when there is no such engine, which no honest member could have taken part in.
    """
    try:
        return engines.load(manifest.engine).audit
    except BadInput as error:
        raise Violation(entry, error.cause.rstrip(".")) from None


def proposal(evidence: Evidence, entry: Entry, manifest: str) -> Proposal:
    """Return the proposal that an entry relies on.

    Raises: Violation when no such manifest was logged before it in the same log.
    """
    found = evidence.proposals.get(manifest)
    if found is None or found.entry.log != entry.log or found.entry.index >= entry.index:
        raise Violation(entry, "its manifest was not logged before it")
    return found


@dataclass(frozen=True)
class Finding:
    """What a check found: `pass`, or `n/a` with the reason."""

    status: str
    detail: str
