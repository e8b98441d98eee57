"""One printer for all nouns: a field is named alike in lines and in JSON, and an answer is read strictly."""

import json
from typing import get_args

import click
import pytest
from click.testing import CliRunner
from msgspec import UNSET, UnsetType

from aggregator import requests as of_aggregator
from aggregator.answers import ModelResult, SumResult
from keyserver.answers import MemberShown
from secagg.daemon.answers import Answer, read, written
from secagg.daemon.options import options
from secagg.daemon.printing import show, show_all
from secagg.daemon.requests import Link, Request
from secagg.daemon.waits import Waiting
from secagg.errors import BadInput


class Part(Answer, frozen=True):
    number: int
    who: tuple[str, ...] = ()


class Whole(Answer, frozen=True):
    name: str
    here: bool
    since: int
    waiting: Waiting | None
    members: tuple[str, ...]
    parts: tuple[Part, ...]
    counts: dict[str, int]
    reason: str | UnsetType = UNSET


WHOLE = Whole("north", True, 5, Waiting("south", "keys", 5), ("a", "b"), (Part(1), Part(2, ("c",))), {"x": 1})
AS_JSON = {
    "name": "north", "here": True, "since": 5, "waiting": {"for": "south", "what": "keys", "since": 5, "until": None},
    "members": ["a", "b"], "parts": [{"number": 1, "who": []}, {"number": 2, "who": ["c"]}], "counts": {"x": 1},
}  # fmt: skip
ROWS = (Part(1, ("north", "south")), Part(22))


def printed(format: str, *answers: Answer, rows: bool = False, lines: list[str] | None = None) -> str:
    @click.command()
    @options
    def command() -> None:
        if rows:
            show_all(answers, ("number", "who"))
        else:
            show(*answers, lines=lines)

    done = CliRunner().invoke(command, ["--format", format])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_people_read_a_line_for_each_field_and_for_each_part() -> None:
    assert printed("table", WHOLE, Part(7)).splitlines() == [
        "name     north",
        "here     yes",
        "since    1970-01-01 00:00:05Z",
        "waiting  south: keys, since 1970-01-01 00:00:05Z",
        "members  a b",
        'parts    {"number": 1, "who": []}',
        'parts    {"number": 2, "who": ["c"]}',
        'counts   {"x": 1}',
        "number   7",
        "who      -",
    ]


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_programs_read_one_object(format: str) -> None:
    (line,) = printed(format, WHOLE, Part(7), lines=["for people"]).splitlines()
    assert json.loads(line) == AS_JSON | {"number": 7, "who": []}


def test_words_of_a_nouns_own_stand_in_the_place_of_the_fields() -> None:
    assert printed("table", WHOLE, lines=["for people"]) == "for people\n"


def test_rows_are_a_table_an_array_or_an_object_on_each_line() -> None:
    assert printed("table", *ROWS, rows=True).splitlines() == ["number  who", "1       north south", "22      -"]
    assert printed("table", rows=True).splitlines() == ["number  who"]
    found = [{"number": 1, "who": ["north", "south"]}, {"number": 22, "who": []}]
    assert json.loads(printed("json", *ROWS, rows=True)) == found
    assert [json.loads(line) for line in printed("jsonl", *ROWS, rows=True).splitlines()] == found


def test_what_is_answered_is_read_strictly() -> None:
    assert read(AS_JSON, Whole) == WHOLE
    assert written(WHOLE) == AS_JSON
    assert written((Part(1),)) == [{"number": 1, "who": []}]
    for wrong in (AS_JSON | {"update": [1.5]}, {}, AS_JSON | {"here": "yes"}, [AS_JSON], "north"):
        with pytest.raises(BadInput, match=r"does not understand.*own version"):
            read(wrong, Whole)


@pytest.mark.parametrize("request_", [*get_args(of_aggregator.Asked), Link])
def test_a_request_names_the_type_of_its_answer(request_: type[Request[object]]) -> None:
    answer = request_.answered_by()
    kinds = [kind for kind in (answer, *get_args(answer)) if isinstance(kind, type)]
    assert any(issubclass(kind, Answer) for kind in kinds)


def test_the_results_of_jobs_are_told_apart_by_their_purpose() -> None:
    kind = of_aggregator.JobResult.answered_by()
    for result in (ModelResult("p", "ab"), SumResult(("north",), (0.5,))):
        assert read(written(result), kind) == result
    assert written(SumResult((), ()))["purpose"] == "sum"


def test_a_field_that_is_absent_is_not_shown() -> None:
    shown = MemberShown("a", "a", "node", "ab", "ab", ("x",), "waiting", 5)
    assert "reason" not in written(shown)
    assert "reason" not in printed("table", shown)
