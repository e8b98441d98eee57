"""Opening keys of jobs: what a crash left of one never destroys the one that took its place."""

from pathlib import Path

import pytest

from aggregator.membership import Membership
from secagg.crypto.rng import system_rng
from secagg.crypto.secret import Secret
from secagg.daemon.membership import Pin
from secagg.daemon.turn import Run, Turn
from secagg.daemon.vault import RoundKeys
from secagg.errors import SealBroken
from support.memory import MemoryJournal

PIN = Pin("test", "0" * 64)


def keys(folder: Path) -> RoundKeys:
    return RoundKeys(folder, Secret(bytes(32)), system_rng)


def membership(folder: Path) -> Membership:
    return Membership("aggregator", bytes(32), PIN, keys(folder), system_rng)


def test_a_key_whose_turn_was_never_saved_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """It was drawn by a turn that a crash ended. The next start destroys it while the same job may be proposed."""
    journal, left = MemoryJournal(), keys(tmp_path)
    left.seal("job.opening", b"left by a crash")
    started = membership(tmp_path)
    with journal.transaction() as first:
        turn = Turn(first, 0, system_rng)
        started.sweep(turn)
    with journal.transaction() as second:
        public = started.opening("job", Turn(second, 0, system_rng)).public
    for work in [effect.work for effect in turn.effects if isinstance(effect, Run)]:
        work()
    with journal.transaction() as third:
        assert membership(tmp_path).opening("job", Turn(third, 0, system_rng)).public == public


def test_what_a_crash_left_of_jobs_that_are_over_is_gone_after_a_start(tmp_path: Path) -> None:
    journal, kept = MemoryJournal(), keys(tmp_path)
    sealed = kept.seal("old.opening", b"of a job that is over")
    with journal.transaction() as first:
        public = membership(tmp_path).opening("job", Turn(first, 0, system_rng)).public
    with journal.transaction() as second:
        started = membership(tmp_path)
        started.sweep(Turn(second, 0, system_rng))
        assert started.opening("job", Turn(second, 0, system_rng)).public == public
    with pytest.raises(SealBroken):
        kept.open("old.opening", sealed)
