"""Each planted bug is found, and quickly where crashes are many; without it the same history holds.

Which seed finds a bug moves with every change of the product, so the search goes on from the first. Where a bug shows
only after crashes at one place of the crash table, that is where they are. What ordinary seeds find, and how soon, says
`make soak SEEDS=0-1000 BUG=all`.
"""

import pytest

from support.simulation import simulate
from support.simulation_bugs import BUGS, planted
from support.simulation_ends import UNANSWERED

LATE = "aggregator: after the result, before publishing"
EARLY = "aggregator: before the freeze"
FOUND = {
    "no-dedup": ("", "once"),
    "ack-before-commit": ("", "durable"),
    "effects-before-commit": (LATE, ""),
    "effects-before-group": ("", ""),
    "ack-before-sync": ("", ""),
    "blob-not-synced": (LATE, ""),
    "encrypt-again": ("", "one-voice"),
    "freeze-skipped": ("", "job"),
    "freeze-thawed": (LATE, ""),
    "attempt-not-checked": (EARLY, "one-voice"),
    "ledger-not-written": (EARLY, ""),
    "outbox-not-resent": ("", ""),
    "outbox-forgotten": (EARLY, "left"),
    "upload-added-twice": ("", ""),
    "sum-not-rebuilt": (LATE, "abort"),
    "log-written-twice": ("", ""),
    "keys-not-erased": ("", "left"),
    "sets-forgotten": ("", ""),
    "answer-not-kept": ("", "one-voice"),
    "trustees-not-told": ("", "told"),
    "uploads-not-removed": ("", "left"),
    "identity-by-field": ("", "bound"),
    "counted-when-agreed": ("", "bound"),
    "sets-by-names": ("", "isolated"),
    "lifted-after-answer": ("", "bound"),
    "another-group": ("", ""),
    "edition-ignored": ("", "edition"),
    "seats-fall": ("", "minimum"),
    "group-twice": ("", "lie"),
}
"""Where crashes are for each bug (nowhere in particular when empty), and which oracle has to speak (any when empty)."""


HARM = {
    "sets-forgotten": ("abort after all answers", "drop a member at the freeze"),
    "identity-by-field": ("abort after all answers",),
    "counted-when-agreed": ("hide the freeze from a member", UNANSWERED),
    "sets-by-names": ("abort after all answers",),
    "lifted-after-answer": ("abort after an answer", "abort after all answers"),
    "another-group": ("the round again in another group",),
    "seats-fall": ("leave who is revoked out", "drop a member at the freeze"),
    "group-twice": ("a lie in a lane group twice",),
}
"""Which tricks of an aggregator that means harm show a bug soon."""

HONEST = 2
"""A seed whose aggregator means no harm."""


def test_every_bug_has_its_place() -> None:
    assert FOUND.keys() == BUGS.keys()
    assert len(BUGS) >= 8


@pytest.mark.parametrize("bug", BUGS)
def test_what_a_bug_takes_out_is_in_the_product(bug: str) -> None:
    """Said here, and not when the bugs are looked for: what moved must move in their table too."""
    with planted(bug):
        pass


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    focus, oracle = FOUND[bug]
    engine, tricks = BUGS[bug].engine, HARM.get(bug, ())
    for seed in range(150):
        with planted(bug):
            violations = simulate(seed, focus, engine, tricks).violations
        if violations:
            break
    assert any(violation.startswith(oracle) for violation in violations), (seed, violations)
    assert simulate(seed, focus, engine, tricks).violations == ()


def test_a_bug_is_gone_with_the_block_that_plants_it() -> None:
    with planted("keys-not-erased"):
        assert simulate(HONEST).violations != ()
    assert simulate(HONEST).violations == ()


def test_nothing_is_planted_without_a_name() -> None:
    with planted(""):
        assert simulate(HONEST).violations == ()
