"""The benchmark tells the truth about exactness and counts what a node sends."""

import json

import pytest
from click.testing import CliRunner

from secagg.bench.command import bench
from secagg.bench.masks import Case, measure
from secagg.errors import BadInput
from support.federation import counted_rng

FIELDS = {
    "engine", "nodes", "params", "bits", "dropouts", "client_seconds", "server_seconds", "upload_bytes_per_param",
    "peak_rss_bytes", "exact", "aes_gbps",
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "bits", "dropout"), [(4, 16, 0.0), (10, 20, 0.2), (5, 24, 0.2)])
def test_the_sum_is_exact_in_every_layout_with_and_without_drop_outs(nodes: int, bits: int, dropout: float) -> None:
    figures = measure(Case(nodes, 1000, bits, dropout), counted_rng(b"bench"))
    assert figures.exact
    assert figures.dropouts == round(dropout * nodes)
    assert figures.client_seconds > 0
    assert figures.server_seconds > 0


def test_the_handicap_does_the_work_twice_and_stays_exact() -> None:
    assert measure(Case(4, 1000, 16, 0.0, handicap=True), counted_rng(b"bench")).exact


def test_a_case_below_the_quorum_is_refused() -> None:
    with pytest.raises(BadInput, match="are needed"):
        measure(Case(4, 10, 16, 0.5), counted_rng(b"bench"))


def test_the_command_prints_one_json_object_per_run() -> None:
    done = CliRunner().invoke(bench, ["--nodes", "4", "--params", "100", "--repeat", "2", "--format", "jsonl"])
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert len(rows) == 2
    assert all(set(row) >= FIELDS and row["exact"] is True for row in rows)
