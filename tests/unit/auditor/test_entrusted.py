"""Bundles of rounds that trustees opened: the honest one passes, every lie fails in the check that is for it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.auditor.bundle import Bundle
from secagg.auditor.verify import verify
from secagg.crypto.derive import hmac_sha256, sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import Refused
from secagg.log.bundle import BundleWriter
from secagg.log.durable import TileLog
from secagg.log.log import Log
from secagg.log.statements import AnyStatement, Contributors, Opening, Result
from secagg.protocol.manifest import Custody
from secagg.protocol.masks import verify as masks
from secagg.protocol.paillier import verify as entrusted_rounds
from secagg.protocol.paillier.messages import Piece
from secagg.protocol.paillier.opening import read_answer
from secagg.protocol.round.messages import Witnesses
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.entrusted import Entrusted, entrust, propose, table
from secagg.rehearsal.federation import create_job
from secagg.rehearsal.run import run_round
from secagg.roster.chain import fingerprint
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.bundles import rewrite
from support.entrusted import dealt, inputs
from support.federation import counted_rng, job, names_of
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

Change = Callable[["Made", AnyStatement], AnyStatement]
WIDTH = 2 * SMALL // 8
"""Bytes of a ciphertext."""


class Made:
    """A bundle of one round under a key of full length, ana having fallen silent."""

    def __init__(self, path: Path, stated: Callable[[Custody], Custody] = lambda custody: custody) -> None:
        self.path = path
        key, shares = dealt(3, 2)
        secrets = dict(zip(key.trustees, shares, strict=True))

        def open_directory(origin: str, name: str, signing: SigningKey) -> Log:
            return TileLog(path / "directory", origin, name, signing)

        rng = counted_rng(b"entrusted bundle")
        self.entrusted: Entrusted = entrust(
            names_of(4), job(names_of(4)), key, secrets, rng, open_log=open_directory, stated=stated
        )
        nodes = self.entrusted.nodes
        log = TileLog(path / "rounds", "fed/rounds", "fed/rounds", nodes.aggregator)
        created = create_job(nodes, log)
        self.played = table(self.entrusted, inputs(self.entrusted, propose(self.entrusted)), {"ana": "Attend"}, log=log)
        end = run_round(self.played)
        assert isinstance(end, Closed)
        self.end = end
        writer = BundleWriter(path)
        writer.put_root("fed", fingerprint(nodes.root_key))
        signed = [said.data for said in self.played.wire if said.kind == "EncryptedInput"]
        for data in (nodes.roster, created, *self.played.files.values(), *self.played.uploads.values(), *signed):
            writer.put_file(data)
        writer.put_result(end.published.round, encode(end.published), end.salt)
        log.close()
        nodes.directory.close()  # type: ignore[attr-defined]

    @property
    def scope(self) -> Scope:
        return self.end.scope


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def made(honest: Made, tmp_path: Path) -> Made:
    """Return a copy of the honest bundle, to be changed."""
    copy = Made.__new__(Made)
    copy.__dict__ |= honest.__dict__ | {"path": tmp_path / "bundle"}
    shutil.copytree(honest.path, copy.path)
    return copy


def failed(made: Made) -> list[int]:
    return [line.number for line in verify(made.path).checks if line.status not in ("pass", "n/a")]


def changed(made: Made, change: Change) -> list[int]:
    rewrite(made.path, made.entrusted.nodes, lambda statement: change(made, statement))
    return failed(made)


def test_an_honest_bundle_passes(honest: Made) -> None:
    assert [line.status for line in verify(honest.path).checks] == ["pass"] * 6


@pytest.mark.parametrize(
    "stated",
    [
        lambda custody: replace(custody, key=custody.key + b"\0"),
        lambda custody: replace(custody, trustees=custody.trustees[::-1]),
        lambda custody: replace(custody, threshold=3),
        lambda custody: replace(custody, colluders=1),
    ],
    ids=["key", "trustees", "threshold", "colluders"],
)
def test_a_key_of_no_ceremony_fails_check_5_alone(tmp_path: Path, stated: Callable[[Custody], Custody]) -> None:
    assert failed(Made(tmp_path, stated)) == [5]


def test_a_sum_that_is_one_off_fails_check_7_alone(made: Made) -> None:
    def lie(made: Made, statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Result):
            return statement
        published = made.end.published
        words = bytearray(published.groups[1].words)
        words[4] ^= 1
        told = replace(published, groups=(published.groups[0], replace(published.groups[1], words=bytes(words))))
        BundleWriter(made.path).put_result(published.round, encode(told), made.end.salt)
        return replace(statement, result=hmac_sha256(made.end.salt, encode(told)).hex())

    assert changed(made, lie) == [7]


def test_an_upload_that_is_not_the_signed_one_is_no_upload(made: Made) -> None:
    data = made.played.uploads["node-01"]
    (made.path / "files" / sha256(data).hex()).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert 7 in failed(made)


def test_a_forged_answer_fails_check_7_alone(made: Made) -> None:
    """ben colludes and signs partial decryptions that are not: the log names what nobody could combine."""

    def forge(made: Made, statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Opening):
            return statement
        bundle = Bundle(made.path)
        answer = read_answer([bundle.file(statement.answers[0].digest)])
        assert answer.partial is not None
        values = answer.partial.values
        bad = encode(replace(answer, partial=replace(answer.partial, values=values[WIDTH:] + values[:WIDTH])))
        key = made.entrusted.trustees[statement.answers[0].member]
        inner = sign(
            key, "Answer", made.scope, statement.answers[0].member, "aggregator", encode(Piece(answer.u, 0, 1, bad))
        )
        name = BundleWriter(made.path).put_file(encode(inner))
        return replace(statement, answers=(replace(statement.answers[0], digest=name), *statement.answers[1:]))

    assert changed(made, forge) == [7]


def test_one_answer_too_few_fails_check_7_alone(made: Made) -> None:
    def drop(made: Made, statement: AnyStatement) -> AnyStatement:
        return replace(statement, answers=statement.answers[:1]) if isinstance(statement, Opening) else statement

    assert changed(made, drop) == [7]


def test_agreements_of_too_few_fail_check_6_alone(made: Made) -> None:
    def drop(made: Made, statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Opening):
            return statement
        found = decode(tuple[Signed, ...], Bundle(made.path).file(statement.signatures), LIMIT_BULK)
        return replace(statement, signatures=BundleWriter(made.path).put_file(encode(found[:1])))

    assert changed(made, drop) == [6]


def test_members_are_no_witnesses_of_what_trustees_open(made: Made) -> None:
    def rename(made: Made, statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Opening):
            return statement
        found = decode(Witnesses, Bundle(made.path).file(statement.witnesses), LIMIT_BULK)
        lines = tuple(replace(line, member="node-00") for line in found.rounds)
        return replace(statement, witnesses=BundleWriter(made.path).put_file(encode(replace(found, rounds=lines))))

    assert changed(made, rename) == [2]


def test_a_set_with_lists_that_the_engine_has_not_fails(made: Made) -> None:
    def add(made: Made, statement: AnyStatement) -> AnyStatement:
        return replace(statement, u2=statement.u3) if isinstance(statement, Contributors) else statement

    assert 7 in changed(made, add)


LIES: dict[str, dict[str, Any]] = {
    "custody.seats": {"trustees": ()}, "custody.acceptances": {"acceptances": ()},
    "custody.threshold": {"threshold": 1}, "custody.acceptance": {"key": b"another"},
}  # fmt: skip


@pytest.mark.parametrize("rule", LIES)
def test_a_custody_is_held_against_the_roster(honest: Made, rule: str) -> None:
    manifest, known = honest.played.manifest, honest.entrusted.custody.trustees
    entrusted_rounds.check_holders(manifest, known)
    lying = replace(manifest, custody=replace(honest.entrusted.custody, **LIES[rule]))
    with pytest.raises(Refused) as caught:
        entrusted_rounds.check_holders(lying, known)
    assert caught.value.rule == rule
    with pytest.raises(Refused):
        entrusted_rounds.check_holders(manifest, ())


def test_members_that_open_themselves_have_no_trustees(honest: Made) -> None:
    with pytest.raises(Refused):
        masks.check_holders(honest.played.manifest, honest.entrusted.custody.trustees)
