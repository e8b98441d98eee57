"""Row 9: the key server and the aggregator show two directories: another roster, or the same one on another branch.

A roster is a log entry, every node keeps the checkpoint that came with it, and a manifest names both. Whoever was shown
something else finds out with the first manifest, or with the next roster.
"""

import json
from collections.abc import Callable
from dataclasses import replace as with_fields
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import BadSignature
from secagg.log.checkpoint import read_checkpoint
from secagg.log.log import Log, MemoryLog
from secagg.log.statements import Refusal, Revoked, RosterChanged, Statement, parse_statement, sign_statement
from secagg.protocol.masks import node
from secagg.protocol.masks.messages import MemberKeys
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation, party, propose
from secagg.roster.chain import SignedRoster, sign_roster
from secagg.roster.members import Member, Roster
from secagg.roster.messages import RosterPush
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed
from support.adversary import proposal_of, stop_before
from support.federation import make
from support.nodes import Ward

VICTIM = "node-02"
SYBIL = Member("sybil", "shell-company", "node", b"\x05" * 32, b"\x06" * 32)


class KeyServer:
    """A key server that issues what the test wants, with the federation's online key."""

    def __init__(self, federation: Federation, log: Log | None = None) -> None:
        self.federation = federation
        origin = f"{federation.spec.federation}/directory"
        self.log = log or MemoryLog(origin, origin, federation.online)
        self.given = decode(SignedRoster, federation.roster, LIMIT_BULK)
        self.first = decode(Roster, self.given.roster, LIMIT_BULK)

    def say(self, statement: Statement) -> int:
        return self.log.append(sign_statement(statement, KEYSERVER, self.federation.online))

    def sign(self, **changes: object) -> bytes:
        """Sign the first roster with these changes."""
        delegation = (self.given.delegation, self.given.delegation_signature)
        return sign_roster(replace(self.first, **changes), self.given.root_key, delegation, self.federation.online)

    def push(self, signed: bytes, old_size: int = 0, **said: object) -> bytes:
        """Log a roster and return its push; `said` replaces what the log says of it."""
        version = decode(Roster, decode(SignedRoster, signed, LIMIT_BULK).roster, LIMIT_BULK).version
        entry = RosterChanged(federation="fed", time=START_OF_TIME, version=version, roster=sha256(signed).hex())
        index = self.say(replace(entry, **said))
        self.log.publish()
        return encode(RosterPush(signed, self.log.leaf(index), encode(self.log.prove(index, old_size))))

    def second(self, **changes: object) -> bytes:
        """Sign the roster that follows the first."""
        return self.sign(**{"version": 2, "previous": sha256(self.federation.roster), **changes})


def another_roster(federation: Federation) -> bytes:
    """Version 1 with one member more, on a branch of its own."""
    branch = KeyServer(federation)
    branch.log.append(federation.directory.leaf(0))
    return branch.push(branch.sign(members=(*branch.first.members, SYBIL)))


def fork_of(federation: Federation) -> tuple[Log, bytes]:
    """Return a log that says something besides, and the push of the same roster from it."""
    branch = KeyServer(federation)
    branch.log.append(federation.directory.leaf(0))
    branch.say(Revoked(federation="fed", time=START_OF_TIME, member="somebody", reason="hidden from the others"))
    push = branch.push(federation.roster)
    return branch.log, push


def another_branch(federation: Federation) -> bytes:
    return fork_of(federation)[1]


@pytest.mark.parametrize(
    ("shown", "rule"), [(another_roster, "manifest.roster"), (another_branch, "manifest.directory")],
    ids=["another roster", "another branch"],
)  # fmt: skip
def test_who_was_shown_another_directory_finds_out_in_the_first_round(
    tmp_path: Path, shown: Callable[[Federation], bytes], rule: str
) -> None:
    federation = make(4, chunk_bytes=4096)
    ward = Ward(federation, tmp_path)
    honest = encode(RosterPush(federation.roster, federation.directory.leaf(1), encode(federation.directory.prove(1))))

    async def script(_: object) -> None:
        for name in ward.nodes:
            ward.revive(name)
        await ward.settle()
        for name in (*ward.nodes, AGGREGATOR):
            push = shown(federation) if name == VICTIM else honest
            await ward.keyserver.send(name, "roster", b"", push, id=bytes(16))
        await ward.settle()
        ward.submit()
        await ward.wait(8)
        await ward.stop_nodes()

    ward.play(script)
    assert {event["rule"] for event in ward.nodes[VICTIM].named("refuse")} == {rule}
    (closed,) = ward.named("round_closed")
    assert (closed["round"], closed["contributors"]) == (1, [name for name in ward.nodes if name != VICTIM])
    stated = [parse_statement(ward.rounds_log.leaf(at))[0] for at in range(ward.rounds_log.size)]
    assert {(said.member, said.rule, said.round) for said in stated if isinstance(said, Refusal)} == {(VICTIM, rule, 1)}


