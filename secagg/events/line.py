"""What an event is: a struct whose fields are all that may be told or logged of it.

How to read it: a `Line` is logged. An `Event` is also told to those who watch over the admin socket. `OfJob` and
`OfRound` say what it happened in, and `write` logs one.
Rules: the struct is the allow-list: what is no field of it is neither told nor logged. The tag is a verb or a state in
snake_case. A field that may be absent is UNSET, and is then not shown at all.
Leaves to others: which there are (the files beside this one), how a line looks (secagg.daemon.logs).
"""

from typing import Any, ClassVar, Literal, Protocol

import msgspec
from msgspec import Struct

from secagg.events import fields as f
from secagg.ids import RoundId

Level = Literal["info", "warning", "error"]

TAG = "event"
"""The field that names the kind, in logs and over the admin socket."""


class Logger(Protocol):
    """Where lines go: a logger of structlog, or what takes its place."""

    def info(self, event: str, **values: Any) -> object:
        """Take a line of the ordinary course."""

    def warning(self, event: str, **values: Any) -> object:
        """Take a line that a person should read."""

    def error(self, event: str, **values: Any) -> object:
        """Take a line that a person must look into."""


class Line(Struct, frozen=True, forbid_unknown_fields=True, tag_field=TAG):
    """Something that is logged."""

    loud: ClassVar[Level] = "info"
    """How loud all of this kind are."""

    @property
    def level(self) -> Level:
        """How loud this one is logged."""
        return self.loud

    def shown(self) -> dict[str, Any]:
        """Return it as JSON values, with its kind in `event`."""
        values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return values


class Event(Line, frozen=True):
    """Something that is logged, and told to those who watch."""


class OfJob(Event, frozen=True):
    """Something that happened to a job."""

    job: f.Job


class OfRound(OfJob, frozen=True):
    """Something that happened in an attempt at a round."""

    round: f.Round
    attempt: f.Attempt


def place(found: RoundId) -> tuple[str, int, int]:
    """Return the first three fields of every event of a round: job, round, attempt."""
    return found.job, found.round, found.attempt


def kind_of(line: type[Line]) -> str:
    """Return the kind of a line, as `event` names it."""
    return str(line.__struct_config__.tag)


def write(logger: Logger, line: Line, error: BaseException | None = None) -> None:
    """Log a line; an error is written out with its traceback."""
    values = line.shown()
    kind = values.pop(TAG)
    if error is not None:
        values["exc_info"] = error
    {"info": logger.info, "warning": logger.warning, "error": logger.error}[line.level](kind, **values)
