"""Check 7: a set of contributors that the sum is not over fails in this check alone, however well it is witnessed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from secagg.auditor.bundle import Bundle
from secagg.auditor.verify import verify
from secagg.crypto.derive import hmac_sha256, sha256
from secagg.ids import RoundId
from secagg.log.bundle import BundleWriter
from secagg.log.checkpoint import cosign
from secagg.log.durable import TileLog, read_entries
from secagg.log.statements import AnyStatement, Contributors, Opening, Result, parse_statement, sign_statement
from secagg.protocol.manifest import Published
from secagg.protocol.round.messages import Cosignature, Witnesses
from secagg.rehearsal.federation import Federation
from secagg.wire.codec import decode, encode
from support.bundles import AGGREGATOR, write_bundle

CLAIMED = "node-02"
"""Dropped out of round 2; the aggregator says that it contributed."""


class Liar:
    """Rewrites a bundle's second round with one more contributor; every member witnesses it again."""

    def __init__(self, path: Path, federation: Federation) -> None:
        self.path, self.federation = path, federation
        self.bundle, self.writer = Bundle(path), BundleWriter(path)
        self.statements = [parse_statement(leaf)[0] for leaf in read_entries(path / "rounds")[0]]
        shutil.rmtree(path / "rounds")
        self.log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", federation.aggregator)
        self.frozen = b""

    def rewrite(self) -> None:
        for statement in self.statements:
            changed = self.change(statement)
            self.log.append(sign_statement(changed, AGGREGATOR, self.federation.aggregator))
            note = self.log.publish()
            if isinstance(changed, Contributors):
                self.frozen = note
        self.log.close()

    def change(self, statement: AnyStatement) -> AnyStatement:
        match statement:
            case Contributors(round=2):
                first = next(s for s in self.statements if isinstance(s, Contributors))
                claimed = next(entry for entry in first.members if entry.member == CLAIMED)
                return replace(statement, members=tuple(sorted((*statement.members, claimed), key=lambda e: e.member)))
            case Opening(round=2):
                return replace(statement, witnesses=self.writer.put_file(encode(self.witness(statement))))
            case Result(round=2):
                return self.publish(statement)
        return statement

    def witness(self, opening: Opening) -> Witnesses:
        kept = decode(Witnesses, self.bundle.file(opening.witnesses))
        lines = tuple(self.lines())
        return replace(kept, checkpoint=self.frozen, rounds=lines)

    def lines(self) -> Iterator[Cosignature]:
        for name, key in self.federation.members.items():
            yield Cosignature(name, cosign(self.frozen, f"fed/{name}", key, 1_700_000_000))

    def publish(self, statement: Result) -> Result:
        where = RoundId("fed", statement.job, statement.round, statement.attempt, statement.group)
        data, salt = self.bundle.result(statement.result), self.bundle.salt(where.label())
        published = decode(Published, data, len(data))
        names = tuple(sorted((*published.contributors, CLAIMED)))
        lie = encode(replace(published, contributors=names))
        self.writer.put_result(where, lie, salt)
        return replace(statement, contributors=names, result=hmac_sha256(salt, lie).hex())


def test_a_contributor_whose_input_is_not_in_the_sum(tmp_path: Path) -> None:
    Liar(tmp_path, write_bundle(tmp_path)).rewrite()
    broken = [line for line in verify(tmp_path).checks if line.status == "fail"]
    # The set of every freeze is read from its list by check 6, whether a result follows or not.
    assert [line.number for line in broken] == [6, 7]
    assert "the contributor set is not the one that its list of headers holds" in broken[0].detail
    assert "the frozen contributor set is not the one that U3 lists" in broken[1].detail


def test_the_rewritten_bundle_fails_for_the_lie_alone(tmp_path: Path) -> None:
    liar = Liar(tmp_path, write_bundle(tmp_path))
    liar.change = lambda statement: statement  # type: ignore[method-assign]
    liar.rewrite()
    assert verify(tmp_path).verdict == "PASS"


def test_an_upload_that_was_swapped(tmp_path: Path) -> None:
    write_bundle(tmp_path, rounds=1)
    leaves, _ = read_entries(tmp_path / "rounds")
    frozen = next(s for s, *_ in map(parse_statement, leaves) if isinstance(s, Contributors))
    kept = tmp_path / "files" / frozen.members[0].upload
    kept.write_bytes(bytes(len(kept.read_bytes())))
    broken = [line for line in verify(tmp_path).checks if line.status == "fail"]
    assert [line.number for line in broken] == [7]
    assert sha256(kept.read_bytes()).hex() != frozen.members[0].upload
