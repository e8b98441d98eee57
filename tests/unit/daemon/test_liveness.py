"""Who is silent: asked after two seconds, silent after six, never a stranger."""

from secagg.daemon.liveness import FORGOTTEN_AFTER, Liveness


def test_silence_is_asked_about_then_said_once() -> None:
    peers = Liveness()
    assert not peers.heard("node-a")
    told = [peers.tick() for _ in range(8)]
    assert [asked for asked, _ in told] == [[], ["node-a"]] * 4
    assert [silent for _, silent in told] == [[]] * 5 + [["node-a"]] + [[]] * 2
    assert peers.silent == {"node-a": 8}
    assert peers.heard("node-a")
    assert peers.silent == {}


def test_who_speaks_is_not_asked() -> None:
    peers = Liveness()
    for _ in range(20):
        peers.heard("node-a")
        assert peers.tick() == ([], [])


def test_strangers_and_the_broker_are_not_followed() -> None:
    peers = Liveness()
    peers.heard("broker")
    peers.heard("guest-00112233")
    assert all(peers.tick() == ([], []) for _ in range(10))


def test_who_never_comes_back_is_forgotten() -> None:
    peers = Liveness()
    peers.heard("node-a")
    for _ in range(FORGOTTEN_AFTER + 1):
        peers.tick()
    assert peers.silent == {}
    assert peers.tick() == ([], [])


def test_a_peer_that_can_save_nothing_is_shown_while_it_says_so() -> None:
    peers = Liveness()
    assert peers.put_off("node-a")
    assert not peers.put_off("node-a")
    for _ in range(5):
        peers.tick()
    assert list(peers.cannot_save) == ["node-a"]
    peers.tick()
    assert list(peers.cannot_save) == []
    assert peers.put_off("node-a")
