"""Word of the aggregator is believed with its signature, its log entry and its salted digest, and not otherwise."""

from typing import Any

import pytest
from msgspec.structs import replace

from node import believing
from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import ProtocolViolation, VerificationFailed
from secagg.ids import EVERYBODY, RoundId
from secagg.log.log import MemoryLog
from secagg.log.statements import JobCreated, Result, parse_statement, sign_statement
from secagg.log.witness import LogProof
from secagg.protocol.manifest import GroupSum, JobSpec, Published
from secagg.protocol.memory import Opened
from secagg.protocol.session import ResultNotice, job_scope
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.rehearsal.notebook import Notebook
from secagg.roster.chain import SignedRoster
from secagg.roster.members import Roster
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Signed, sign
from support.federation import make

FEDERATION = make(4)
SPEC, KEY = FEDERATION.spec, FEDERATION.aggregator
ROSTER = decode(Roster, decode(SignedRoster, FEDERATION.roster).roster)
MEMBER = ROSTER.member(AGGREGATOR)
PLACE = RoundId("fed", "job", 2)
ORIGIN = "fed/rounds"


def job(spec: JobSpec = SPEC, sender: str = AGGREGATOR, key: Any = KEY) -> Signed:
    return sign(key, "JobSpec", job_scope(spec), sender, EVERYBODY, encode(spec))


def test_a_job_is_the_aggregators_for_this_federation_and_this_node() -> None:
    spec, body = believing.opened_job(job(), MEMBER, ROSTER, "node-00")
    assert (spec, body) == (SPEC, sha256(encode(SPEC)))
    other = FEDERATION.members["node-01"]
    for signed, me in (
        (job(), "node-09"), (job(key=other), "node-00"), (job(sender="node-01"), "node-00"),
        (job(sender="node-01", key=other), "node-00"),
        (job(replace(SPEC, federation="another")), "node-00"),
        (replace(job(), body=encode(replace(SPEC, rounds=8))), "node-00"),
    ):  # fmt: skip
        with pytest.raises(ProtocolViolation):
            believing.opened_job(signed, MEMBER, ROSTER, me)


def entry(statement: Any, key: Any = KEY, signer: str = AGGREGATOR) -> tuple[bytes, LogProof]:
    log = MemoryLog(ORIGIN, ORIGIN, KEY)
    leaf = sign_statement(statement, signer, key)
    log.append(leaf)
    log.publish()
    return leaf, log.prove(0)


def test_an_entry_counts_in_a_checkpoint_that_extends_the_last_one() -> None:
    created = JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32)
    leaf, proof = entry(created)
    statement, seen = believing.logged(leaf, proof, MEMBER, "fed", JobCreated, Notebook())
    assert (statement, seen.origin, seen.size) == (created, ORIGIN, 1)
    other = FEDERATION.members["node-01"]
    for bad in (entry(created, other), entry(created, other, "node-01"), (leaf, replace(proof, inclusion=(leaf,)))):
        with pytest.raises((VerificationFailed, ProtocolViolation)):
            believing.logged(*bad, MEMBER, "fed", JobCreated, Notebook())
    for federation, kind in (("another", JobCreated), ("fed", Result)):
        with pytest.raises(VerificationFailed, match="another type or federation"):
            believing.logged(leaf, proof, MEMBER, federation, kind, Notebook())
    book = Notebook()
    book.records.append(replace(seen, size=2))
    with pytest.raises(VerificationFailed) as caught:
        believing.logged(leaf, proof, MEMBER, "fed", JobCreated, book)
    assert caught.value.code == "E-BEHIND"


NAMES = ("node-00", "node-01", "node-02")
GROUPS = (GroupSum("scalars", bytes(32)), GroupSum("update", bytes(24)))
PUBLISHED = Published(PLACE, sha256(b"manifest"), NAMES, GROUPS)
SALT = sha256(b"salt")


def stated(published: Published = PUBLISHED) -> ResultNotice:
    values: dict[str, Any] = {
        "federation": "fed", "job": "job", "round": 2, "attempt": 1, "group": 0, "time": START_OF_TIME,
        "manifest": PUBLISHED.manifest.hex(), "contributors": NAMES, "model": "00" * 32,
        "result": hmac_sha256(SALT, encode(published)).hex(),
    }  # fmt: skip
    leaf, proof = entry(Result(**values))
    return ResultNotice(PLACE, sha256(encode(published)), len(encode(published)), SALT, leaf, proof)


def opened(*names: str, number: int = 2) -> Opened:
    return Opened(replace(PLACE, round=number), names)


def test_a_result_is_what_is_logged_over_the_set_that_this_node_opened_for() -> None:
    data = encode(PUBLISHED)
    believing.require_result(SPEC, stated(), data, PUBLISHED, [])
    believing.require_result(SPEC, stated(), data, PUBLISHED, [opened(*NAMES), opened("node-03", number=1)])
    with pytest.raises(VerificationFailed, match="another set of contributors"):
        believing.require_result(SPEC, stated(), data, PUBLISHED, [opened(*NAMES, "node-03")])
    with pytest.raises(VerificationFailed, match="whose digest is logged"):
        believing.require_result(SPEC, replace(stated(), salt=bytes(32)), data, PUBLISHED, [])
    with pytest.raises(VerificationFailed, match="whose digest is logged"):
        believing.require_result(SPEC, stated(), encode(replace(PUBLISHED, groups=())), PUBLISHED, [])
    for lie in (
        replace(PUBLISHED, round=replace(PLACE, round=3)), replace(PUBLISHED, contributors=NAMES[:2]),
        replace(PUBLISHED, manifest=bytes(32)),
    ):  # fmt: skip
        with pytest.raises(VerificationFailed, match="another round than its log entry"):
            believing.require_result(SPEC, stated(lie), encode(lie), lie, [])


@pytest.mark.parametrize("groups", [(), GROUPS[::-1], (*GROUPS, GROUPS[1]), (GROUPS[0], GroupSum("update", bytes(32)))])
def test_a_result_in_another_form_is_none_although_it_is_logged(groups: tuple[GroupSum, ...]) -> None:
    lie = replace(PUBLISHED, groups=groups)
    with pytest.raises(ProtocolViolation, match="published result"):
        believing.require_result(SPEC, stated(lie), encode(lie), lie, [])


def test_a_statement_is_about_one_round() -> None:
    statement, *_ = parse_statement(stated().leaf)
    assert isinstance(statement, Result)
    believing.require_round(statement, PLACE)
    for field in ("round", "attempt", "group"):
        with pytest.raises(VerificationFailed):
            believing.require_round(statement, replace(PLACE, **{field: 7}))
    for field in ("federation", "job"):
        with pytest.raises(VerificationFailed):
            believing.require_round(statement, replace(PLACE, **{field: "another"}))
