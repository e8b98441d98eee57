"""Where the data of each task lay when this node started last: another path or edition is told, and logged.

Rules (protocol §6.5): an input is identified by the path and the edition of its data. So whoever changes one of them
says that other data lies there. Nobody checks that, and everybody can see it. The path itself goes to nobody.
Leaves to others: what follows for sums (node.inputs), the log (node.stating).
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from node.config import OwnTask
from secagg.daemon.turn import Turn
from secagg.wire.codec import decode, encode

_KEPT = "source/"


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """The resolved path of a task's data, and its edition."""

    path: str
    edition: str


def changed(tasks: Mapping[str, OwnTask], turn: Turn) -> Iterator[tuple[str, Literal["path", "edition"]]]:
    """Yield each task whose data is another one than at the last start, and what changed; remember how it is now."""
    for name, own in sorted(tasks.items()):
        now, kept = Source(str(own.data.resolve()), own.edition), turn.get(f"{_KEPT}{name}")
        before = decode(Source, kept) if kept else now
        turn.put(f"{_KEPT}{name}", encode(now))
        if before.path != now.path:
            yield name, "path"
        if before.edition != now.edition:
            yield name, "edition"
