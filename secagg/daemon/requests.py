"""What a person asks a daemon over its admin socket: one struct for each request, tagged by `command`.

Rules: a request is read strictly. What no struct has is refused, with what to do. Each names the type of its answer.
The structs here are asked of every role; a role's own stand beside its service, its `Status` too.
Leaves to others: the socket (secagg.daemon.admin), answers (secagg.daemon.answers), answering (the roles).
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, get_args

import msgspec
from msgspec import Struct

from secagg.daemon.answers import LinkShown
from secagg.errors import BadInput

TAG = "command"
"""The field that names what is asked for."""


A_co = TypeVar("A_co", covariant=True)


class Request(Struct, Generic[A_co], frozen=True, forbid_unknown_fields=True, tag_field=TAG):
    """Something that is asked for; the parameter is the type of the answer."""

    def written(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return values

    @classmethod
    def answered_by(cls) -> Any:
        """Return the type of its answer."""
        return get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]  # every generic class has them


class Link(Request[LinkShown], frozen=True, tag="link"):
    """How its link, outbox and disk stand: asked of every role, answered by the loop."""


class Watch(Request[str], frozen=True, tag="watch"):
    """Every event from now on."""


def asks_for(request: Mapping[str, object], kind: type[Request[Any]]) -> bool:
    """Say whether what came asks for this; its other fields are not looked at."""
    return request.get(TAG) == kind.__struct_config__.tag


def parse(request: Mapping[str, object], kinds: Any, who: str) -> Any:
    """Return what is asked for: one of the structs of the union `kinds`, of which `who` answers each.

    Raises: BadInput.
    """
    try:
        return msgspec.convert(request, kinds)
    except msgspec.ValidationError as error:
        cause = f"The {who} does not understand this: {error}."
        raise BadInput(cause, "Check the command's --help, and use the command of the daemon's own version.") from None
