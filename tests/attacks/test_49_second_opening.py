"""Row 49: the same round opened again under another group, with one member fewer: one update is the difference of two
published sums. The aggregator's own key signs and logs it; node services, trustees' services and auditors refuse it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.auditor.verify import verify
from secagg.crypto.derive import sha256
from secagg.errors import Refused
from secagg.ids import EVERYBODY, NO_DIGEST, RoundId
from secagg.log.log import Log
from secagg.log.statements import sign_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.memory import Accepted, Opened, check_attempt, check_unopened
from secagg.protocol.round import stating
from secagg.protocol.round.messages import Propose
from secagg.protocol.round.phases import Closed
from secagg.protocol.session import Present, RoundHeader
from secagg.rehearsal import entrusted as trusted
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation
from secagg.rehearsal.notebook import Notebook
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, sign
from support.bundles import Play, write_plays
from support.chambers import Chamber
from support.entrusted import dealt
from support.entrusted import make as entrust
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, make, names_of
from support.nodes import Ward
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

GROUPS = (1, 7)


def again(federation: Federation, log: Log, honest: Manifest, group: int, held: int) -> tuple[RoundId, bytes]:
    """Sign and log the manifest of a round for another group; return its round and the proposal.

    `held` is the log size that whoever is proposed to holds.
    """
    lie = replace(honest, round=replace(honest.round, group=group))
    body, key = encode(lie), federation.aggregator
    signed = sign(key, "Manifest", Scope(lie.round, NO_DIGEST), AGGREGATOR, EVERYBODY, body)
    stated = stating.manifest_logged(Scope(lie.round, digest(body)), signed, lie.roster_version, START_OF_TIME)
    leaf = sign_statement(stated, AGGREGATOR, key)
    index = log.append(leaf)
    log.publish()
    return lie.round, encode(Propose(signed, leaf, log.prove(index, held)))


class Listening:
    """What an aggregator hears of a federation of real nodes, and what it keeps from them: how the round ended."""

    def __init__(self, ward: Ward) -> None:
        self.ward, self.proposed = ward, b""
        self.held: dict[str, int] = {}
        self.kinds: list[tuple[str, int]] = []
        self._deliver = ward.network._fate
        ward.network._fate = self.fate

    def fate(self, to: str, message: Received) -> Any:
        if message.kind == "present":
            self.held[message.sender] = decode(Present, message.body).log_size
        if message.kind == "round":
            header = decode(RoundHeader, message.header)
            self.kinds.append((header.kind, header.round.group))
            if header.kind == "Propose" and not self.proposed:
                self.proposed = message.body
        # Nobody is told that the round is over, or it would stand before the next one.
        return () if message.kind == "result" else self._deliver(to, message)

    async def propose(self, group: int) -> None:
        """Propose the round again for another group to every node."""
        honest = decode(Manifest, decode(Propose, self.proposed, LIMIT_BULK).manifest.body, LIMIT_BULK)
        for name in self.ward.nodes:
            place, body = again(self.ward.federation, self.ward.rounds_log, honest, group, self.held[name])
            header, id = encode(RoundHeader(place, "Propose")), sha256(f"{name} {group}".encode())[:16]
            self.ward.network.deliver(name, Received(AGGREGATOR, "round", id, header, body))
        await self.ward.settle()


def attacked(ward: Ward, groups: tuple[int, ...]) -> Listening:
    """Let a round close, keep its result back, and propose it again for each of these groups."""
    heard = Listening(ward)

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            ward.submit()
            await ward.gather()
            await ward.wait(6)
            assert ward.named("round_closed")
            for group in groups:
                await heard.propose(group)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return heard


def refused(ward: Ward, heard: Listening, groups: tuple[int, ...]) -> None:
    for node in ward.nodes.values():
        assert [event["rule"] for event in node.named("refuse")] == ["manifest.group"] * len(groups)
        assert len(node.named("accept")) == 1
    assert {kind for kind, group in heard.kinds if group} == {"Refuse"}


def test_nodes_that_opened_a_round_open_it_for_no_other_group(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    refused(ward, attacked(ward, GROUPS), GROUPS)


def test_nodes_that_encrypted_for_a_round_encrypt_for_no_other_group(tmp_path: Path) -> None:
    key, shares = dealt(3, 2)
    spec = job(names_of(4), purpose="sum", bits=64, scalars=())
    secrets = dict(zip(key.trustees, shares, strict=True))
    entrusted = trusted.entrust(names_of(4), spec, key, secrets, counted_rng(b"group"))
    willing = Policy(engines=("paillier",), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
    ward = EntrustedWard(entrusted, tmp_path, willing)
    refused(ward, attacked(ward, GROUPS), GROUPS)


Script = Callable[[Chamber], Awaitable[None]]


def test_trustees_that_opened_a_round_open_it_for_no_other_group(tmp_path: Path) -> None:
    chamber = Chamber(entrust(4), tmp_path)

    async def script(room: Chamber) -> None:
        await room.begin()
        assert isinstance(room.table.phase, Closed)
        for group in GROUPS:
            for name in room.trustees:
                held = room.trustees[name].ledger().last("fed/rounds")
                assert held is not None
                place, body = again(room.entrusted.nodes, room.table.log, room.table.manifest, group, held.size)
                await room.say(name, "Propose", body, place)
        await room.settle()

    chamber.play(script)
    for trustee in chamber.trustees.values():
        assert [event["rule"] for event in trustee.named("refuse")] == ["manifest.group"] * len(GROUPS)
        assert len(trustee.named("attend")) == 1


def test_an_auditor_refuses_two_openings_of_one_round_by_both_of_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members that compare nothing and remember nothing took part in both: the bundle shows it."""
    monkeypatch.setattr("secagg.protocol.acceptance.differing", lambda theirs, mine: None)
    write_plays(tmp_path, [Play(), Play(group=1, drops={"node-03": "MaskedInput"})])
    failed = {line.number: line.detail for line in verify(tmp_path).checks if line.status == "fail"}
    assert "its round.group does not follow from the signed job and the roster" in failed[5]
    assert "follows the opening of its round" in failed[6]


@pytest.mark.parametrize("place", [RoundId("fed", "job", 1, 1, 1), RoundId("fed", "job", 1, 2, 7)])
def test_memory_knows_one_opening_whatever_attempt_or_group(place: RoundId) -> None:
    first = RoundId("fed", "job", 1)
    book = Notebook()
    book.records.append(Opened(first, ("node-00",)))
    with pytest.raises(Refused) as caught:
        check_unopened(book, place)
    assert caught.value.rule == "attempt.opened"
    check_unopened(book, RoundId("fed", "job", 2))
    check_unopened(book, RoundId("fed", "other", 1))
    book = Notebook()
    book.records.append(Accepted(RoundId("fed", "job", 1, 3), bytes(32)))
    with pytest.raises(Refused) as caught:
        check_attempt(book, place, bytes(32))
    assert caught.value.rule == "attempt.superseded"
