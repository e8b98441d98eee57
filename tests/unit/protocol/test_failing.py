"""How many failures count against a job: those over its source, or its own since a person allowed it."""

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.ids import RoundId
from secagg.protocol.failing import Asked, Failed, failed, judge, spent
from secagg.protocol.inputs import Allowed

ROOT, OTHER, SOURCE = b"r" * 32, b"o" * 32, b"s" * 32


def failure(job: str, round: int = 1, words: int = 0, attempt: int = 1) -> Failed:
    return Failed(RoundId("fed", job, round, attempt), ROOT, "sum", SOURCE, words, 7)


def word(job: str, root: bytes = ROOT) -> Allowed:
    return Allowed("fed", root, job, False, 0, 7)


def asked(job: str) -> Asked:
    return Asked(("fed", ROOT, job), "sum", SOURCE)


def test_rounds_count_over_all_jobs_and_attempts_at_one_do_not() -> None:
    past = [failure("a"), failure("a", attempt=2), failure("a", 2), failure("b")]
    assert spent(past, asked("c"), ()) == spent(past, asked("a"), ()) == 3


def test_another_source_another_kind_and_another_federation_are_others() -> None:
    past = [replace(failure("a"), source=OTHER), replace(failure("b"), purpose="training")]
    assert spent(past, asked("c"), ()) == 0
    # Two federations may have one name: the same job of both is two jobs, over one source.
    both = [failure("a"), replace(failure("a"), root=OTHER)]
    assert spent(both, asked("c"), ()) == 2
    assert not failed([both[1]], ROOT, both[0].round, ())


def test_a_word_gives_exactly_its_job_a_count_of_its_own_from_then_on() -> None:
    past = [failure("a"), failure("a", 2), failure("b")]
    words = [word("a")]
    assert spent(past, asked("a"), words) == 0
    assert spent(past, asked("c"), words) == 3
    assert spent(past, asked("a"), [word("a", OTHER)]) == 3, "the word of another federation is none here"
    past.append(failure("a", 3, words=1))
    assert (spent(past, asked("a"), words), spent(past, asked("c"), words)) == (1, 4)
    assert spent(past, asked("a"), [*words, word("c"), word("a")]) == 0


def test_a_round_that_failed_stays_so_until_a_word() -> None:
    past = [failure("a", attempt=2)]
    again = RoundId("fed", "a", 1, 3)
    assert failed(past, ROOT, again, ())
    assert failed(past, ROOT, again, [word("b")])
    assert not failed(past, ROOT, again, [word("a")])
    assert not failed(past, ROOT, RoundId("fed", "a", 2), ())


def test_at_the_limit_a_job_is_refused_and_the_remedy_is_a_command() -> None:
    past = [failure("a"), failure("b")]
    judge(past, asked("c"), 3, ())
    with pytest.raises(Refused) as caught:
        judge([*past, failure("c")], asked("d"), 3, ())
    assert caught.value.rule == "ledger.failures"
    assert "secagg node allow d" in caught.value.remedy
