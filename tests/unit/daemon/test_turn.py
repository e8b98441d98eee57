"""What a turn adds to the outbox: nothing twice, and a peer that acknowledges nothing has an end of it."""

from secagg.crypto.rng import system_rng
from secagg.daemon.journal import Outgoing
from secagg.daemon.turn import MOST, Turn
from support.memory import MemoryJournal


def send(journal: MemoryJournal, *messages: tuple[str, str, bytes, bytes]) -> list[Outgoing]:
    """Send in one turn; return what leaves."""
    with journal.transaction() as transaction:
        turn = Turn(transaction, 0, system_rng)
        for message in messages:
            turn.send(*message)
        return [effect for effect in turn.effects if isinstance(effect, Outgoing)]


def test_what_waits_already_is_not_sent_beside_itself() -> None:
    journal = MemoryJournal()
    answer = ("peer", "answer", b"round 1", b"yes")
    (sent,) = send(journal, answer, answer)
    assert send(journal, answer) == []
    assert [message.id for message in journal.pending()] == [sent.id]
    others = [(to, kind, header, body) for to, kind, header, body in (
        ("other", "answer", b"round 1", b"yes"), ("peer", "other", b"round 1", b"yes"),
        ("peer", "answer", b"round 2", b"yes"), ("peer", "answer", b"round 1", b"no"),
    )]  # fmt: skip
    assert len(send(journal, *others)) == 4


def test_what_was_acknowledged_or_withdrawn_is_sent_again() -> None:
    journal = MemoryJournal()
    answer = ("peer", "answer", b"round 1", b"yes")
    (sent,) = send(journal, answer)
    assert journal.acknowledge(sent.id, "peer")
    assert len(send(journal, answer)) == 1
    with journal.transaction() as transaction:
        turn = Turn(transaction, 0, system_rng)
        turn.withdraw("peer")
        turn.send(*answer)
    assert len(journal.pending()) == 1


def test_a_peer_that_acknowledges_nothing_is_sent_so_much_and_no_more() -> None:
    journal = MemoryJournal()
    sent = send(journal, *(("deaf", "answer", str(number).encode(), b"") for number in range(MOST + 10)))
    assert len(sent) == MOST
    assert len(send(journal, ("peer", "answer", b"", b""))) == 1
    assert journal.acknowledge(sent[0].id, "deaf")
    assert len(send(journal, ("deaf", "answer", b"last", b""))) == 1
    assert len(send(journal, ("deaf", "answer", b"one more", b""))) == 0
