"""The member list: who is found, in which order, and what a name may be."""

import pytest

from secagg.errors import NotAuthorised, WireError
from secagg.roster.members import Limits, Member, Role, Roster
from secagg.wire.codec import decode, encode


def member(name: str, role: Role = "node") -> Member:
    return Member(name, name, role, bytes(32), bytes(32))


def roster(*members: Member) -> Roster:
    return Roster("fed", 1, 1, 2, bytes(32), Limits(1, 3), members)


def test_nodes_stand_by_name_and_others_are_none() -> None:
    found = roster(member("b"), member("a"), member("sum", "aggregator"))
    assert [node.name for node in found.nodes()] == ["a", "b"]
    assert found.aggregator().name == "sum"
    assert found.member("b") == member("b")


def test_who_is_not_there_is_not_authorised() -> None:
    with pytest.raises(NotAuthorised, match="charite is not a member of fed"):
        roster().member("charite")
    with pytest.raises(NotAuthorised, match="fed has no aggregator yet"):
        roster(member("a")).aggregator()


@pytest.mark.parametrize("name", ["", "A", "a b", "a\n", "ä", "a" * 65])
def test_a_name_is_a_routing_name(name: str) -> None:
    with pytest.raises(WireError):
        decode(Member, encode(member(name)))
