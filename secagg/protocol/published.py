"""The one reader of a published result: node, spot check, auditor and whoever pulls a sum see the same words.

Rules (protocol §7): a result holds exactly the lane groups of its job. Each is there once, in order and of exactly the
length that its layout has. Its round is exactly the one it is read for, of group 0. Its contributors are members of the
cohort, once each, in order. Whatever else is in it is not a result. A group that stood in it twice could be one thing
to who checks and another to who goes on from it.
Leaves to others: believing it (its log entry), decoding words (lanes.py).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from secagg.errors import ProtocolViolation
from secagg.ids import RoundId
from secagg.protocol.lanes import Words, packing
from secagg.protocol.manifest import LaneGroup, Published


def words_of(
    published: Published, groups: Sequence[LaneGroup], cohort: Sequence[str], about: RoundId
) -> dict[str, Words]:  # fmt: skip
    """Return the summed words of every lane group, as arrays of their own.

    Raises: as `check_form`.
    """
    check_form(published, groups, cohort, about)
    found = bytes_of(published)
    return {
        group.name: np.frombuffer(found[group.name], dtype=np.uint8).copy().view(packing(group).dtype)
        for group in groups
    }  # fmt: skip


def check_form(published: Published, groups: Sequence[LaneGroup], cohort: Sequence[str], about: RoundId) -> None:
    """Check that a result has the one form that the result of round `about` can have.

    Raises: ProtocolViolation (`result.round`, `.contributors`, `.groups`, `.length`).
    """
    if published.round != about or about.group:
        raise _refusal("is of another round than it should be", "round")
    position = {name: place for place, name in enumerate(cohort)}
    places = [position.get(name, -1) for name in published.contributors]
    if not places or -1 in places or places != sorted(set(places)):
        raise _refusal("names contributors that are not the cohort's, each once and in order", "contributors")
    if tuple(group.name for group in published.groups) != tuple(group.name for group in groups):
        raise _refusal("does not hold exactly the lane groups of its job, each once and in order", "groups")
    for group, given in zip(groups, published.groups, strict=True):
        pack = packing(group)
        if len(given.words) != pack.words * np.dtype(pack.dtype).itemsize:
            raise _refusal(f"has another length in lane group {group.name} than its job says", "length")


def bytes_of(published: Published) -> Mapping[str, bytes]:
    """Return the words of a result whose form was checked, as they were published."""
    return {group.name: group.words for group in published.groups}


def _refusal(why: str, rule: str) -> ProtocolViolation:
    cause = f"The published result {why}."
    return ProtocolViolation(cause, "Keep it: the aggregator is at fault.", rule=f"result.{rule}")
