"""Bundles for tests: rounds in process with logs on disk, written as the aggregator writes them, honest or not."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.demo.archive import keep
from secagg.demo.lying import CheatingTable
from secagg.ids import EVERYBODY
from secagg.log.bundle import BundleWriter
from secagg.log.durable import TileLog, read_entries
from secagg.log.log import Log
from secagg.log.statements import AnyStatement, RosterChanged, Statement, parse_statement, sign_statement
from secagg.protocol.inputs import Naming, rehearsed
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.round.phases import Closed
from secagg.protocol.round.stating import manifest_logged
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation, create_job, found, party, propose
from secagg.rehearsal.federation import table as seat
from secagg.rehearsal.run import run_round
from secagg.roster.chain import SignedRoster, fingerprint, sign_roster
from secagg.roster.members import Member, Roster
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, sign
from support.federation import counted_rng, inputs_of, job, names_of

Before = Callable[[int, Federation, Log], Federation]


def nothing(number: int, federation: Federation, log: Log) -> Federation:
    """Do nothing before a round."""
    return federation


def _begin(path: Path, **fields: object) -> tuple[Federation, BundleWriter, TileLog]:
    """Found a federation of four members with its directory, its job and its logs in a bundle."""
    names = names_of(4)

    def open_directory(origin: str, name: str, key: SigningKey) -> Log:
        return TileLog(path / "directory", origin, name, key)

    federation = found(names, job(names, **fields), counted_rng(b"bundle"), open_log=open_directory)
    writer = BundleWriter(path)
    writer.put_root("fed", fingerprint(federation.root_key))
    writer.put_file(federation.roster)
    log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", federation.aggregator)
    writer.put_file(create_job(federation, log))
    return federation, writer, log


def write_bundle(
    path: Path, *, rounds: int = 2, cheat: bool = False, uploads: bool = True, before: Before = nothing,
    **fields: object,
) -> Federation:  # fmt: skip
    """Run `rounds` rounds of four members, node-02 dropping out of the second, and write their bundle.

    `fields` are of the job.

    `before(number, federation, log)` may do something before a round, and says which federation its manifest is of.
    """
    federation, writer, log = _begin(path, **fields)
    names, directory = tuple(federation.members), federation.directory
    parties = {name: party(federation, name) for name in names}
    for number in range(1, rounds + 1):
        federation = before(number, federation, log)
        manifest = propose(federation, number)
        drops = {"node-02": "MaskedInput"} if number == 2 else {}
        fresh = {name: party(federation, name, number) for name in names}
        for name in names:
            fresh[name].notebook.records = parties[name].notebook.records
        seated = seat(federation, inputs_of(federation, manifest), drops, manifest=manifest, parties=fresh, log=log)
        if cheat:
            seated = CheatingTable(**vars(seated))
        end = run_round(seated)
        assert isinstance(end, Closed)
        if not uploads:
            seated.uploads.clear()
        keep(writer, seated, end)
    log.close()
    directory.close()  # type: ignore[attr-defined]
    return federation


@dataclass
class Play:
    """One attempt to be played: who falls silent before which step, what headers say, what is logged before it."""

    number: int = 1
    attempt: int = 1
    drops: Mapping[str, str] = field(default_factory=dict)
    given: Naming = rehearsed
    before: Callable[[Federation, Log], None] = lambda federation, log: None
    group: int = 0


def write_plays(path: Path, plays: Sequence[Play]) -> Federation:
    """Play attempts one after the other, whether they have a result or not, and write their bundle."""
    federation, writer, log = _begin(path)
    names = tuple(federation.members)
    for play in plays:
        play.before(federation, log)
        manifest = propose(federation, play.number, play.attempt)
        manifest = replace(manifest, round=replace(manifest.round, group=play.group))
        # Everybody has forgotten what was before: what members' own ledgers refuse is not the question here.
        parties = {name: party(federation, name, play.number) for name in names}
        seated = seat(
            federation, inputs_of(federation, manifest), play.drops, manifest=manifest, parties=parties, log=log,
        )  # fmt: skip
        seated.given = play.given
        keep(writer, seated, run_round(seated))
    log.publish()
    log.close()
    federation.directory.close()  # type: ignore[attr-defined]
    return federation


def insert(
    path: Path, federation: Federation, before: type[Statement], statement: Statement, signer: str = AGGREGATOR
) -> None:
    """Let the aggregator write its log again with a statement of `signer` before the last one of a type."""
    leaves, _ = read_entries(path / "rounds")
    at = max(index for index, leaf in enumerate(leaves) if isinstance(parse_statement(leaf)[0], before))
    key = federation.members.get(signer, federation.aggregator)
    leaves.insert(at, sign_statement(statement, signer, key))
    shutil.rmtree(path / "rounds")
    log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", federation.aggregator)
    for leaf in leaves:
        log.append(leaf)
    log.publish()
    log.close()


def append(path: Path, log: str, statement: Statement, signer: str, key: SigningKey, log_key: SigningKey) -> None:
    """Append a statement to a bundle's log and publish it, as the log's owner could."""
    owner = TileLog(path / log, f"fed/{log}", f"fed/{log}", log_key)
    owner.append(sign_statement(statement, signer, key))
    owner.publish()
    owner.close()


def propose_in(path: Path, federation: Federation, manifest: Manifest) -> None:
    """Log a manifest in a bundle, signed by the federation's aggregator."""
    body = encode(manifest)
    signed = sign(federation.aggregator, "Manifest", Scope(manifest.round, bytes(32)), AGGREGATOR, EVERYBODY, body)
    BundleWriter(path).put_file(encode(signed))
    stated = manifest_logged(Scope(manifest.round, digest(body)), signed, manifest.roster_version, START_OF_TIME)
    append(path, "rounds", stated, AGGREGATOR, federation.aggregator, federation.aggregator)


def rewrite(path: Path, federation: Federation, change: Callable[[AnyStatement], AnyStatement]) -> None:
    """Let the aggregator write its log again with changed statements; what comes before a change stays as it was."""
    leaves, _ = read_entries(path / "rounds")
    shutil.rmtree(path / "rounds")
    log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", federation.aggregator)
    for leaf in leaves:
        log.append(sign_statement(change(parse_statement(leaf)[0]), AGGREGATOR, federation.aggregator))
    log.publish()
    log.close()


def next_roster(federation: Federation, change: Callable[[Member], Member | None]) -> tuple[bytes, RosterChanged]:
    """Return a signed second version of the roster, each member changed or out (None), and the statement of it."""
    first = decode(SignedRoster, federation.roster, LIMIT_BULK)
    old = decode(Roster, first.roster, LIMIT_BULK)
    members = tuple(left for member in old.members if (left := change(member)) is not None)
    new = replace(old, version=2, previous=sha256(federation.roster), members=members)
    delegation = (first.delegation, first.delegation_signature)
    signed = sign_roster(new, federation.root_key, delegation, federation.online)
    statement = RosterChanged(federation="fed", time=START_OF_TIME, version=2, roster=sha256(signed).hex())
    return signed, statement


def put_roster(path: Path, federation: Federation, change: Callable[[Member], Member | None]) -> None:
    """Let the key server issue a second version of the roster after everything in the bundle."""
    signed, statement = next_roster(federation, change)
    BundleWriter(path).put_file(signed)
    append(path, "directory", statement, "keyserver", federation.online, federation.online)


__all__ = [
    "AGGREGATOR", "Play", "append", "insert", "next_roster", "put_roster", "rewrite", "write_bundle",
    "write_plays",
]  # fmt: skip