def test_two_manifests_for_two_directories_are_two_rounds() -> None:
    """The aggregator colludes, and shows the victim a manifest that relies on the victim's own directory."""
    federation = make(4)
    branch = with_fields(federation, directory=fork_of(federation)[0])
    theirs = party(federation, VICTIM).ctx
    theirs = with_fields(theirs, expect=with_fields(theirs.expect, directory=read_checkpoint(branch.directory_note)))
    shown = node.start(proposal_of(federation, propose(branch)), theirs)
    scene = stop_before("MemberKeys", federation=federation)
    honest = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    mixed = (*honest[:2], decode(Signed, shown.send[0][1]), honest[3])
    with pytest.raises(BadSignature):
        scene.show(MemberKeys(encode(mixed)))


# The next roster -----------------------------------------------------------------------------------------------------


def forked(federation: Federation) -> bytes:
    """Version 2 on a log that differs from the one this node knows in its first entry."""
    branch = KeyServer(federation)
    branch.say(Revoked(federation="fed", time=START_OF_TIME, member="somebody", reason="instead of the root"))
    branch.log.append(federation.directory.leaf(1))
    return branch.push(branch.second(), 2)


def with_my_key_changed(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    members = tuple(
        replace(member, sign_key=SYBIL.sign_key) if member.name == VICTIM else member for member in server.first.members
    )
    return server.push(server.second(members=members), 2)


def with_my_role_changed(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    members = tuple(
        replace(member, role="trustee") if member.name == VICTIM else member for member in server.first.members
    )
    return server.push(server.second(members=members), 2)


def after_another(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    return server.push(server.second(previous=b"\x07" * 32), 2)


def of_the_same_version(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    return server.push(server.sign(members=(*server.first.members, SYBIL)), 2)


def that_the_log_does_not_hold(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    push = decode(RosterPush, server.push(server.second(), 2), LIMIT_BULK)
    return encode(replace(push, proof=encode(server.log.prove(1, 2))))


def that_the_log_calls_otherwise(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    return server.push(server.second(), 2, roster=sha256(b"another").hex())


def of_another_version_in_the_log(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    return server.push(server.second(), 2, version=3)


def signed_by_another_key(federation: Federation) -> bytes:
    other = KeyServer(with_fields(federation, online=federation.aggregator), federation.directory)
    return KeyServer(federation, federation.directory).push(other.second(), 2)


LIES = (
    forked, with_my_key_changed, with_my_role_changed, after_another, of_the_same_version, that_the_log_does_not_hold,
    that_the_log_calls_otherwise, of_another_version_in_the_log, signed_by_another_key,
)  # fmt: skip


def pushed(place: Path, *bodies: Callable[[Federation], bytes], sender: str = KEYSERVER) -> tuple[int, list[str]]:
    """Push rosters to a node that knows the first; return the version it holds then, and what it refused."""
    federation = make(4, chunk_bytes=4096)
    ward = Ward(federation, place)
    held: list[int] = []

    async def script(_: object) -> None:
        await ward.start_nodes()
        link = ward.keyserver if sender == KEYSERVER else ward.nodes["node-01"].daemon._link
        for body in bodies:
            await link.send(VICTIM, "roster", b"", body(federation), id=sha256(body.__name__.encode())[:16])
            await ward.settle()
        held.append(int(ward.nodes[VICTIM].status()["roster"]))
        await ward.stop_nodes()

    ward.play(script)
    lines = [json.loads(line) for line in ward.nodes[VICTIM].log.getvalue().splitlines()]
    return held[0], [line["cause"] for line in lines if line["level"] == "warning" and line.get("kind") == "roster"]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_roster_on_another_branch_or_that_speaks_of_another_me_is_refused(
    tmp_path: Path, lie: Callable[[Federation], bytes]
) -> None:
    version, refused = pushed(tmp_path, lie)
    assert version == 1
    assert len(refused) == 1


def the_next(federation: Federation) -> bytes:
    server = KeyServer(federation, federation.directory)
    return server.push(server.second(), 2)


def test_the_next_roster_on_the_branch_it_knows_is_taken_from_the_key_server_alone(tmp_path: Path) -> None:
    assert pushed(tmp_path / "honest", the_next) == (2, [])
    version, refused = pushed(tmp_path / "from a member", the_next, sender="node-01")
    assert (version, len(refused)) == (1, 1)


def the_first_again(federation: Federation) -> bytes:
    """Version 1 as it was signed, in the log that holds version 2, proved from where this node stands."""
    log = federation.directory
    return encode(RosterPush(federation.roster, log.leaf(1), encode(log.prove(1, 3))))


def test_a_roster_does_not_go_back(tmp_path: Path) -> None:
    version, refused = pushed(tmp_path, the_next, the_first_again)
    assert (version, len(refused)) == (2, 1)
