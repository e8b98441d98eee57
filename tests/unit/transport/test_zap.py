"""The answer to a handshake (ZeroMQ RFC 27)."""

from secagg.transport.zap import answer

KEY = bytes(range(32))
DOORS = {b"secagg-control": lambda key: key == KEY, b"secagg-broken": lambda key: bool(1 // 0)}


def request(domain: bytes = b"secagg-control", mechanism: bytes = b"CURVE", *credentials: bytes) -> list[bytes]:
    return [b"peer", b"", b"1.0", b"7", domain, b"127.0.0.1", b"", mechanism, *(credentials or (KEY,))]


def status(frames: list[bytes]) -> bytes:
    reply = answer(frames, DOORS)
    assert reply[:4] == [b"peer", b"", b"1.0", b"7"]
    assert len(reply) == 8
    return reply[4]


def test_a_known_key_enters_under_its_own_name() -> None:
    assert answer(request(), DOORS) == [b"peer", b"", b"1.0", b"7", b"200", b"OK", KEY.hex().encode(), b""]


def test_everything_else_is_refused() -> None:
    assert status(request(b"secagg-control", b"CURVE", bytes(32))) == b"400"
    assert status(request(b"secagg-other")) == b"400"
    assert status(request(b"")) == b"400"
    assert status(request(b"secagg-control", b"PLAIN", b"user", b"password")) == b"400"
    assert status(request(b"secagg-control", b"NULL")) == b"400"
    assert status(request(b"secagg-control", b"CURVE", KEY, KEY)) == b"400"


def test_a_lookup_that_fails_is_a_refusal() -> None:
    assert status(request(b"secagg-broken")) == b"400"
