"""What a daemon answers over its admin socket: one struct for each answer, so that nothing else can be told.

How to read it: `Answer` is the base, `read` is the command's end, `written` the daemon's. The structs here are answers
of every role; a role's own stand beside its requests, and each request names its answer.
Rules: the struct is the allow-list. A command reads an answer strictly. A field that may be absent is UNSET and is then
not shown. Texts may be a peer's, so they are shown by secagg.daemon.printing.
Leaves to others: the socket (secagg.daemon.admin), what a role answers (the roles), how it looks (printing).
"""

import json
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Struct

from secagg.daemon.config import means
from secagg.errors import BadInput
from secagg.events import fields as f

Round = Annotated[str, means("The round, as JOB.ROUND.ATTEMPT.GROUP.")]
RosterVersion = Annotated[int | None, means("The version of the member list in force; nothing before the first.")]
AnyRule = Annotated[str, means("The rule by which it was refused; docs/reference/rules.md has them all.")]


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that a daemon answers, or a part of it."""


Reply = Answer | tuple[Answer, ...]
"""What a service answers."""

A = TypeVar("A")


class LinkShown(Answer, frozen=True):
    """How the link, the outbox and the disk of a daemon stand."""

    link: Annotated[str, means("How the link to the broker stands.")]
    unacknowledged: Annotated[dict[str, int], means("By peer, how many messages it has not acknowledged.")]
    unreached: Annotated[dict[str, int], means("By peer that cannot be reached, since when.")]
    read_only: Annotated[int | None, means("Since when the disk takes nothing; nothing while it does.")]
    watchers: Annotated[int, means("How many watch its events.")]
    silent: Annotated[dict[str, int], means("By peer that has fallen silent, for how many seconds.")]
    put_off: Annotated[tuple[str, ...], means("The peers that can save nothing now.")]
    sent_bytes: Annotated[int, means("Bytes that it has sent since it started.")]
    received_bytes: Annotated[int, means("Bytes that it has received since it started.")]


class RefusalShown(Answer, frozen=True):
    """The last round that a member refused, and why."""

    round: Round
    rule: AnyRule
    cause: f.Cause
    remedy: f.Remedy


def written(answer: object) -> Any:
    """Return an answer, or a list of them, as JSON values."""
    return json.loads(json.dumps(msgspec.to_builtins(answer)))


def read(value: object, kind: type[A]) -> A:
    """Return what a daemon answered, as `kind`. Raises: BadInput when this version does not know such an answer."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        cause = f"The daemon answers what this command does not understand: {error}."
        raise BadInput(cause, "Use the command of the daemon's own version.") from None
