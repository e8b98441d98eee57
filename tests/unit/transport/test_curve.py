"""Keys, fixed options read back, and the proof that a stranger is refused (transport, Security traps)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import zmq
import zmq.asyncio

from secagg.crypto.secret import Secret
from secagg.errors import BadConfiguration, BadInput
from secagg.transport import curve
from secagg.transport.curve import Addresses, addresses, check_options, check_refusal, parse_key
from support.brokers import counting_rng, key_of, make_broker, run, running, secret_of

SHARED = {
    "HANDSHAKE_IVL": 5000,
    "HEARTBEAT_IVL": 2000,
    "HEARTBEAT_TIMEOUT": 6000,
    "IMMEDIATE": 1,
    "LINGER": 0,
    "IPV6": 1,
    "MECHANISM": 2,
}
SERVER = SHARED | {"CURVE_SERVER": 1, "ZAP_ENFORCE_DOMAIN": 1, "BACKLOG": 1024}
CLIENT = SHARED | {"RECONNECT_IVL": 500, "RECONNECT_IVL_MAX": 30_000, "SNDTIMEO": 2000}
BY_DOOR = {
    "control": {"MAXMSGSIZE": 65_536, "SNDHWM": 100, "RCVHWM": 100},
    "bulk": {"MAXMSGSIZE": 1_052_672, "SNDHWM": 8, "RCVHWM": 8},
    "enrol": {"MAXMSGSIZE": 16_384, "SNDHWM": 100, "RCVHWM": 100},
}


@asynccontextmanager
async def context() -> AsyncIterator[zmq.asyncio.Context]:
    made = zmq.asyncio.Context()
    yield made
    made.destroy(linger=0)


def read(socket: zmq.asyncio.Socket, names: dict[str, int]) -> dict[str, object]:
    return {name: socket.getsockopt(getattr(zmq, name)) for name in names}


@pytest.mark.parametrize("door", curve.DOORS)
def test_the_brokers_options_are_read_back(door: str) -> None:
    async def test() -> None:
        broker = make_broker()
        async with running(broker):
            wanted = SERVER | BY_DOOR[door]
            assert read(broker.sockets[door], wanted) == wanted
            assert broker.sockets[door].getsockopt(zmq.ZAP_DOMAIN) == b"secagg-" + door.encode()
            # ROUTER_MANDATORY cannot be read back.
            with pytest.raises(zmq.ZMQError) as error:
                await broker.sockets[door].send_multipart([b"nobody", b"", b"", b""])
            assert error.value.errno == zmq.EHOSTUNREACH

    run(test())


@pytest.mark.parametrize("door", curve.DOORS)
def test_a_roles_options_are_read_back(door: str) -> None:
    async def test() -> None:
        async with context() as made:
            socket = curve.open_client(made, door, secret_of("hungary"), key_of("broker"))
            # A guest is sent its first roster.
            wanted = CLIENT | BY_DOOR[door] | ({"MAXMSGSIZE": 1_052_672} if door == "enrol" else {})
            assert read(socket, wanted) == wanted

    run(test())


def test_an_option_that_did_not_take_is_named() -> None:
    async def test() -> None:
        async with context() as made:
            socket = curve.open_server(made, "bulk", secret_of("broker"))
            socket.setsockopt(zmq.SNDHWM, 1000)
            with pytest.raises(BadConfiguration, match="SNDHWM is 1000, not 8"):
                check_options(socket, curve.server_options("bulk"))
            plain = made.socket(zmq.ROUTER)
            with pytest.raises(BadConfiguration, match="MECHANISM"):
                check_options(plain, {})

    run(test())


@pytest.mark.parametrize("enforce", [0, 1])
def test_a_broker_that_lets_strangers_in_is_found_out(enforce: int) -> None:
    """Trap 1: CURVE with a domain and no handler accepts any key, unless the domain is enforced; then nobody enters."""

    async def test() -> None:
        async with context() as made:
            socket = made.socket(zmq.ROUTER)
            socket.setsockopt(zmq.CURVE_SECRETKEY, curve.key_text(secret_of("broker").reveal()).encode())
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.ZAP_DOMAIN, b"secagg-control")
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, enforce)
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            with pytest.raises(BadConfiguration, match="did not refuse"):
                await check_refusal(
                    made, "control", f"tcp://127.0.0.1:{port}", key_of("broker"), counting_rng(), seconds=0.5
                )

    run(test())


def test_a_silent_drop_is_found_out() -> None:
    async def test() -> None:
        async with context() as made:
            silent = made.socket(zmq.ROUTER)
            with pytest.raises(BadConfiguration, match="drops messages in silence"):
                await curve.check_mandatory(silent)

    run(test())


def test_a_key_is_read_in_both_forms() -> None:
    key = key_of("hungary")
    assert parse_key(key.hex()) == key
    assert parse_key(curve.key_text(key)) == key


@pytest.mark.parametrize("text", ["", "ab", "z" * 64, "~" * 40, "0" * 62, "f" * 65, "ä" * 40])
def test_a_bad_key_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="40 characters of Z85 or 64 hexadecimal"):
        parse_key(text)


def test_the_public_key_is_that_of_libsodium() -> None:
    public, secret = zmq.curve_keypair()
    assert curve.key_text(curve.public_key(Secret(parse_key(secret.decode())))) == public.decode()


def test_addresses_follow_the_base_port() -> None:
    assert addresses("127.0.0.1", 7700) == Addresses(
        "tcp://127.0.0.1:7700", "tcp://127.0.0.1:7701", "tcp://127.0.0.1:7702"
    )
    assert addresses("::1", 0) == Addresses(*["tcp://[::1]:*"] * 3)


def test_a_port_that_is_taken_is_named() -> None:
    async def test() -> None:
        async with running(make_broker()) as bound:
            with pytest.raises(BadConfiguration) as error:
                await make_broker(bound).open()
            assert error.value.code == "E-PORT"
            assert f"control address {bound.control} is taken" in error.value.cause
            await asyncio.sleep(0)

    run(test())
