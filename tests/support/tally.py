"""A node that writes down which chunks it sends and which receipts it gets: the command line, with another link.

`python tests/support/tally.py FILE noun verb …` runs the product's own command over a link that takes notes, one line
each. They say when a chunk was handed to the network (`sent`) and when a receipt of one arrived (`got`). Times are
seconds of the machine's monotonic clock, which every process shares. No role carries a counter for this: the link is
replaced here.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import node.process
from secagg.cli import main
from secagg.transport.link import Received
from secagg.transport.zmq_link import ZmqLink
from secagg.wire.chunks import ChunkAck, ChunkHeader
from secagg.wire.codec import decode
from secagg.wire.signed import Signed


class TallyLink(ZmqLink):
    """A link that writes chunks and receipts down."""

    file: Path

    async def send(self, to: str, kind: str, header: bytes, body: bytes = b"", *, id: bytes = b"") -> None:
        """Send a message; note a chunk that was handed over."""
        await super().send(to, kind, header, body, id=id)
        if kind == "chunk":
            self._note("sent", decode(ChunkHeader, decode(Signed, header).body))

    async def receive(self) -> Received:
        """Return the next message; note a receipt."""
        return self._noted(await super().receive())

    def at_hand(self) -> Received | None:
        """Return the next message if it is here; note a receipt."""
        message = super().at_hand()
        return message and self._noted(message)

    def _noted(self, message: Received) -> Received:
        if message.kind == "ack-chunk":
            self._note("got", decode(ChunkAck, decode(Signed, message.body).body))
        return message

    def _note(self, what: str, chunk: ChunkHeader | ChunkAck) -> None:
        with self.file.open("a") as file:
            file.write(f"{what} {time.monotonic()} {chunk.round.label()} {chunk.index}\n")


@dataclass(frozen=True)
class Tally:
    """What one node sent and got of one upload: times (monotonic seconds) and indices of chunks, in order."""

    sent: tuple[tuple[float, int], ...]
    got: tuple[tuple[float, int], ...]

    @property
    def resent(self) -> int:
        """How many chunks went out that had gone out before."""
        return len(self.sent) - len({index for _, index in self.sent})

    def unacknowledged(self, at: float) -> set[int]:
        """Return the chunks that had gone out and had no receipt at this time."""
        return {index for time, index in self.sent if time <= at} - {index for time, index in self.got if time <= at}


def tally(file: Path, job: str) -> Tally:
    """Return what a node wrote down of the rounds of a job."""
    found: dict[str, list[tuple[float, int]]] = {"sent": [], "got": []}
    # A line that is being written has no end yet.
    for line in file.read_text().rpartition("\n")[0].splitlines() if file.exists() else ():
        what, at, label, index = line.split()
        if label.startswith(f"{job}."):
            found[what].append((float(at), int(index)))
    return Tally(tuple(found["sent"]), tuple(found["got"]))


if __name__ == "__main__":
    TallyLink.file = Path(sys.argv[1])
    replaced: Any = vars(node.process)
    replaced["ZmqLink"] = TallyLink
    main(sys.argv[2:])
