"""A federation's keys and a broker on loopback, for tests of the transport and of what runs over it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.roster.chain import Delegation, delegate, fingerprint, sign_roster
from secagg.roster.members import Limits, Member, Role, Roster
from secagg.roster.messages import EnrolRequest, sign_enrolment
from secagg.transport.broker import Broker
from secagg.transport.curve import Addresses, addresses, public_key
from secagg.transport.zmq_link import ZmqLink
from secagg.wire.codec import encode

FEDERATION = "hearts"
NOW = 1_700_000_000
DEADLINE = 5.0 if "SECAGG_MUTANTS" in os.environ else 30.0
"""Seconds after which a test that waits has failed; without a defence (support.mutants) it is meant to."""


def secret_of(name: str) -> Secret:
    """Return the CURVE secret of a party, the same in every run."""
    return Secret(sha256(b"curve/" + name.encode()))


def key_of(name: str) -> bytes:
    """Return the CURVE key of a party."""
    return public_key(secret_of(name))


def counting_rng(label: str = "rng") -> Rng:
    """Return bytes that are the same in every run and never repeat."""
    numbers = count()
    return lambda size: b"".join(sha256(f"{label}/{next(numbers)}".encode()) for _ in range(-(-size // 32)))[:size]


def request_of(name: str, curve_key: bytes = b"", time: int = NOW) -> bytes:
    """Return a newcomer's request under its own signatures, for its CURVE key unless another one is given."""
    signer, token = (SigningKey.from_private_bytes(sha256(f"{kind}/{name}".encode())) for kind in ("sign", "token"))
    request = EnrolRequest(
        FEDERATION, "", name, signer.public, curve_key or key_of(name), token.public, time,
    )  # fmt: skip
    return encode(sign_enrolment(request, signer, token))


class Authority:
    """An offline root and its online key; signs rosters of the names it is given."""

    def __init__(self, federation: str = FEDERATION, label: str = "root", now: int = NOW) -> None:
        self.federation, self.now = federation, now
        self._root = SigningKey.from_private_bytes(sha256(label.encode()))
        self._online = SigningKey.from_private_bytes(sha256(label.encode() + b"/online"))
        self._delegation = delegate(self._root, Delegation(federation, self._online.public, now + 10**6))

    @property
    def fingerprint(self) -> str:
        """Return what everybody pins."""
        return fingerprint(self._root.public)

    def roster(
        self, *names: str, version: int = 1, expires: int = 0, keys: Mapping[str, bytes] = MappingProxyType({}),
        aggregator: str = "",
    ) -> bytes:  # fmt: skip
        """Return a signed roster with these members, nodes but the key server; `keys` are other CURVE keys."""
        roles: dict[str, Role] = {"keyserver": "keyserver", aggregator: "aggregator"}
        members = tuple(
            Member(name, name, roles.get(name, "node"), sha256(name.encode()), keys.get(name) or key_of(name))
            for name in names
        )
        until = expires or self.now + 86_400
        roster = Roster(self.federation, version, self.now, until, bytes(32), Limits(0, 1), members)
        return sign_roster(roster, self._root.public, self._delegation, self._online)


class Journal:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _keep(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    info = warning = error = _keep


def make_broker(bind: Addresses | None = None, authority: Authority | None = None, **options: Any) -> Broker:
    """Return a broker on free ports of loopback; `options` replace its clocks, log and state directory."""
    clocks: dict[str, Any] = {"wall": lambda: NOW, "monotonic": lambda: 0.0}
    given = clocks | {"rng": counting_rng(), "log": Journal()} | options
    pinned = (authority or Authority()).fingerprint
    place = bind or addresses("127.0.0.1", 0)
    return Broker(place, secret_of("broker"), key_of("keyserver"), pinned, FEDERATION, **given)


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Addresses]:
    """Serve while the block runs; fail with what made the broker end."""
    bound = await broker.open()
    serving = asyncio.create_task(broker.serve())
    try:
        yield bound
    finally:
        broker.stop()
        await serving


@asynccontextmanager
async def dialled(bound: Addresses, *names: str, broker_key: bytes = b"") -> AsyncIterator[list[ZmqLink]]:
    """Return the links of these parties, closed after the block."""
    links = [ZmqLink(bound, broker_key or key_of("broker"), secret_of(name)) for name in names]
    try:
        yield links
    finally:
        for link in links:
            await link.close()


async def push_roster(keyserver: ZmqLink, roster: bytes) -> None:
    """Push a roster as the key server does, and wait until the broker has it in force."""
    await keyserver.send("broker", "roster", b"", roster, id=b"roster-push-0001")
    answer = await keyserver.receive()
    assert (answer.sender, answer.kind, answer.id) == ("broker", "ack", b"roster-push-0001")


async def until(done: Callable[[], bool]) -> None:
    """Let the loop turn until `done`; the deadline of `run` ends it otherwise."""
    while not done():
        await asyncio.sleep(0.002)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run one asynchronous test under the deadline."""

    async def limited() -> None:
        await asyncio.wait_for(work, DEADLINE)

    asyncio.run(limited())


def state_dir(path: Path) -> Path:
    """Return a directory as daemons want it."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    return path
