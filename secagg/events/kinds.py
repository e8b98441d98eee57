"""The table of all events: by kind, which fields it may have; and an event read back from what a daemon told.

Rules: a kind is told in one way only. A line that is only logged may share its kind with an event (`refuse`, `fail`).
Then the fields of both are allowed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, Union

import msgspec

from secagg.errors import BadInput
from secagg.events import federation, lines, members, rounds
from secagg.events.line import Event, Line, kind_of

ROOMS = (rounds, members, federation, lines)
"""The files that hold them, in the order of the reference page."""

E = TypeVar("E", bound=Event)


def all_lines() -> Iterator[type[Line]]:
    """Yield every kind, in the order in which they are written down."""
    for room in ROOMS:
        for found in vars(room).values():
            if isinstance(found, type) and issubclass(found, Line) and found.__module__ == room.__name__:
                yield found


def _logged() -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in all_lines():
        kind = kind_of(line)
        found[kind] = found.get(kind, frozenset()) | set(line.__struct_encode_fields__)
    return found


TOLD: Mapping[str, type[Event]] = {kind_of(line): line for line in all_lines() if issubclass(line, Event)}
LOGGED = _logged()
"""Which fields a line of each kind may have."""

_ANY: Any = Union[tuple(TOLD.values())]  # noqa: UP007 - there are as many as the table has


def read(value: object) -> Event:
    """Return the event that a daemon told. Raises: BadInput when this version knows no such event."""
    try:
        event: Event = msgspec.convert(value, _ANY)
    except msgspec.ValidationError as error:
        cause = f"The daemon tells of something that this version does not know: {error}."
        raise BadInput(cause, "Use the command of the daemon's own version.") from None
    return event


def rewritten(event: E, how: Any) -> E:
    """Return an event whose texts are what `how` makes of all its JSON values."""
    return msgspec.convert(how(event.shown()), type(event))
