"""Order towards each peer, the window of bulk, and patience."""

from collections import Counter, deque

import pytest

from secagg.daemon.outbox import LONGEST, PATIENCE, WINDOW, Outbox


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


def test_pieces_are_asked_for_again_ever_more_rarely_and_ever_more_of_them() -> None:
    outbox = Outbox()
    for index in range(WINDOW):
        outbox.add(bytes([index]), "aggregator", "chunk")
    sent = {tick: len(due) for tick in range(1, 60) if (due := outbox.tick())}
    # Two ticks, then twice as long each time, up to sixteen.
    assert sent == {2: 1, 6: 2, 14: 4, 30: 8, 46: 8}
    assert LONGEST == 46 - 30


def test_a_message_can_be_removed_before_it_flew() -> None:
    outbox = Outbox()
    outbox.add(b"1", "node-a", "manifest")
    outbox.add(b"2", "node-a", "manifest")
    assert outbox.remove(b"2") == []
    assert outbox.remove(b"1") == []
    assert outbox.waiting() == {}


def test_one_that_was_overtaken_is_sent_again_alone_and_soon() -> None:
    outbox = Outbox()
    for index in range(4):
        outbox.add(bytes([index]), "aggregator", "chunk")
    assert outbox.tick() == []
    assert outbox.remove(bytes([2])) == []
    assert outbox.tick() == [bytes([0]), bytes([1])]
    assert outbox.tick() == []
    assert outbox.remove(bytes([1])) == []
    assert [outbox.tick() for _ in range(PATIENCE)] == [[]] * (PATIENCE - 1) + [[bytes([0])]]


@pytest.mark.parametrize("told", ["aggregator", ""])
def test_a_peer_or_a_link_that_is_back_is_told_everything_again(told: str) -> None:
    outbox = Outbox()
    for index in range(WINDOW + 3):
        outbox.add(bytes([index]), "aggregator", "chunk")
    outbox.add(b"o", "node-b", "piece")
    for _ in range(60):
        outbox.tick()
    others = [b"o"] if told == "" else []
    assert sorted(outbox.heard(told)) == sorted([*others, *(bytes([index]) for index in range(WINDOW))])
    assert outbox.heard(told) == []
    # And it is impatient again.
    assert [bytes([0]) in outbox.tick() for _ in range(PATIENCE)] == [False] * (PATIENCE - 1) + [True]


def slow(chunks: int, ticks: float, lost: range = range(0)) -> Counter[bytes]:
    """Return how often each chunk crossed a link that takes `ticks` for each; those that leave in `lost` are gone."""
    outbox, sent, pipe, queue = Outbox(), Counter[bytes](), deque[bytes](), deque[bytes]()
    left, done, places = 0.0, set[bytes](), iter(range(10_000))
    for index in range(chunks):
        queue.extend(outbox.add(index.to_bytes(2, "big"), "aggregator", "chunk"))
    while len(done) < chunks:
        queue.extend(outbox.tick())
        left += 1
        while left > 0:
            while queue and len(pipe) < WINDOW:
                if (id := queue.popleft()) not in done:
                    pipe.append(id)
            if not pipe:
                left = 0
                break
            id = pipe.popleft()
            sent[id] += 1
            left -= ticks
            if next(places) not in lost:
                done.add(id)
                queue.extend(outbox.remove(id))
    return sent


@pytest.mark.parametrize("ticks", [0.01, 0.5, 2.1, 4.2, 7.5])
def test_a_slow_link_is_not_filled_with_what_it_carries_already(ticks: float) -> None:
    """A piece of 256 KiB in 2.1 s is a megabit a second; eight are on the way."""
    sent = slow(100, ticks)
    assert len(sent) == 100
    assert sent.total() <= 100 + 3


@pytest.mark.parametrize("ticks", [0.01, 0.5, 2.1])
def test_what_was_lost_comes_again_and_little_else(ticks: float) -> None:
    sent = slow(100, ticks, range(40, 48))
    assert sent.total() <= 100 + 8 + 4
