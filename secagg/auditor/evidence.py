"""What the checks look at: both logs parsed once, and the lookups every check needs.

Rules: parsing judges nothing but form; each check judges one thing. A violation names the log, the entry's number, who
signed it and the reason. Leaves to others: the checks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from secagg.auditor.bundle import Bundle
from secagg.crypto.derive import sha256
from secagg.errors import NotAuthorised, VerificationFailed
from secagg.log.durable import read_entries
from secagg.log.statements import (
    AnyStatement,
    ManifestLogged,
    OfRound,
    RosterChanged,
    RosterRoot,
    Statement,
    parse_statement,
)
from secagg.protocol.manifest import Manifest
from secagg.roster.chain import SignedRoster
from secagg.roster.members import Member, Roster
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed

S = TypeVar("S", bound=Statement)
DIRECTORY, ROUNDS = "directory", "rounds"
RoundKey = tuple[str, int, int]


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
                found.append(Entry(name, index, statement, signer, leaf))
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

    def aggregator(self) -> Member:
        """Return the aggregator of the newest roster."""
        if not self.rosters:
            raise VerificationFailed("The directory log holds no roster.", "Ask the operator for the whole log.")
        return self.rosters[max(self.rosters)].aggregator()

    def aggregator_key(self) -> bytes:
        """Return the signing key of the aggregator in the newest roster."""
        return self.aggregator().sign_key

    def key_of(self, entry: Entry) -> bytes:
        """Return the key that an entry's signer has under the roster in force.

        Raises: Violation when the signer is nobody who may write into this log.
        """
        if entry.log == DIRECTORY:
            if entry.signer != "keyserver":
                raise Violation(entry, "only the key server writes into the directory")
            return self.online_key()
        try:
            return self.rosters[max(self.rosters)].member(entry.signer).sign_key
        except (NotAuthorised, ValueError):
            raise Violation(entry, "the signer is no member") from None

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


def round_key(statement: OfRound) -> RoundKey:
    """Return (job, round, group): what may be opened once."""
    return (statement.job, statement.round, statement.group)


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
