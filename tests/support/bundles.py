"""Bundles for tests: rounds in process with logs on disk, written as the aggregator writes them, honest or not."""

from pathlib import Path

from secagg.crypto.sign import SigningKey
from secagg.demo.archive import keep
from secagg.demo.lying import CheatingTable
from secagg.log.bundle import BundleWriter
from secagg.log.durable import TileLog
from secagg.log.log import Log
from secagg.log.statements import Statement, sign_statement
from secagg.protocol.masks.rounds import Closed
from secagg.protocol.rehearsal import AGGREGATOR, Federation, found, party, propose
from secagg.protocol.rehearsal import table as seat
from secagg.protocol.run import run_round
from secagg.roster.chain import fingerprint
from support.federation import counted_rng, inputs_of, job, names_of


def write_bundle(path: Path, *, rounds: int = 2, cheat: bool = False, uploads: bool = True) -> Federation:
    """Run `rounds` rounds of four members, node-02 dropping out of the second, and write their bundle."""
    names = names_of(4)

    def open_directory(origin: str, name: str, key: SigningKey) -> Log:
        return TileLog(path / "directory", origin, name, key)

    federation = found(names, job(names), counted_rng(b"bundle"), open_log=open_directory)
    writer = BundleWriter(path)
    writer.put_root("fed", fingerprint(federation.root_key))
    writer.put_file(federation.roster)
    log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", federation.aggregator)
    parties = {name: party(federation, name) for name in names}
    for number in range(1, rounds + 1):
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
    federation.directory.close()  # type: ignore[attr-defined]
    return federation


def append(path: Path, log: str, statement: Statement, signer: str, key: SigningKey, log_key: SigningKey) -> None:
    """Append a statement to a bundle's log and publish it, as the log's owner could."""
    owner = TileLog(path / log, f"fed/{log}", f"fed/{log}", log_key)
    owner.append(sign_statement(statement, signer, key))
    owner.publish()
    owner.close()


__all__ = ["AGGREGATOR", "append", "write_bundle"]
