"""Check 6: the round a statement names is its manifest's, and K_min is at least the formula's."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.checks.c02_signatures import quorum
from secagg.auditor.checks.c06_order import Rounds
from secagg.auditor.verify import verify
from secagg.log.durable import read_entries
from secagg.log.statements import ManifestLogged, OfRound, Opening, parse_statement
from secagg.protocol.rehearsal import found, propose
from support.bundles import AGGREGATOR, append, write_bundle
from support.federation import counted_rng, job, names_of


def first(path: Path, kind: type[OfRound]) -> OfRound:
    leaves, _ = read_entries(path / "rounds")
    return next(s for s, *_ in map(parse_statement, leaves) if isinstance(s, kind))


@pytest.mark.parametrize("field", ["round", "attempt", "group"])
def test_a_second_opening_cannot_hide_behind_another_number(field: str, tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    hidden = replace(first(tmp_path, Opening), **{field: 99})
    append(tmp_path, "rounds", hidden, AGGREGATOR, federation.aggregator, federation.aggregator)
    broken = [line for line in verify(tmp_path).checks if line.status == "fail"]
    assert [line.number for line in broken] == [6]
    assert "its manifest is about round job.1.1.0" in broken[0].detail


def test_a_manifest_is_logged_under_its_own_round(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    moved = replace(first(tmp_path, ManifestLogged), job="another")
    append(tmp_path, "rounds", moved, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert 6 in [line.number for line in verify(tmp_path).checks if line.status == "fail"]


def test_a_manifest_cannot_lower_what_it_needs() -> None:
    names = names_of(5)
    honest = propose(found(names, job(names), counted_rng(b"lower"), colluders=1))
    lying = replace(honest, threshold=1, k_min=1, colluders=0)
    assert (honest.threshold, honest.k_min, honest.needed) == (4, 4, 4)
    assert Rounds({1: 1}).least(lying) == 4
    assert Rounds({}).least(lying) == 3
    assert quorum(lying) == 3
    assert quorum(replace(lying, threshold=5)) == 5
