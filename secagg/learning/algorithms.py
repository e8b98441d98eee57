"""The algorithms there are, by name, and how a job says which it wants.

How to read it: a new algorithm is a file beside this one, a line in the table and a file of vectors. Its numbers are
the fields of its struct, each with its range and, for job files, a default.
Rules: a signed job names the algorithm and every one of its numbers, in the order of their names. So no default of a
release changes what a job means. What the table does not know is refused by name, and nothing is ignored.
Leaves to others: what an algorithm is (secagg.learning.algorithm).
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from secagg.errors import Refused
from secagg.ids import Name
from secagg.learning.algorithm import Algorithm
from secagg.learning.fedadam import FedAdam
from secagg.learning.fedavg import FedAvg
from secagg.learning.fedprox import FedProx

ALGORITHMS: Mapping[str, type[Algorithm]] = MappingProxyType({"fedadam": FedAdam, "fedavg": FedAvg, "fedprox": FedProx})

DEFAULT = "fedavg"
"""What a job trains by when its file names nothing."""


MOST = 16
"""Numbers that an algorithm may have: a job that lists more is none, so that no node keeps it."""


class Number(Struct, frozen=True, forbid_unknown_fields=True):
    """One number of an algorithm: a float64, which travels bit for bit."""

    name: Name
    value: float


class Chosen(Struct, frozen=True, forbid_unknown_fields=True):
    """What a signed job trains by: the name, and every number, in the order of their names."""

    name: Name = DEFAULT
    numbers: Annotated[tuple[Number, ...], Meta(max_length=MOST)] = ()


def choose(name: str, numbers: Mapping[str, float]) -> Chosen:
    """Return what a job file asks for, with every number that it leaves out at its default.

    Raises: Refused (`algorithm.name`, `algorithm.numbers`).
    """
    found = _made(name, numbers)
    values = {field: float(getattr(found, field)) for field in _fields(type(found))}
    return Chosen(name, tuple(Number(field, values[field]) for field in sorted(values)))


def algorithm_of(chosen: Chosen) -> Algorithm:
    """Return the algorithm of a signed job.

    Raises: Refused (`algorithm.name`, `algorithm.numbers`).
    """
    given = [number.name for number in chosen.numbers]
    found = _made(chosen.name, {number.name: number.value for number in chosen.numbers})
    if given != sorted(_fields(type(found))):
        raise _numbers(chosen.name, f"has the numbers {_list(_fields(type(found)))}, each once and in this order")
    return found


def at_members(chosen: Chosen) -> tuple[str, ...]:
    """Return what of a choice changes a member's update, as text: nothing where tasks train as they are.

    Of an algorithm that is not known here that is everything.
    """
    kind = ALGORITHMS.get(chosen.name)
    if kind is not None and not kind.at_members:
        return ()
    return (chosen.name, *(part for number in chosen.numbers for part in (number.name, number.value.hex())))


def keeps(chosen: Chosen) -> tuple[str, ...]:
    """Return the names of what an algorithm keeps between rounds; of one that is not known here, none."""
    kind = ALGORITHMS.get(chosen.name)
    return kind.keeps if kind is not None else ()


def _made(name: str, numbers: Mapping[str, float]) -> Algorithm:
    if name not in ALGORITHMS:
        raise Refused(f"There is no algorithm {name}.", f"Choose one of {_list(ALGORITHMS)}.", rule="algorithm.name")
    kind = ALGORITHMS[name]
    unknown = sorted(numbers.keys() - set(_fields(kind)))
    if unknown:
        raise _numbers(name, f"has no number {unknown[0]}; it has {_list(_fields(kind))}")
    if not all(math.isfinite(value) for value in numbers.values()):
        raise _numbers(name, "takes finite numbers only")
    try:
        return msgspec.convert(dict(numbers), kind)
    except msgspec.ValidationError as error:
        raise _numbers(name, f"does not take these numbers: {error}") from None


def _fields(kind: type[Algorithm]) -> tuple[str, ...]:
    return kind.__struct_fields__


def _list(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(sorted(names)) or "none"


def _numbers(name: str, why: str) -> Refused:
    return Refused(
        f"Algorithm {name} {why}.", "Mend [algorithm] in the job file, and submit the job again.",
        rule="algorithm.numbers",
    )  # fmt: skip
