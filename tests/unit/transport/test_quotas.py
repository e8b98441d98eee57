"""Quotas and strikes; time is an argument (transport, Sockets)."""

from secagg.transport.quotas import IGNORED, KEYS, Bounded, Quota, Strikes

KEY, OTHER = b"k" * 32, b"o" * 32


def test_the_third_strike_is_ignored_for_ten_minutes() -> None:
    strikes = Strikes()
    assert [strikes.add(KEY, now) for now in (0.0, 1.0)] == [False, False]
    assert not strikes.ignored(KEY, 1.0)
    assert strikes.add(KEY, 2.0)
    assert strikes.ignored(KEY, 2.0)
    assert strikes.ignored(KEY, 2.0 + 599.9)
    assert not strikes.ignored(KEY, 2.0 + 600.0)
    assert not strikes.ignored(OTHER, 2.0)


def test_after_ten_minutes_counting_starts_anew() -> None:
    strikes = Strikes()
    for now in (0.0, 1.0, 2.0):
        strikes.add(KEY, now)
    assert not strikes.add(KEY, 2.0 + IGNORED)
    assert not strikes.ignored(KEY, 2.0 + IGNORED)


def test_a_quota_grants_the_burst_then_the_rate() -> None:
    quota = Quota(rate=2, burst=3)
    assert [quota.take(KEY, 1, 0.0) for _ in range(4)] == [True, True, True, False]
    assert quota.take(OTHER, 3, 0.0)
    assert not quota.take(KEY, 1, 0.49)
    assert quota.take(KEY, 1, 0.5)
    assert not quota.take(KEY, 4, 1000.0)
    assert quota.take(KEY, 3, 1000.0)


def test_a_table_forgets_what_was_set_longest_ago() -> None:
    table: Bounded[int] = Bounded()
    for number in range(KEYS):
        table[number.to_bytes(4)] = number
    table[(0).to_bytes(4)] = 0
    table[b"new"] = 1
    assert len(table) == KEYS
    assert (0).to_bytes(4) in table
    assert (1).to_bytes(4) not in table
