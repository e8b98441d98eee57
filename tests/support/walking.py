"""Walk a signed struct: every leaf by its path, and the struct with that leaf changed into other legal values.

A leaf is what `secagg.protocol.deriving.leaves` calls one. A changed struct keeps its types and ranges, so that what
refuses it is the comparison and not the decoder.
"""

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from msgspec import UNSET, Struct
from msgspec.inspect import FloatType, IntType, Metadata, StructType, UnionType, VarTupleType, type_info
from msgspec.structs import replace

from secagg.errors import WireError
from secagg.learning.algorithms import Number
from secagg.protocol.manifest import Acceptance, Custody, GroupSum, LaneGroup, Privacy, Scalar, Seat, Setting
from secagg.vector.codec import Fixed, Lane, Noised, Offset
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

WORDS = {
    "training": "sum", "sum": "training", "complete": "harary", "harary": "complete", "masks": "paillier",
    "paillier": "masks", "3x21": "lane32", "lane64": "lane32", "lane32": "lane64", "3bytes": "lane32",
}  # fmt: skip
"""Texts that have few legal values, and another one of each."""

ADDED: dict[type, object] = {
    Seat: Seat("zz-added", "of-zz-added", bytes(range(32))), Scalar: Scalar("zz-added", 7),
    LaneGroup: LaneGroup("zz-added", "lane64", 64, 64, 3), GroupSum: GroupSum("zz-added", bytes(8)),
    Acceptance: Acceptance("zz-added", bytes(64)), Number: Number("zz-added", 0.5), str: "zz-added",
    Lane: Lane("zz-added", 3, Fixed()), Setting: Setting("zz-added", 0.5),
}  # fmt: skip
"""What may be put behind the end of a tuple of its type."""

UNWRITTEN = (Custody(b"key", 1, (), 1, 1, ()), Privacy("record", "skellam", 8.0, 1e-5))
"""What may stand where nothing does: the decoder keeps it where its type is."""

KINDS: dict[type, tuple[Struct, ...]] = {
    Offset: (Fixed(), Noised(16, 0)), Fixed: (Offset(16, 0), Noised(16, 0)), Noised: (Fixed(), Offset(16, 0)),
}  # fmt: skip
"""Other structs that may stand where one of a union does."""


def changes(value: Struct) -> Iterator[tuple[str, Any]]:
    """Yield (path of a leaf, the whole struct with this leaf changed), in one to three ways for each.

    What the decoder would refuse is left out: something else has to refuse the rest.
    """
    for leaf, changed in _of_struct(value, ""):
        try:
            decode(type(value), encode(changed), LIMIT_BULK)
        except WireError:
            continue
        yield leaf, changed


def _of_struct(value: Struct, path: str) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(type(value))
    for name in value.__struct_fields__:
        here = f"{path}.{name}".lstrip(".")
        for leaf, changed in _changed(getattr(value, name), here, hints[name]):
            yield leaf, replace(value, **{name: changed})


def _changed(value: object, path: str, hint: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Struct):
        yield from ((f"{path}.type", other) for other in KINDS.get(type(value), ()))
        yield from _of_struct(value, path)
    elif isinstance(value, tuple):
        item = get_args(hint)[0]
        if value:
            yield f"{path}.length", value[:-1]
        yield f"{path}.length", (*value, ADDED[item])
        for place, found in enumerate(value):
            for leaf, changed in _changed(found, f"{path}.{place}", item):
                yield leaf, (*value[:place], changed, *value[place + 1 :])
    else:
        yield from ((path, other) for other in _others(value))


def _others(value: object) -> tuple[object, ...]:
    match value:
        case bool():
            return (not value,)
        case int():
            return tuple({value + 1, value - 1, 2 * value + 3} - {value})
        case float():
            return (value + 1, value / 2 - 1)
        case bytes():
            return (bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 128])) if value else (b"x",)
        case str():
            return (WORDS[value],) if value in WORDS else (f"{value}x", f"x{value[1:]}") if value else ("x",)
        case _ if value is UNSET:
            return UNWRITTEN
        case _:
            raise TypeError(type(value))


def numbers(kind: type[Struct]) -> set[str]:
    """Return the path of every number in a struct's type, nested ones too."""
    return _numbers(type_info(kind), "")


def _numbers(found: Any, path: str) -> set[str]:
    match found:
        case IntType() | FloatType():
            return {path}
        case StructType():
            parts = (_numbers(field.type, f"{path}.{field.name}".lstrip(".")) for field in found.fields)
            return set().union(*parts)
        case VarTupleType():
            return _numbers(found.item_type, path)
        case UnionType():
            return set().union(*(_numbers(one, path) for one in found.types))
        case Metadata():
            return _numbers(found.type, path)
        case _:
            return set()
