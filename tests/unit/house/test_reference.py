"""The reference pages are what the code says, and every key and field in them has its meaning."""

from typing import get_args

import msgspec
import pytest

from secagg.protocol.refusals import SENTENCES
from support import reference


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_page_is_printed_from_the_code(page: str) -> None:
    printed = reference.PAGES[page]()
    assert reference.path_of(page).read_text() == printed, "make reference writes it anew"


def test_every_rule_event_statement_command_and_file_has_its_place() -> None:
    pages = {name: made() for name, made in reference.PAGES.items()}
    assert [pages["rules"].count(f"## {name}\n") for name in SENTENCES] == [1] * len(SENTENCES)
    for wanted in ("### round_closed\n", "### wait_for_peer\n"):
        assert pages["events"].count(wanted) == 1
    assert pages["statements"].count("\n## ") == len(reference.STATEMENTS)
    assert {line for line in pages["cli"].splitlines() if line.startswith("## ")} >= {"## secagg node ledger show"}
    assert pages["cli"].count("## secagg demo") >= 1


@pytest.mark.parametrize("file", reference.FILES)
def test_every_key_of_a_file_says_what_it_means(file: str) -> None:
    lacking = []
    for section in msgspec.inspect.type_info(reference.FILES[file]).fields:  # type: ignore[attr-defined]
        whole = reference.bare(section.type)
        found = reference.bare(getattr(whole, "value_type", getattr(whole, "item_type", whole)))
        if isinstance(found, msgspec.inspect.StructType):
            lacking += [f"{section.name}.{key.name}" for key, text in reference.fields(found.cls) if not text]
    assert lacking == []


@pytest.mark.parametrize("role", reference.ROLES)
def test_every_field_of_an_answer_says_what_it_means(role: str) -> None:
    lacking = []
    for request in get_args(reference.ROLES[role]) or (reference.ROLES[role],):
        found = reference.structs_of(msgspec.inspect.type_info(request.answered_by()))
        lacking += [f"{one.__name__}.{key.name}" for one in found for key, text in reference.fields(one) if not text]
    assert lacking == []
