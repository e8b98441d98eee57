"""A key server over links in memory, with a clock, newcomers and members that tests move by hand."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keyserver.authority import Authority, make_authority
from keyserver.desk import Settings
from keyserver.directory import Directory
from keyserver.requests import Asked
from keyserver.service import KeyserverService
from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon import logs, vault
from secagg.daemon.answers import read
from secagg.daemon.enrolment import Newcomer
from secagg.daemon.loop import Daemon
from secagg.daemon.requests import parse
from secagg.log.log import Log, MemoryLog
from secagg.roster.members import Member
from secagg.roster.messages import ENROL, Admitted, Denied, EnrolReply, Waiting
from secagg.roster.tokens import Token, read_token
from secagg.transport.curve import Addresses, public_key
from secagg.transport.link import KEYSERVER, Received
from secagg.transport.memory import MemoryLink, MemoryNetwork
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from support.arriving import drain, settle
from support.federation import counted_rng
from support.memory import MemoryJournal
from support.timers import VirtualTimers

START = 1_700_000_000
DAY = 86_400
ADDRESSES = Addresses("tcp://broker:7700", "tcp://broker:7701", "tcp://broker:7702")
BROKER_KEY = bytes(range(32))


class Inline(ThreadPoolExecutor):
    """Does the work at once; while `held`, whatever is asked of it fails, as with a full disk."""

    held = False

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(OSError("disk is full") if self.held else work(*args, **kwargs))
        return future


def authority_of(label: bytes = b"fed", federation: str = "fed") -> Authority:
    """Return an authority that is the same in every run."""
    rng = counted_rng(label)
    return make_authority(federation, Secret(rng(32)), vault.generate_keys(rng), START + 1000 * DAY)


def newcomer_of(token: Token, seed: bytes = b"keys", **changes: Any) -> Newcomer:
    """Return a machine with repeatable keys that holds a token; `changes` replace fields of the member."""
    ring = vault.generate_keys(counted_rng(seed))
    signer = SigningKey.from_private_bytes(ring.sign.reveal())
    fields = {"name": token.name, "organisation": token.institution, "role": token.role} | changes
    return Newcomer(token, ring, Member(sign_key=signer.public, curve_key=public_key(ring.curve), **fields))


class Office:
    """One key server; `play` runs a script against it."""

    def __init__(self, rosters: Path, journal: MemoryJournal | None = None, log: Log | None = None) -> None:
        self.now = START
        self.authority = authority_of()
        self.journal = journal or MemoryJournal()
        origin = self.authority.origin
        self.log: Log = log or MemoryLog(origin, origin, self.authority.online)
        self.rosters = rosters
        self.network = MemoryNetwork()
        self.timers = VirtualTimers()
        self.executor = Inline(1)
        self.written = io.StringIO()
        self.guests: dict[bytes, MemoryLink] = {}
        logger = logs.configure(KEYSERVER, "fed", file=self.written)
        rng: Rng = counted_rng(b"office")
        self.service = KeyserverService(
            self.authority, Settings(ADDRESSES, BROKER_KEY), Directory(self.log, rosters), rng, logger
        )
        self.daemon = Daemon(
            self.network.link(KEYSERVER), self.journal, self.service, self.executor, logger,
            later=self.timers.later, wall=lambda: self.now, rng=counted_rng(b"loop"),
        )  # fmt: skip

    def play(self, script: Callable[["Office"], Awaitable[None]]) -> "Office":
        """Serve while the script runs."""

        async def main() -> None:
            serving = asyncio.create_task(self.daemon.serve())
            await settle()
            try:
                await script(self)
            finally:
                self.daemon.stop()
                await serving

        asyncio.run(main())
        return self

    def again(self) -> "Office":
        """Return the key server after a restart: what the journal and the log kept."""
        found = Office(self.rosters, self.journal.reopened(), self.log)
        found.now = self.now
        return found

    async def ask(self, command: str, **fields: object) -> Any:
        """Ask as the operator's command does."""
        asked = {"command": command, **fields}
        answer = self.daemon.command(asked)
        read(answer, parse(asked, Asked, "key server").answered_by())
        await settle()
        return answer

    async def token(self, institution: str = "charite", **fields: object) -> Token:
        """Create a token and read its line."""
        return read_token((await self.ask("token.create", institution=institution, **fields))["token"])

    async def knock(self, newcomer: Newcomer, body: bytes | None = None, over: bytes | None = None) -> EnrolReply:
        """Send a request (`body`, over the CURVE key `over`, or the newcomer's own) and return the answer."""
        key = over or newcomer.member.curve_key
        if key not in self.guests:
            self.guests[key] = self.network.guest(key)
        link = self.guests[key]
        await drain(link)
        await link.send(KEYSERVER, ENROL, b"", newcomer.request(self.now) if body is None else body)
        (reply,) = await drain(link)
        return reply_of(reply)

    async def refused(self, newcomer: Newcomer, **how: bytes) -> str:
        """Return the code of the refusal of a request."""
        reply = await self.knock(newcomer, **how)
        assert isinstance(reply, Denied)
        assert reply.cause
        assert reply.remedy
        return reply.code

    async def approve(self, newcomer: Newcomer) -> None:
        """Approve without words."""
        await self.ask(
            "member.approve", name=newcomer.member.name, fingerprint=newcomer.fingerprint.hex(), unread=True
        )  # fmt: skip

    async def enrol(self, institution: str = "charite", **fields: object) -> Newcomer:
        """Take a newcomer from token to membership."""
        newcomer = newcomer_of(await self.token(institution, **fields), institution.encode())
        assert isinstance(await self.knock(newcomer), Waiting)
        await self.approve(newcomer)
        (reply,) = await drain(self.guests[newcomer.member.curve_key])
        assert isinstance(reply_of(reply), Admitted)
        return newcomer

    def logged(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        return [json.loads(line) for line in self.written.getvalue().splitlines()]

    def pushed(self, to: str) -> list[bytes]:
        """Return the bodies of durable messages that wait to be acknowledged."""
        return [message.body for message in self.journal.pending() if message.to == to]


def reply_of(message: Received) -> EnrolReply:
    """Return the reply in a message of the key server."""
    assert (message.sender, message.kind) == (KEYSERVER, ENROL)
    reply: EnrolReply = decode(EnrolReply, message.body, LIMIT_BULK)  # type: ignore[arg-type]
    return reply
