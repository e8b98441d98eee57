"""Order towards each peer, the window of bulk, and patience."""

from secagg.daemon.outbox import PATIENCE, WINDOW, Outbox


def test_control_messages_go_one_at_a_time_to_each_peer() -> None:
    outbox = Outbox()
    assert outbox.add(b"1", "node-a", "manifest") == [b"1"]
    assert outbox.add(b"2", "node-a", "manifest") == []
    assert outbox.add(b"3", "node-b", "manifest") == [b"3"]
    assert outbox.waiting() == {"node-a": 2, "node-b": 1}
    assert outbox.remove(b"1") == [b"2"]
    assert outbox.remove(b"1") == []
    assert outbox.remove(b"2") == []
    assert outbox.waiting() == {"node-b": 1}


def test_bulk_has_a_window_of_its_own() -> None:
    outbox = Outbox()
    assert outbox.add(b"c", "aggregator", "ready") == [b"c"]
    sent = [outbox.add(bytes([index]), "aggregator", "chunk") for index in range(WINDOW + 1)]
    assert sent == [[bytes([index])] for index in range(WINDOW)] + [[]]
    assert outbox.remove(bytes([3])) == [bytes([WINDOW])]


def test_only_what_flies_is_sent_again() -> None:
    outbox = Outbox()
    outbox.add(b"1", "node-a", "manifest")
    outbox.add(b"2", "node-a", "manifest")
    ticks = [outbox.tick() for _ in range(2 * PATIENCE)]
    assert ticks == ([[]] * (PATIENCE - 1) + [[b"1"]]) * 2


def test_a_message_can_be_removed_before_it_flew() -> None:
    outbox = Outbox()
    outbox.add(b"1", "node-a", "manifest")
    outbox.add(b"2", "node-a", "manifest")
    assert outbox.remove(b"2") == []
    assert outbox.remove(b"1") == []
    assert outbox.waiting() == {}
