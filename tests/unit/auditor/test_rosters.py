"""Statements and files are judged under the roster of their time: what changes later harms no honest bundle."""

from collections.abc import Callable
from dataclasses import replace as swap
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.verify import verify
from secagg.crypto.sign import SigningKey
from secagg.log.bundle import BundleWriter
from secagg.log.log import Log, MemoryLog
from secagg.log.statements import (
    AnyStatement,
    DropOut,
    JobCreated,
    ManifestLogged,
    Refusal,
    TokenIssued,
    sign_statement,
)
from secagg.rehearsal.federation import START_OF_TIME, Federation
from secagg.roster.members import Member
from support.bundles import AGGREGATOR, append, next_roster, put_roster, rewrite, write_bundle
from support.federation import counted_rng

NEW = SigningKey.from_private_bytes(counted_rng(b"new")(32))
WHERE = {"federation": "fed", "time": START_OF_TIME, "job": "job", "round": 1, "attempt": 1, "group": 0}
REFUSAL = Refusal(**WHERE, member="node-01", rule="policy.min_nodes")  # type: ignore[arg-type]
DROPPED = DropOut(**WHERE, member="node-02", step="Unmask", reason="")  # type: ignore[arg-type]
JOB = JobCreated(federation="fed", time=START_OF_TIME, job="later", spec="00" * 32)

Change = Callable[[Member], Member | None]


def without(name: str) -> Change:
    return lambda member: None if member.name == name else member


def rekeyed(name: str) -> Change:
    return lambda member: replace(member, sign_key=NEW.public) if member.name == name else member


def outcome(path: Path) -> list[tuple[int, str]]:
    return [(line.number, line.detail.rpartition("): ")[2]) for line in verify(path).checks if line.status != "pass"]


@pytest.fixture(name="federation")
def honest(tmp_path: Path) -> Federation:
    """A bundle of two rounds with a refusal that node-01 signed, all under the first roster."""
    federation = write_bundle(tmp_path)
    append(tmp_path, "rounds", REFUSAL, "node-01", federation.members["node-01"], federation.aggregator)
    assert outcome(tmp_path) == []
    return federation


@pytest.mark.parametrize("name", ["node-01", "node-02", AGGREGATOR])
@pytest.mark.parametrize("change", [without, rekeyed])
def test_who_is_revoked_or_has_another_key_later_did_nothing_wrong(
    name: str, change: Callable[[str], Change], tmp_path: Path, federation: Federation
) -> None:
    put_roster(tmp_path, federation, change(name))
    assert outcome(tmp_path) == []


def test_a_job_goes_on_under_the_next_roster(tmp_path: Path) -> None:
    def rekey(number: int, federation: Federation, log: Log) -> Federation:
        if number == 1:
            return federation
        signed, statement = next_roster(federation, rekeyed("node-01"))
        BundleWriter(tmp_path).put_file(signed)
        federation.directory.append(sign_statement(statement, "keyserver", federation.online))
        federation.directory.publish()
        return swap(federation, roster=signed, version=2, members={**federation.members, "node-01": NEW})

    write_bundle(tmp_path, before=rekey)
    assert outcome(tmp_path) == []
    assert verify(tmp_path).checks[3].detail == "2 versions, 2 manifests"


def test_a_key_of_later_signs_nothing_about_an_earlier_round(tmp_path: Path, federation: Federation) -> None:
    put_roster(tmp_path, federation, rekeyed("node-01"))
    append(tmp_path, "rounds", REFUSAL, "node-01", NEW, federation.aggregator)
    assert outcome(tmp_path) == [(4, "the signature of node-01 does not verify.")]


def test_an_aggregator_of_later_states_nothing_about_an_earlier_round(tmp_path: Path, federation: Federation) -> None:
    put_roster(tmp_path, federation, rekeyed(AGGREGATOR))
    append(tmp_path, "rounds", DROPPED, AGGREGATOR, NEW, federation.aggregator)
    assert outcome(tmp_path) == [(4, "the signature of aggregator does not verify.")]


@pytest.mark.parametrize("before", [True, False])
def test_a_job_is_stated_by_the_aggregator_of_before_or_after_the_change(
    before: bool, tmp_path: Path, federation: Federation
) -> None:
    put_roster(tmp_path, federation, rekeyed(AGGREGATOR))
    append(tmp_path, "rounds", JOB, AGGREGATOR, federation.aggregator if before else NEW, federation.aggregator)
    assert outcome(tmp_path) == []


def test_a_job_between_two_manifests_of_one_roster_is_judged_under_it(tmp_path: Path) -> None:
    def state(number: int, federation: Federation, log: Log) -> Federation:
        if number == 2:
            log.append(sign_statement(JOB, AGGREGATOR, NEW))
        return federation

    put_roster(tmp_path, write_bundle(tmp_path, before=state), rekeyed(AGGREGATOR))
    assert outcome(tmp_path) == [(4, "the signature of aggregator does not verify.")]


def test_a_manifest_that_names_a_roster_which_its_own_directory_replaced_fails_in_check_5_alone(tmp_path: Path) -> None:
    def revoke(number: int, federation: Federation, log: Log) -> Federation:
        signed, statement = next_roster(federation, without("node-03"))
        BundleWriter(tmp_path).put_file(signed)
        federation.directory.append(sign_statement(statement, "keyserver", federation.online))
        federation.directory.publish()
        return federation

    write_bundle(tmp_path, rounds=1, before=revoke)
    assert outcome(tmp_path) == [(5, "its directory holds a newer roster than the one it names.")]


def test_a_manifest_that_goes_back_to_an_older_directory_fails_in_check_5_alone(tmp_path: Path) -> None:
    def go_back(number: int, federation: Federation, log: Log) -> Federation:
        if number == 2:
            return swap(federation, directory=older)
        for index in range(federation.directory.size):
            older.append(federation.directory.leaf(index))
        older.publish()
        issued = TokenIssued(federation="fed", time=START_OF_TIME, token_hash="00", institution="late", expires=1)
        federation.directory.append(sign_statement(issued, "keyserver", federation.online))
        federation.directory.publish()
        return federation

    origin = "fed/directory"
    older = MemoryLog(origin, origin, write_bundle(tmp_path / "same-keys", rounds=0).online)
    write_bundle(tmp_path / "b", before=go_back)
    assert outcome(tmp_path / "b") == [(5, "it relies on an older directory than a manifest before it.")]


def test_a_manifest_is_logged_with_the_roster_that_it_names(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)

    def lie(statement: AnyStatement) -> AnyStatement:
        return replace(statement, roster_version=7) if isinstance(statement, ManifestLogged) else statement

    rewrite(tmp_path, federation, lie)
    assert (5, "it is logged with roster 7 and names roster 1.") in outcome(tmp_path)
