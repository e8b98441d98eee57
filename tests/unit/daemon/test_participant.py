"""What a member keeps of its rounds: under their labels, so that a role may be in several."""

from secagg.daemon.participant import Round, all_rounds, drop_round, find_round, put_round
from secagg.daemon.turn import Turn
from secagg.ids import NO_DIGEST, RoundId
from secagg.wire.signed import Scope
from support.federation import counted_rng
from support.memory import MemoryJournal


def test_rounds_lie_side_by_side_under_their_labels() -> None:
    first = Round(Scope(RoundId("fed", "job", 1), NO_DIGEST), "masks", b"first")
    later = Round(Scope(RoundId("fed", "job", 1, 2), NO_DIGEST), "masks", b"later")
    with MemoryJournal().transaction() as transaction:
        turn = Turn(transaction, 7, counted_rng(b"rounds"))
        put_round(turn, later)
        put_round(turn, first)
        assert [key for key, _ in turn.scan("")] == ["round/job.1.1.0", "round/job.1.2.0"]
        assert all_rounds(turn) == [first, later]
        assert (find_round(turn, first.label), find_round(turn, "job.1")) == (first, None)
        drop_round(turn, first)
        assert all_rounds(turn) == [later]
