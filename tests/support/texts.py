"""Texts that a peer may put where a name or a sentence is expected, and every place of a message where one stands.

A place is a way down through maps, lists and bytes that are a message themselves. What is signed there is signed again
with the peer's rightful key, so that the text is judged and not the signature.
"""

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from secagg.crypto.sign import SigningKey
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, sign

ESCAPES = "\x1b[2J\x1b]0;mine\x07[red]\u202e\u2066\u200b\n\r"
TEXTS = (
    "x" * 600, "x" * 20_000, "\u202e" * 600, "\u202e" * 20_000, ESCAPES, ESCAPES * 60, "../" * 20,
    "\ud7ff\U0010ffff", "",
)  # fmt: skip
"""600 and 20,000 letters are more than a statement and an entry hold; escaped, a letter of these has six or twelve."""

Place = tuple[object, ...]


def _inside(value: object) -> object:
    """Return the message that bytes are, or what was given."""
    if isinstance(value, bytes) and value:
        try:
            found = msgspec.msgpack.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
            return value
        return found if isinstance(found, dict | list) else value
    return value


def places(message: object) -> Iterator[Place]:
    """Yield every place of a message (bytes, or what they are decoded) at which a text stands."""
    value = _inside(message)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(inner, str):
            yield (key,)
        else:
            yield from ((key, *rest) for rest in places(inner))


def put(message: Any, place: Place, text: str, key: SigningKey, scope: Scope) -> Any:
    """Return the message with `text` at a place, everything that was signed signed again."""
    if not place:
        return text
    packed, value = isinstance(message, bytes), cast(Any, _inside(message))
    step, *rest = place
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[step] = put(value[step], tuple(rest), text, key, scope)
    if isinstance(changed, dict) and {"sender", "receiver", "body", "signature", "kind"} == set(changed):
        names = (changed["kind"], changed["sender"], changed["receiver"])
        changed["signature"] = sign(key, names[0], scope, names[1], names[2], changed["body"]).signature
    return encode(changed) if packed else changed
