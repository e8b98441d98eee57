"""The policy section: strict defaults, every key, and a named error for what it does not know."""

import pytest
from msgspec import Struct

from node.policy import PolicySection
from secagg.daemon.config import parse
from secagg.errors import BadConfiguration
from secagg.protocol.acceptance import Policy

KEY = "ab" * 32


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
    engines = ["masks", "plain"]
    allow_plain = true
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
        4, 1, ("masks", "plain"), True, True, 200, pins, "semi-malicious",
        changing_sets=True, unlisted_jobs=3, min_change=0.01, static_inputs="task",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("min_node = 4", "the key policy.min_node is unknown"),
        ("max_epsilon = 8.0", "the key policy.max_epsilon is unknown"),
        ("min_nodes = 2", "policy.min_nodes"),
        ("max_colluders = -1", "policy.max_colluders"),
        ('engines = ["mask"]', "policy.engines"),
        ("engines = []", "policy.engines"),
        ('engines = ["plain"]', "allow_plain is false"),
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
