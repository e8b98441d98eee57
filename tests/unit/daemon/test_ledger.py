"""The ledger keeps order, one last checkpoint per log, and everything over a restart; a failed turn leaves nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from secagg.daemon.journal import Journal, SqliteJournal
from secagg.daemon.ledger import Ledger
from secagg.daemon.turn import Turn
from secagg.errors import BadConfiguration, Refused, VerificationFailed
from secagg.ids import NO_DIGEST, RoundId
from secagg.log.checkpoint import Checkpoint
from secagg.protocol.inputs import Counted
from secagg.protocol.memory import Accepted, Opened, Record, Witnessed, check_attempt
from support.federation import counted_rng
from support.memory import MemoryInputs, MemoryJournal

Reopen = Callable[[Journal], Journal]


@pytest.fixture(params=["sqlite", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Journal, Reopen]:
    def reopen(journal: Journal) -> Journal:
        if isinstance(journal, MemoryJournal):
            return journal.reopened()
        journal.close()
        return SqliteJournal(tmp_path / "journal.sqlite")

    first: Journal = SqliteJournal(tmp_path / "journal.sqlite") if request.param == "sqlite" else MemoryJournal()
    return first, reopen


@contextmanager
def turn_of(journal: Journal) -> Iterator[Ledger]:
    with journal.transaction() as transaction:
        yield Ledger(Turn(transaction, 0, counted_rng(b"ledger")))


def accepted(number: int, attempt: int = 1, manifest: bytes = NO_DIGEST) -> Accepted:
    return Accepted(RoundId("demo", "job", number, attempt), manifest)


def opening(number: int, *names: str) -> Opened:
    return Opened(RoundId("demo", "job", number), names)


def test_records_come_back_in_order_after_a_restart(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    rounds = [accepted(number) for number in range(1, 13)]
    for record in rounds[:11]:
        with turn_of(journal) as ledger:
            ledger.add((record, Witnessed("demo/rounds", record.round.round, bytes([record.round.round] * 32))))
    journal = reopen(journal)
    with turn_of(journal) as ledger:
        ledger.add((rounds[11], opening(12, "a", "b")))
    journal = reopen(journal)
    with turn_of(journal) as ledger:
        assert ledger.accepted() == tuple(rounds)
        assert ledger.opened() == (opening(12, "a", "b"),)
        assert ledger.last("demo/rounds") == Checkpoint("demo/rounds", 11, bytes([11] * 32))
        assert ledger.last("demo/directory") is None
    journal.close()


def fail_after(journal: Journal, *records: Record) -> None:
    with turn_of(journal) as ledger:
        ledger.add(records)
        raise RuntimeError(f"crash after {len(ledger.accepted())}")


def test_a_turn_that_fails_keeps_no_record(opened: tuple[Journal, Reopen]) -> None:
    journal, _ = opened
    with pytest.raises(RuntimeError, match="crash after 1"):
        fail_after(journal, accepted(1), opening(1, "a"), Witnessed("demo/rounds", 1, NO_DIGEST))
    with turn_of(journal) as ledger:
        assert (ledger.accepted(), ledger.opened(), ledger.last("demo/rounds")) == ((), (), None)
    journal.close()


@pytest.mark.parametrize(
    "record",
    [Witnessed("demo/rounds", 4, bytes(32)), Witnessed("demo/rounds", 5, bytes([9] * 32))],
    ids=["older", "forked"],
)
def test_a_checkpoint_never_goes_back(opened: tuple[Journal, Reopen], record: Record) -> None:
    journal, _ = opened
    kept = Witnessed("demo/rounds", 5, bytes(32))
    with turn_of(journal) as ledger:
        ledger.add((kept, kept))
    with pytest.raises(VerificationFailed, match="does not follow"), turn_of(journal) as ledger:
        ledger.add((record,))
    with turn_of(journal) as ledger:
        assert ledger.last("demo/rounds") == Checkpoint("demo/rounds", 5, bytes(32))
    journal.close()


def test_the_rules_of_the_protocol_hold_after_a_restart(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    with turn_of(journal) as ledger:
        ledger.add((accepted(1), accepted(2, attempt=2), opening(1, "a", "b", "c")))
    journal = reopen(journal)
    with turn_of(journal) as ledger:
        for proposed, manifest, rule in (
            (RoundId("demo", "job", 1, 2), NO_DIGEST, "attempt.opened"),
            (RoundId("demo", "job", 2, 1), NO_DIGEST, "attempt.superseded"),
            (RoundId("demo", "job", 2, 2), bytes([1] * 32), "attempt.second-manifest"),
        ):
            with pytest.raises(Refused) as caught:
                check_attempt(ledger, proposed, manifest)
            assert caught.value.rule == rule
    journal.close()


def counted(state: str = "pending") -> Counted:
    place = RoundId("demo", "job", 1)
    digests = (NO_DIGEST,) * 3
    return Counted(place, NO_DIGEST, "sum", "task", *digests, False, 0, state=state)  # type: ignore[arg-type]


def test_an_input_goes_to_the_ledger_of_inputs_and_a_turn_that_fails_leaves_one_too_many(
    opened: tuple[Journal, Reopen],
) -> None:
    journal, reopen = opened
    inputs = MemoryInputs()

    def fail() -> None:
        with journal.transaction() as transaction:
            Ledger(Turn(transaction, 0, counted_rng(b"ledger")), inputs).add((counted(),))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert inputs.entries() == (counted(),)
    for state in ("pending", "frozen"):
        with journal.transaction() as transaction:
            ledger = Ledger(Turn(transaction, 0, counted_rng(b"ledger")), inputs)
            ledger.require_inputs()
            ledger.add((counted(state),))
            assert ledger.counted(counted().round) == counted(state)
    assert inputs.entries() == (counted("frozen"),)
    # The journal knows how often this node wrote, so a ledger that knows of less is an old one.
    with reopen(journal).transaction() as transaction:
        turn = Turn(transaction, 0, counted_rng(b"ledger"))
        Ledger(turn, inputs).require_inputs()
        with pytest.raises(BadConfiguration, match="wrote 3 times"):
            Ledger(turn, MemoryInputs()).require_inputs()


def test_without_a_ledger_of_inputs_none_is_counted(opened: tuple[Journal, Reopen]) -> None:
    journal, _ = opened
    with pytest.raises(RuntimeError, match="no ledger"), turn_of(journal) as ledger:
        ledger.add((counted(),))
    journal.close()
