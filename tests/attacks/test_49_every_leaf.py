"""Row 49: nothing of a manifest is uncompared. Every leaf, changed and signed again by the rightful aggregator, is
refused by the name of its field. Or it stands in a table with the reason why nobody can derive it. A second group,
which would open a round twice, is refused by node, trustee and auditor.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.auditor import following
from secagg.auditor.bundle import Bundle
from secagg.auditor.checks import c05_roster
from secagg.auditor.evidence import Evidence
from secagg.auditor.verify import verify
from secagg.errors import ProtocolViolation, SecaggError, VerificationFailed
from secagg.ids import NO_DIGEST
from secagg.learning.algorithms import choose
from secagg.protocol import deriving
from secagg.protocol.deriving import field_of, leaves
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import node
from secagg.protocol.paillier import node as encrypting
from secagg.protocol.paillier import proposing, trustee
from secagg.rehearsal import entrusted
from secagg.rehearsal.federation import party, propose
from support.adversary import proposal_of
from support.bundles import propose_in, write_bundle
from support.entrusted import make as entrust
from support.federation import make
from support.walking import changes

SUM: dict[str, Any] = {"purpose": "sum", "bits": 64, "scalars": (), "weight_bound": 1, "clip_log2": 0}
Judge = Callable[[Manifest], object]


def walk(honest: Manifest, judge: Judge, free: Mapping[str, str]) -> Counter[str]:
    """Give every changed manifest to a judge; return how many leaves were refused by name and how many are free."""
    found: Counter[str] = Counter()
    seen = set()
    for path, lie in changes(honest):
        seen.add(path)
        if path in free or path.partition(".")[0] in free:
            found["free"] += 1
            continue
        with pytest.raises(SecaggError) as caught:
            judge(lie)
        rule = getattr(caught.value, "rule", "")
        named = {f"manifest.{field_of(path)}", f"trustee.{field_of(path)}", f"manifest.{path.partition('.')[0]}"}
        named |= {"trustee.engine"} if path in ("engine", "round.federation") else set()
        named |= {"trustee.roster"} if path == "roster_version" else set()
        named |= {"trustee.k_min"} if path == "colluders" else set()
        assert rule in named or (path.startswith("custody") and rule.startswith("custody.")), f"{path}: {rule}"
        found["refused"] += 1
    assert seen == {path for path, _ in leaves(honest)}, "every leaf was changed"
    assert all(free.values())
    return found


@pytest.mark.parametrize("kind", [{}, SUM], ids=["training", "sum"])
def test_a_node_refuses_every_changed_leaf_by_its_name(kind: dict[str, Any]) -> None:
    federation = make(4, **kind)

    def judge(lie: Manifest) -> object:
        return node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)

    found = walk(propose(federation), judge, deriving.FREE)
    assert set(deriving.FREE) == {"round.attempt", "directory", "opening_key"}
    assert found["refused"] >= 70


def test_a_node_refuses_another_state_of_the_algorithm_than_it_computed() -> None:
    """A momentum of the aggregator's own would move everybody's model by what no member gave."""
    federation = make(4, algorithm=choose("fedadam", {}))
    honest = propose(federation)
    assert honest.state == NO_DIGEST
    lie = replace(honest, state=bytes(range(32)))
    with pytest.raises(SecaggError) as caught:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert getattr(caught.value, "rule", "") == "manifest.state"
    ours = party(federation, "node-00").ctx
    assert node.start(proposal_of(federation, lie), with_fields(ours, expect=with_fields(ours.expect, state=lie.state)))


def test_a_node_that_encrypts_refuses_every_changed_leaf_by_its_name() -> None:
    federation = entrust(4)

    def judge(lie: Manifest) -> object:
        return encrypting.start(proposal_of(federation.nodes, lie), entrusted.member(federation, "node-00").ctx)

    assert walk(entrusted.propose(federation), judge, deriving.FREE)["refused"] > 80


def test_a_trustee_refuses_every_leaf_that_it_can_derive() -> None:
    federation = entrust(4, **SUM)
    name = next(iter(federation.trustees))

    def judge(lie: Manifest) -> object:
        return trustee.start(proposal_of(federation.nodes, lie), entrusted.holder(federation, name).ctx)

    honest = entrusted.propose(federation)
    assert judge(honest)
    # Seats and a sum's model are judged leaf by leaf; who of the roster is in the cohort only the job says.
    free = {path: why for path, why in proposing.FREE.items() if path not in ("members", "model", "state")}
    found = walk(honest, judge, free | {"members.length": proposing.FREE["members"]})
    assert found["refused"] > 30


@pytest.mark.parametrize("group", [1, 7])
def test_a_second_group_is_refused_by_nodes_of_both_engines_and_by_trustees(group: int) -> None:
    federation, other = make(4), entrust(4)
    lie = replace(propose(federation), round=replace(propose(federation).round, group=group))
    with pytest.raises(ProtocolViolation) as caught:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert getattr(caught.value, "rule", "") == "manifest.group"
    honest = entrusted.propose(other)
    lie = replace(honest, round=replace(honest.round, group=group))
    with pytest.raises(ProtocolViolation) as caught:
        encrypting.start(proposal_of(other.nodes, lie), entrusted.member(other, "node-00").ctx)
    assert getattr(caught.value, "rule", "") == "manifest.group"
    with pytest.raises(ProtocolViolation) as caught:
        trustee.start(proposal_of(other.nodes, lie), entrusted.holder(other, next(iter(other.trustees))).ctx)
    assert getattr(caught.value, "rule", "") == "manifest.group"


@pytest.mark.parametrize("kind", [{}, SUM], ids=["training", "sum"])
def test_an_auditor_refuses_every_changed_leaf_by_its_name(tmp_path: Path, kind: dict[str, Any]) -> None:
    federation, seen = write_bundle(tmp_path / "honest", rounds=0, **kind), set()
    propose_in(tmp_path / "honest", federation, propose(federation))
    assert [line.status for line in verify(tmp_path / "honest").checks if line.number == 5] == ["pass"]
    empty = tmp_path / "empty"
    federation, honest = write_bundle(empty, rounds=0, **kind), propose(federation)
    # A sum has no model, and this algorithm keeps no state, which everybody knows.
    free = {leaf for leaf in following.FREE if not (kind and leaf == "model") and leaf != "state"}
    for number, (leaf, lie) in enumerate(changes(honest)):
        seen.add(leaf)
        if leaf in free:
            continue
        path = tmp_path / str(number)
        shutil.copytree(empty, path)
        propose_in(path, federation, lie)
        with pytest.raises(VerificationFailed) as caught:
            c05_roster.check(Evidence(Bundle(path)))
        assert any(words in caught.value.cause for words in named(leaf)), f"{leaf}: {caught.value.cause}"
        shutil.rmtree(path)
    assert seen == {path for path, _ in leaves(honest)}
    assert free < seen


def named(leaf: str) -> tuple[str, ...]:
    """Return what a refusal of a leaf may say: its path, or the rule that found it first."""
    first = {
        "members": "its members do not follow from the roster", "roster": "its members do not follow from the roster",
        "roster_version": "its members do not follow from the roster", "engine": "There is no engine",
        "custody": "its custody.", "round.job": "was not created before it",
    }  # fmt: skip
    known = first.get(leaf) or first.get(leaf.partition(".")[0]) or leaf
    return f"its {leaf} does not follow from the signed job and the roster", known


def test_a_trustee_answers_under_no_key_that_is_none() -> None:
    """It would have decided and decrypted before it found that nobody can be answered."""
    federation = entrust(4)
    name = next(iter(federation.trustees))
    lie = replace(entrusted.propose(federation), opening_key=b"\xff" * 1216)
    with pytest.raises(ProtocolViolation) as caught:
        trustee.start(proposal_of(federation.nodes, lie), entrusted.holder(federation, name).ctx)
    assert caught.value.rule == "manifest.opening_key"
