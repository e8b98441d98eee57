"""A console for what is drawn in colours: tables, bars, a table that lives.

Rules: whatever reaches the terminal through it is plain (secagg.daemon.writing), each piece of text on its own. So no
escape sequence of a peer gets past. A text of a peer that stands in markup goes through `marked`, so that it is not
taken for markup. Leaves to others: what is drawn (secagg.demo, the commands).
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from secagg.daemon.writing import plain


class PlainConsole(Console):
    """A console that shows what a terminal would obey; lines end where the drawing ends them."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the pieces of a drawing, their texts made plain."""
        for piece in super().render(renderable, options):
            if piece.control:
                yield piece
            else:
                yield Segment("\n".join(map(plain, piece.text.split("\n"))), piece.style)


def console(**given: Any) -> PlainConsole:
    """Return a console; `given` is what rich's takes."""
    return PlainConsole(highlight=False, **given)


def marked(value: Any) -> str:
    """Return a text of a peer for use in markup: plain, and shown as it is written, brackets too."""
    return escape(plain(str(value)))
