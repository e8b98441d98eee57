"""What was summed over which set is remembered for good, by member, and of a lost round as far as it was opened."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from aggregator import records
from aggregator.records import Job
from secagg.crypto.derive import sha256
from secagg.daemon.turn import Turn
from secagg.ids import EVERYBODY
from secagg.protocol.binding import ANY, Bound, seats_digest
from secagg.protocol.manifest import Seat
from secagg.protocol.session import job_scope
from secagg.rehearsal.federation import AGGREGATOR
from secagg.wire.codec import encode
from secagg.wire.signed import sign
from support.federation import counted_rng, make
from support.memory import MemoryJournal

FEDERATION = make(4)
SEATS = FEDERATION.seats
BOUNDS = {seat.name: Bound(sha256(seat.name.encode()), ANY) for seat in SEATS}
SIGNED = sign(
    FEDERATION.aggregator, "JobSpec", job_scope(FEDERATION.spec), AGGREGATOR, EVERYBODY, encode(FEDERATION.spec)
)
JOB = Job(0, FEDERATION.spec, SIGNED, 0)


@contextmanager
def turn_of(journal: MemoryJournal) -> Iterator[Turn]:
    with journal.transaction() as transaction:
        yield Turn(transaction, 0, counted_rng(b"records"))


def summed(journal: MemoryJournal, seat: Seat, named: tuple[str, ...] = (), tag: bytes = b"") -> tuple[bytes, ...]:
    job = replace(JOB, named=named)
    with turn_of(journal) as turn:
        return records.known(job, lambda turn: SEATS, turn).summed(seat.key, tag or BOUNDS[seat.name].input)


def over(journal: MemoryJournal, seats: tuple[Seat, ...], members: tuple[str, ...] = ()) -> None:
    """Sum over a set; of these `members` alone it is sure when they are given."""
    with turn_of(journal) as turn:
        records.put_frozen_set(turn, seats)
        records.put_opening(turn, SEATS, {seat.name: BOUNDS[seat.name] for seat in seats})
    with turn_of(journal) as turn:
        asked = records.opening(turn)
        assert asked == tuple(seat.name for seat in seats)
        records.put_summed(turn, members or asked)
        assert records.opening(turn) == ()


def test_an_input_is_known_by_key_and_tag_and_by_the_set_it_was_summed_over() -> None:
    journal = MemoryJournal()
    assert summed(journal, SEATS[0]) == ()
    over(journal, SEATS[:3])
    assert summed(journal, SEATS[0]) == (seats_digest(SEATS[:3]),)
    assert summed(journal, SEATS[3]) == ()
    assert summed(journal, SEATS[0], tag=sha256(b"another")) == ()
    assert summed(journal, SEATS[1], tag=BOUNDS[SEATS[0].name].input) == (), "another member's tag means nothing"


def test_every_set_is_kept_once_and_the_last_one_stands_last() -> None:
    journal = MemoryJournal()
    for seats in (SEATS, SEATS[:3], SEATS):
        over(journal, SEATS[: len(seats)])
    assert summed(journal, SEATS[0]) == (seats_digest(SEATS[:3]), seats_digest(SEATS))


def test_of_a_lost_round_it_remembers_who_answered() -> None:
    journal = MemoryJournal()
    over(journal, SEATS, (SEATS[1].name,))
    assert [bool(summed(journal, seat)) for seat in SEATS] == [False, True, False, False]


def test_a_set_is_the_same_one_without_members_whose_fault_is_proven() -> None:
    journal = MemoryJournal()
    over(journal, SEATS)
    assert summed(journal, SEATS[0], (SEATS[3].name,)) == (seats_digest(SEATS[:3]),)


def test_a_round_that_never_asked_to_open_leaves_nothing() -> None:
    journal = MemoryJournal()
    with turn_of(journal) as turn:
        records.put_summed(turn, tuple(BOUNDS))
        assert list(turn.scan("summed/")) == []
