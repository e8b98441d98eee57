"""The key server in other roles' tests: it answers starts as the real one does; what asks for files it puts by."""

from collections.abc import Mapping

from keyserver.boots import judge
from keyserver.records import BootRecord
from secagg.crypto.sign import SigningKey
from secagg.roster.boot import BOOT, open_request, sign_reply
from secagg.transport.link import Received
from secagg.transport.memory import MemoryLink


class Granter:
    """A key server that knows every role's key and remembers its starts."""

    def __init__(self, link: MemoryLink, members: Mapping[str, SigningKey], online: SigningKey) -> None:
        self.link, self._members, self._online = link, members, online
        self.boots: dict[str, BootRecord] = {}
        self.fenced: list[str] = []
        self.other: list[Received] = []

    async def grant(self) -> None:
        """Answer everything that has arrived."""
        while self.link._queue:
            message = await self.link.receive()
            if message.id:
                await self.link.send(message.sender, "ack", b"", id=message.id)
            if message.kind != BOOT:
                self.other += [message] if message.kind == "fetch" else []
                continue
            public = self._members[message.sender].public
            asked = open_request(message.body, public)
            self.boots[message.sender], reply = judge(self.boots.get(message.sender), asked, public)
            if asked.fenced:
                self.fenced.append(message.sender)
            await self.link.send(message.sender, BOOT, b"", sign_reply(reply, self._online))
