"""From what the key server and the aggregator keep to a bundle, also while both of them run.

How it stays whole: the round log is copied first and the directory second, because what a manifest relies on was
published before the manifest. Of each log the checkpoint is first, then what it covers. Then come exactly the files
that its statements name, which were on disk before the statements were logged.

Rules: nothing is copied that no logged statement names, so that no key and no journal can get in. A bundle is of one
root, and its logs only grow, so that two operators may fill one after the other. The bundle's directory is made with
mode 0700: an auditor who holds uploads and answers counts as the aggregator in the collusion bound (protocol §7).
Leaves to others: the form of a bundle (secagg.log.bundle), judging it (verify.py).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from secagg.auditor.bundle import Bundle
from secagg.auditor.evidence import DIRECTORY, ROUNDS
from secagg.auditor.listing import whole
from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import BadInput, BundleIncomplete, UsageError, VerificationFailed
from secagg.ids import RoundId
from secagg.log.bundle import BundleWriter
from secagg.log.durable import read_entries
from secagg.log.statements import (
    Aborted,
    AnyStatement,
    Contributors,
    Fault,
    JobCreated,
    KeyDealt,
    LieReported,
    ManifestLogged,
    Opening,
    Result,
    RosterChanged,
    RosterRoot,
    parse_statement,
)
from secagg.roster.chain import fingerprint

DIRECTORY_LOG, ROSTERS = "log", "rosters"
"""In the key server's state directory: its log, and the signed rosters by digest."""

AUDIT = "audit"
"""In the aggregator's state directory: what it keeps for auditors, in the form of a bundle."""

MARKER = "root.txt"


class Exported(Struct, frozen=True):
    """What a bundle holds now: entries of each log; names of files and results that this export did not find."""

    directory: int
    rounds: int
    missing: tuple[str, ...]


def export(output: Path, keyserver: Path | None, aggregator: Path | None) -> Exported:
    """Write the state directories of a key server and of an aggregator into a bundle; either may be left out.

    Raises: UsageError when both are. BadInput when a directory is not what it should be. BundleIncomplete when nothing
    is published yet. VerificationFailed when `output` holds other logs than these.
    """
    if keyserver is None and aggregator is None:
        raise UsageError("There is nothing to export.", "Name --keyserver, --aggregator, or both.")
    roots = [_root_of_directory(keyserver)] if keyserver else []
    roots += [_audit(aggregator).root()] if aggregator else []
    writer = _open(output, roots)
    missing: list[str] = []
    if aggregator:
        writer.put_log(ROUNDS, aggregator / AUDIT / ROUNDS)
        statements = [whole(statement, _audit(aggregator).file) for statement in _statements(output / ROUNDS)]
        missing += _put_files(statements, aggregator / AUDIT / "files", output, writer)
        missing += _put_results(statements, _audit(aggregator), output, writer)
    if keyserver:
        writer.put_log(DIRECTORY, keyserver / DIRECTORY_LOG)
        missing += _put_files(_statements(output / DIRECTORY), keyserver / ROSTERS, output, writer)
    return Exported(_size(output / DIRECTORY), _size(output / ROUNDS), tuple(missing))


def named_files(statement: AnyStatement) -> tuple[str, ...]:
    """Return the SHA-256 (hex) of the side files that a statement names and that are kept for auditors."""
    match statement:
        case RosterChanged():
            return (statement.roster,)
        case KeyDealt():
            return (statement.key, statement.transcript)
        case JobCreated() | ManifestLogged():
            return (statement.spec if isinstance(statement, JobCreated) else statement.signed,)
        case Fault() | LieReported():
            return (statement.evidence,)
        case Contributors():
            headers = (member.header for member in statement.members)
            lists = (name for name in (statement.u1, statement.drawn, statement.u2, statement.u3) if name)
            return (*lists, *_listed(statement), *headers)
        case Aborted():
            return _listed(statement)
        case Opening():
            answers = (answer.digest for answer in statement.answers)
            return (*_listed(statement), *answers, statement.signatures, statement.witnesses)
        case _:
            return ()


