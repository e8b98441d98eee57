"""A daemon in process that can be killed, asked for its status and read: what tests do to a role, whichever it is."""

import asyncio
from typing import Any

from secagg.daemon.loop import Daemon
from support.memory import MemoryJournal


class Serving:
    """What stands around a daemon; whoever derives from it opens it over `journal`."""

    daemon: Daemon
    journal: MemoryJournal
    serving: "asyncio.Task[None]"
    events: list[dict[str, Any]]
    alive: bool

    async def kill(self) -> None:
        """End it; what was saved stays."""
        self.alive = False
        self.daemon.stop()
        await self.serving
        self.journal = self.journal.reopened()

    def status(self) -> dict[str, Any]:
        """Return what its admin socket says."""
        found = self.daemon.command({"command": "status"})
        if not isinstance(found, dict):
            raise AssertionError("a status is an object")
        return found

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return its events of this name."""
        return [values for values in self.events if values["event"] == event]
