"""How the peers are: who has fallen silent, and whose disk takes nothing.

A frozen process keeps its connections, so that only words from it prove that it lives.

Who was heard once is asked after two seconds of silence, and is silent after six, which the loop notices within one
more. The answer comes from the shell's loop, not from a thread of its own, so that a role that hangs is silent too.

Rules: time is ticks of the loop (one second). Nobody is forgotten before ten minutes of silence. Strangers and the
broker are not asked (the link itself has heartbeats). Leaves to others: what follows from silence (the services).
Source: docs/transport.md "Security traps of ZeroMQ" 12.
"""

from secagg.transport.link import BROKER, GUEST

ASK, ALIVE = "ask-alive", "alive"
"""Kinds of the question and its answer; neither has a body, neither is a turn."""

ASKED_AFTER = 2
SILENT_AFTER = 6
FORGOTTEN_AFTER = 600

PUT_OFF_FOR = 6
"""Ticks that a peer's `retry-later` is shown: it is repeated with every message that it does not take."""


class Liveness:
    """The last word of every peer of one daemon."""

    def __init__(self) -> None:
        self._quiet: dict[str, int] = {}
        self._put_off: dict[str, int] = {}

    def heard(self, peer: str) -> bool:
        """Take any message of a peer; say whether it was silent before."""
        if peer == BROKER or peer.startswith(GUEST):
            return False
        before = self._quiet.get(peer, 0)
        self._quiet[peer] = 0
        return before >= SILENT_AFTER

    def put_off(self, peer: str) -> bool:
        """Take a peer's word that it can save nothing now; say whether that is new."""
        known = peer in self._put_off
        self._put_off[peer] = PUT_OFF_FOR
        return not known

    def tick(self) -> tuple[list[str], list[str]]:
        """Let a second pass; return whom to ask now, and who fell silent with it."""
        self._quiet = {peer: quiet + 1 for peer, quiet in self._quiet.items() if quiet < FORGOTTEN_AFTER}
        self._put_off = {peer: left - 1 for peer, left in self._put_off.items() if left > 1}
        asked = [peer for peer, quiet in self._quiet.items() if quiet >= ASKED_AFTER and quiet % ASKED_AFTER == 0]
        return asked, [peer for peer, quiet in self._quiet.items() if quiet == SILENT_AFTER]

    @property
    def silent(self) -> dict[str, int]:
        """For how many seconds each silent peer has said nothing."""
        return {peer: quiet for peer, quiet in sorted(self._quiet.items()) if quiet >= SILENT_AFTER}

    @property
    def cannot_save(self) -> tuple[str, ...]:
        """Who can save nothing now."""
        return tuple(sorted(self._put_off))
