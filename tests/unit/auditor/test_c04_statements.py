"""Check 4: a statement about another federation, in the wrong log, or by the wrong role fails in this check alone."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.verify import verify
from secagg.log.durable import read_entries
from secagg.log.statements import (
    DropOut,
    JobCreated,
    LieReported,
    Opening,
    OverlapAllowed,
    Refusal,
    RosterRoot,
    SetAside,
    SourceChanged,
    Statement,
    UncheckedAccepted,
    parse_statement,
)
from secagg.rehearsal.federation import START_OF_TIME, Federation
from support.bundles import AGGREGATOR, append, write_bundle

JOB = JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32)
WHERE = {"federation": "fed", "time": START_OF_TIME, "job": "job", "round": 1, "attempt": 1, "group": 0}
DROPPED = DropOut(**WHERE, member="node-02", step="Unmask", reason="")  # type: ignore[arg-type]
REFUSAL = Refusal(**WHERE, member="node-01", rule="policy.min_nodes")  # type: ignore[arg-type]


@pytest.fixture(name="path")
def bundle(tmp_path: Path) -> Path:
    return tmp_path / "bundle"


@pytest.fixture(name="federation")
def honest(path: Path) -> Federation:
    path.mkdir()
    return write_bundle(path, rounds=1)


def outcome(path: Path) -> list[tuple[int, str]]:
    return [(line.number, line.detail.rpartition("): ")[2]) for line in verify(path).checks if line.status != "pass"]


def test_a_statement_about_another_federation(path: Path, federation: Federation) -> None:
    append(path, "rounds", replace(JOB, federation="other"), AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(path) == [(4, "it is about federation other, not fed.")]


def test_a_job_in_the_directory(path: Path, federation: Federation) -> None:
    append(path, "directory", JOB, "keyserver", federation.online, federation.online)
    assert outcome(path) == [(4, "this statement does not belong in this log.")]


def test_the_aggregator_restates_the_root(path: Path, federation: Federation) -> None:
    when = {"federation": "fed", "time": START_OF_TIME}
    root = RosterRoot(**when, root_key=federation.root_key.hex(), online_key="11" * 32)  # type: ignore[arg-type]
    append(path, "rounds", root, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(path) == [(4, "this statement does not belong in this log.")]


def test_a_node_states_what_the_aggregator_decides(path: Path, federation: Federation) -> None:
    append(path, "rounds", DROPPED, "node-01", federation.members["node-01"], federation.aggregator)
    assert outcome(path) == [(4, "only the aggregator makes this statement.")]


def test_a_node_may_state_its_own_refusal(path: Path, federation: Federation) -> None:
    append(path, "rounds", REFUSAL, "node-01", federation.members["node-01"], federation.aggregator)
    assert outcome(path) == []


WHEN = {"federation": "fed", "time": START_OF_TIME, "member": "node-01"}
OWN = {
    "OverlapAllowed": OverlapAllowed(**WHEN, job="job"),  # type: ignore[arg-type]
    "SourceChanged": SourceChanged(**WHEN, task="task", change="edition"),  # type: ignore[arg-type]
    "UncheckedAccepted": UncheckedAccepted(**WHERE, member="node-01"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", OWN)
def test_what_a_person_says_comes_from_that_member_alone(path: Path, federation: Federation, kind: str) -> None:
    """An aggregator that says for a member that it allows more could open anything."""
    said = OWN[kind]
    append(path, "rounds", said, "node-01", federation.members["node-01"], federation.aggregator)
    assert outcome(path) == []
    refused = "only the member that it speaks of makes this statement."
    append(path, "rounds", said, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(path) == [(4, refused)]


def test_a_member_says_nothing_for_another(path: Path, federation: Federation) -> None:
    said = OWN["OverlapAllowed"]
    append(path, "rounds", said, "node-00", federation.members["node-00"], federation.aggregator)
    assert outcome(path) == [(4, "only the member that it speaks of makes this statement.")]


def test_the_aggregator_allows_itself_nothing_in_its_own_name(path: Path, federation: Federation) -> None:
    said = replace(OWN["OverlapAllowed"], member=AGGREGATOR)
    append(path, "rounds", said, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(path) == [(4, "only the member that it speaks of makes this statement.")]


def test_a_lie_is_reported_in_the_directory_alone(path: Path, federation: Federation) -> None:
    said: Statement = LieReported(**WHEN, aggregator_key="00" * 32, evidence="00" * 32)  # type: ignore[arg-type]
    append(path, "rounds", said, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(path) == [(4, "this statement does not belong in this log.")]


def test_both_logs_say_what_was_set_aside(path: Path, federation: Federation) -> None:
    said = SetAside(federation="fed", time=START_OF_TIME, digest="00" * 32, size=9)
    append(path, "directory", said, "keyserver", federation.online, federation.online)
    append(path, "rounds", said, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(path) == []
    append(path, "rounds", said, "node-01", federation.members["node-01"], federation.aggregator)
    assert outcome(path) == [(4, "only the aggregator makes this statement.")]


def test_the_key_server_writes_no_rounds(path: Path, federation: Federation) -> None:
    leaves, _ = read_entries(path / "rounds")
    opening = next(s for s, *_ in map(parse_statement, leaves) if isinstance(s, Opening))
    append(path, "directory", opening, "keyserver", federation.online, federation.online)
    assert (4, "this statement does not belong in this log.") in outcome(path)