def named_uploads(statement: AnyStatement) -> tuple[str, ...]:
    """Return the digests (hex) that the uploads of a statement are kept under; the auditor recomputes them."""
    return tuple(member.upload for member in statement.members) if isinstance(statement, Contributors) else ()


def _listed(statement: Contributors | Opening | Aborted) -> tuple[str, ...]:
    return (statement.listed,) if statement.listed else ()


def _open(output: Path, roots: list[tuple[str, str]]) -> BundleWriter:
    """Begin a bundle, or take up one of the same root; anything else that is in the way stays as it is."""
    if output.exists() and not output.is_dir():
        raise BadInput(f"{output} is a file.", "Name a directory with -o.")
    if output.is_dir() and any(output.iterdir()):
        if not (output / MARKER).is_file():
            raise BadInput(f"{output} is not empty and is no bundle.", "Name another directory with -o.")
        roots = [Bundle(output).root(), *roots]
    if len(set(roots)) > 1:
        raise BadInput(
            f"These are of different federations: {' and '.join(' '.join(root) for root in roots)}.",
            "Export each federation to a directory of its own.",
        )
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    writer = BundleWriter(output)
    writer.put_root(*roots[0])
    return writer


def _audit(aggregator: Path) -> Bundle:
    if not (aggregator / AUDIT).is_dir():
        raise BadInput(f"{aggregator} is no state directory of an aggregator.", "See state_dir in aggregator.toml.")
    return Bundle(aggregator / AUDIT)


def _root_of_directory(keyserver: Path) -> tuple[str, str]:
    if not (keyserver / DIRECTORY_LOG).is_dir():
        raise BadInput(f"{keyserver} is no state directory of a key server.", "See state_dir in keyserver.toml.")
    for statement in _statements(keyserver / DIRECTORY_LOG):
        if isinstance(statement, RosterRoot):
            return statement.federation, fingerprint(bytes.fromhex(statement.root_key))
    raise VerificationFailed("The directory log names no root.", "Restore it from a copy.")


def _statements(log: Path) -> list[AnyStatement]:
    return [parse_statement(leaf)[0] for leaf in read_entries(log)[0]]


def _size(log: Path) -> int:
    return len(_statements(log)) if log.is_dir() else 0


def _put_files(statements: list[AnyStatement], source: Path, output: Path, writer: BundleWriter) -> list[str]:
    """Copy the files that statements name and the bundle lacks; return the names that are not kept."""
    missing = []
    for name in dict.fromkeys(name for statement in statements for name in named_files(statement)):
        if (output / "files" / name).is_file():
            continue
        if (source / name).is_file():
            writer.put_file(_unchanged(source / name, (source / name).read_bytes(), sha256))
        else:
            missing.append(name)
    for name in dict.fromkeys(name for statement in statements for name in named_uploads(statement)):
        if (output / "files" / name).is_file():
            continue
        if (source / name).is_file():
            writer.put_upload(name, (source / name).read_bytes())
        else:
            missing.append(name)
    return missing


def _put_results(statements: list[AnyStatement], audit: Bundle, output: Path, writer: BundleWriter) -> list[str]:
    """Copy results and their salts; return the names of those that are not kept."""
    missing = []
    for found in (statement for statement in statements if isinstance(statement, Result)):
        where = RoundId(found.federation, found.job, found.round, found.attempt, found.group)
        if (output / "results" / found.result).is_file():
            continue
        try:
            data, salt = audit.result(found.result), audit.salt(where.label())
        except BundleIncomplete:
            missing.append(found.result)
            continue
        path = audit.directory / "results" / found.result
        writer.put_result(where, _unchanged(path, data, partial(hmac_sha256, salt)), salt)
    return missing


def _unchanged(path: Path, data: bytes, digest: Callable[[bytes], bytes]) -> bytes:
    """Return `data` once it is what its file's name says."""
    if digest(data).hex() != path.name:
        raise VerificationFailed(f"{path} holds something else.", "Restore it from a copy.")
    return data
