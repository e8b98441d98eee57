"""Check 6: whoever the log names is proven to have cheated, and is in no set of a later round of the job."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.bundle import Bundle
from secagg.auditor.evidence import Evidence, Violation, proposal
from secagg.auditor.naming import Named
from secagg.auditor.verify import verify
from secagg.log.bundle import BundleWriter
from secagg.log.statements import AnyStatement, Contributors, Fault
from secagg.protocol.masks.faults import Proof
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from support import cheats
from support.bundles import rewrite, write_bundle

LIAR, DEALER = "node-03", "node-00"


@pytest.fixture(autouse=True)
def _cheated(monkeypatch: pytest.MonkeyPatch) -> None:
    cheats.answers_wrongly(monkeypatch, LIAR, DEALER, last=1)


def broken(path: Path) -> list[tuple[int, str]]:
    return [(line.number, line.detail) for line in verify(path).checks if line.status != "pass"]


def told(path: Path, **changes: object) -> list[tuple[int, str]]:
    """Return what the audit says when the fault is stated otherwise."""
    federation = write_bundle(path, rounds=1)
    stated: list[Fault] = []

    def tell(statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Fault):
            return statement
        stated.append(statement)
        return replace(statement, **changes)

    rewrite(path, federation, tell)
    assert len(stated) == 1
    return broken(path)


def test_a_proven_fault_passes(tmp_path: Path) -> None:
    assert told(tmp_path) == []


def test_a_member_that_was_named_is_in_no_later_set(tmp_path: Path) -> None:
    """The aggregator of this bundle goes on with it: U3 of the second round holds a member named in the first."""
    write_bundle(tmp_path, rounds=2)
    ((number, detail), *others) = broken(tmp_path)
    assert not others
    assert number == 6
    assert detail.endswith(f"the fault of {LIAR} was proven before.")


def test_a_member_that_was_named_is_in_no_later_u1(tmp_path: Path) -> None:
    """Left out of U3 and shown to everybody in U1: its keys are in their masks all the same."""
    write_bundle(tmp_path, rounds=2)
    evidence, named = Evidence(Bundle(tmp_path)), Named()
    for entry, fault in evidence.of(Fault):
        named.fault(evidence, entry, fault, proposal(evidence, entry, fault.manifest))
    first, second = evidence.of(Contributors)
    named.frozen(evidence, *first, proposal(evidence, first[0], first[1].manifest))
    hidden = replace(second[1], members=tuple(one for one in second[1].members if one.member != LIAR))
    with pytest.raises(Violation, match=f"the fault of {LIAR} was proven before"):
        named.frozen(evidence, second[0], hidden, proposal(evidence, second[0], hidden.manifest))


@pytest.mark.parametrize(
    "changes", [{"member": DEALER}, {"kind": "dealing"}], ids=["another member", "another kind"]
)  # fmt: skip
def test_a_fault_is_the_one_that_its_evidence_proves(tmp_path: Path, changes: dict[str, object]) -> None:
    ((number, detail),) = told(tmp_path, **changes)
    assert number == 6
    assert "its proof is of another fault" in detail


def test_a_fault_without_evidence_is_refused(tmp_path: Path) -> None:
    found = told(tmp_path, evidence="00" * 32)
    assert [number for number, _ in found] == [6]


def test_evidence_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    """An honest member is named with a proof whose answer is the honest one of another member."""
    federation = write_bundle(tmp_path, rounds=1)

    def tell(statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Fault):
            return statement
        kept = decode(Proof, (tmp_path / "files" / statement.evidence).read_bytes(), LIMIT_BULK)
        bent = replace(kept, fault=replace(kept.fault, dealer="node-01", leaves=()))
        return replace(statement, evidence=BundleWriter(tmp_path).put_file(encode(bent)))

    rewrite(tmp_path, federation, tell)
    ((number, detail),) = broken(tmp_path)
    assert number == 6
    assert "proves nothing" in detail
