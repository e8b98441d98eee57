"""The policy section: strict defaults, every key, and a named error for what it does not know."""

import re
from pathlib import Path

import pytest
from msgspec import Struct

from node.policy import PolicySection
from secagg.daemon.config import parse
from secagg.errors import BadConfiguration
from secagg.protocol.acceptance import Policy
from secagg.protocol.affordable import Most

KEY = "ab" * 32
ROOT = Path(__file__).resolve().parents[3]


class File(Struct, frozen=True, forbid_unknown_fields=True):
    policy: PolicySection = PolicySection()


def read(text: str) -> Policy:
    return parse(text, File, "node.toml").policy.policy()


def test_nothing_written_is_the_strict_default() -> None:
    assert read("") == read("[policy]") == Policy()


def test_every_key_arrives() -> None:
    text = f"""[policy]
    min_nodes = 4
    max_colluders = 1
    engines = ["masks", "paillier"]
    exact_counts = true
    max_rounds_per_source = 200
    server = "semi-malicious"
    pinned_peers = ["hungary={KEY}"]
    changing_sets = true
    unlisted_jobs = 3
    min_change = 0.01
    static_inputs = "task"
    """
    pins = (("hungary", KEY),)
    assert read(text) == Policy(
        4, 1, ("masks", "paillier"), True, 200, pins, "semi-malicious",
        changing_sets=True, unlisted_jobs=3, min_change=0.01, static_inputs="task",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("min_node = 4", "the key policy.min_node is unknown"),
        ("max_epsilon = 8.0", "the key policy.max_epsilon is unknown"),
        ("min_nodes = 2", "policy.min_nodes"),
        ("max_colluders = -1", "policy.max_colluders"),
        ('engines = ["mask"]', "policy.engines lists mask"),
        ("engines = []", "policy.engines"),
        ("allow_plain = true", "the key policy.allow_plain is unknown"),
        ("max_rounds_per_source = 0", "policy.max_rounds_per_source"),
        ("exact_counts = 1", "policy.exact_counts"),
        ('pinned_peers = ["hungary"]', "is not name=key"),
        (f'pinned_peers = ["hungary={KEY}\\n"]', "is not name=key"),
        (f'pinned_peers = ["hungary={KEY}", "hungary={KEY}"]', "pinned twice"),
    ],
)
def test_what_is_wrong_is_named(line: str, cause: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        read(f"[policy]\n{line}\n")
    assert cause in caught.value.cause


WRITTEN = {
    "min_nodes": "4", "max_colluders": "1", "engines": '["paillier"]', "exact_counts": "true",
    "max_rounds_per_source": "7", "server": '"semi-malicious"', "pinned_peers": f'["hungary={KEY}"]',
    "changing_sets": "true", "unlisted_jobs": "3", "min_change": "0.01", "static_inputs": '"task"',
    "allow_trials": "true", "min_key_bits": "3072", "max_parameters": "7", "max_rounds": "8", "max_members": "9",
    "max_metrics": "0", "max_failures": "5", "max_step_time": '"1m"', "max_round_time": '"2m"',
}  # fmt: skip
"""Another value of every key that rounds or jobs are held against."""

ELSEWHERE = {"spot_leaves": "node/process.py"}
"""Keys that no round is held against, and who reads them."""


def test_no_key_is_accepted_and_ignored() -> None:
    assert {*WRITTEN, *ELSEWHERE} == set(PolicySection.__struct_fields__)
    read_alone = {key: read(f"[policy]\n{key} = {value}\n") for key, value in WRITTEN.items()}
    assert len({repr(found) for found in read_alone.values()} | {repr(Policy())}) == len(WRITTEN) + 1
    sources = [path.read_text() for room in ("node", "secagg") for path in (ROOT / room).rglob("*.py")]
    for field in (*Policy.__dataclass_fields__, *Most.__struct_fields__):
        users = [text for text in sources if re.search(rf"\b(policy|most|self)\.{field}\b", text)]
        assert users, f"nobody reads {field}"
    for key, path in ELSEWHERE.items():
        assert f"policy.{key}" in (ROOT / path).read_text()


def test_every_key_is_explained_to_operators_with_its_default() -> None:
    guide = (ROOT / "docs" / "operators-guide.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith("| `")]
    explained = {key for row in rows for key in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert set(PolicySection.__struct_fields__) - explained == set()
