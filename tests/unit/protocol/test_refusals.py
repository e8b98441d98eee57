"""The table of rules: every rule that an error can have is in it, and nothing else."""

import re

import pytest

from secagg.errors import BadInput, Refused
from secagg.protocol.refusals import OTHER, SENTENCES, TASK, named, of_task, sentence
from secagg.protocol.round.messages import Refuse
from support.rules import modules, written

TABLE = "refusals.py"
FREE = "manifest."
"""A manifest's rules name its fields, which the table takes from the struct."""


def test_every_rule_of_the_sources_is_in_the_table() -> None:
    lacking = {rule for rule in written() if rule not in SENTENCES and rule != f"{FREE}*"}
    assert not lacking, "add a sentence to secagg.protocol.refusals"


def test_no_rule_of_the_table_is_dead() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path, _ in modules() if path.name != TABLE)
    alive = written() | set(re.findall(r"\"([a-z0-9-]+\.[a-z0-9_-]+)\"", text)) | {OTHER}
    alive |= {f"task.{code}" for code in TASK if code == OTHER or f'"E-{code.upper()}"' in text}
    assert not {rule for rule in SENTENCES if rule not in alive and not rule.startswith(FREE)}


def test_sentences_are_read_behind_a_name() -> None:
    for rule, told in SENTENCES.items():
        assert told == told.strip().rstrip("."), rule
        assert told.isprintable(), rule
        assert re.fullmatch(r"[a-z0-9._-]{1,64}", rule), rule


def test_an_error_with_another_rule_travels_without_a_name() -> None:
    assert named(Refused("", rule="policy.min_nodes")) == "policy.min_nodes"
    assert named(Refused("", rule="policy.of_my_own")) == named(Refused("")) == named(BadInput("")) == OTHER
    assert of_task(BadInput("", code="E-NAN")) == "task.nan"
    assert of_task(BadInput("", code="E-patient Miller")) == of_task(BadInput("", code="E-LATER")) == "task.other"
    assert sentence("a.b") == "by a rule that this version does not know"
    with pytest.raises(ValueError, match="no rule"):
        Refuse("policy.of_my_own")
