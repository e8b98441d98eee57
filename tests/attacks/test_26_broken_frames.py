"""Row 26: oversized, endless, truncated and nested frames, at every decoder, every phase and both living services.

A decoder of frames raises WireError and nothing else, whatever it reads. A phase or a service that is shown one stays
as it was and goes on. The raw connections to the broker are in test_transport_frames.py.
"""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from secagg.errors import BadInput, ProtocolViolation, VerificationFailed, WireError
from secagg.ids import EVERYBODY
from secagg.learning.layout import decode_model
from secagg.log import tiles
from secagg.log.checkpoint import open_checkpoint, read_checkpoint, verify_cosignature
from secagg.log.note import parse
from secagg.log.statements import parse_statement
from secagg.protocol import session
from secagg.protocol.manifest import JobSpec, Manifest, Published
from secagg.protocol.masks import member as node
from secagg.protocol.masks import messages
from secagg.protocol.masks import shell as aggregator
from secagg.protocol.round import messages as shared
from secagg.protocol.round.events import FromNode, Send
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import AGGREGATOR, party, propose, table
from secagg.rehearsal.run import run_round
from secagg.roster import messages as enrolling
from secagg.roster.boot import BOOT
from secagg.roster.chain import SignedRoster, open_roster
from secagg.roster.messages import ENROL, ROSTER, Admitted, RosterRequest, Waiting
from secagg.roster.tokens import read_token
from secagg.transport.link import Received
from secagg.transport.routing import Routing, Stamped, read_routing, read_stamped
from secagg.wire import chunks
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_CONTROL, LIMIT_LIST
from secagg.wire.signed import Signed, sign
from support import entrusted
from support.adversary import Scene, Wiretap, stop_before
from support.arriving import settle
from support.breaking import BOMBS, broken
from support.chambers import Chamber
from support.federation import inputs_of, make
from support.keyservers import Office, newcomer_of
from support.nodes import Ward

KINDS = ("MemberKeys", "DeliverShares", "Freeze", "Open")
ANSWERS = ("AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask")


def structs(module: Any) -> list[Any]:
    """Return every message that a module defines."""
    return [kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__
            and hasattr(kind, "__struct_fields__")]  # fmt: skip


FRAMES = [
    *structs(messages), *structs(session), *structs(chunks), *structs(enrolling), Signed, tuple[Signed, ...], Manifest,
    JobSpec, Published, SignedRoster, Routing, Stamped, cast(Any, enrolling.EnrolReply),
]  # fmt: skip


def names(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


@pytest.mark.parametrize("kind", FRAMES, ids=names)
def test_no_beginning_of_a_frame_costs_more_than_its_length(kind: Any) -> None:
    fields = [name.encode() for name in getattr(kind, "__struct_fields__", ())]
    heads = [b"", *(b"\x81" + bytes([0xA0 + len(name)]) + name for name in fields), b"\x91", b"\x92\xa1a"]
    tracemalloc.start()
    for head in heads:
        for bomb in BOMBS:
            with pytest.raises(WireError):
                decode(kind, head + bomb, LIMIT_BULK)
    spent = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 4 * 2**20


@pytest.mark.parametrize("kind", FRAMES, ids=names)
@settings(max_examples=40)
@given(data=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=70) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4), max_leaves=9,
).map(encode))  # fmt: skip
def test_whatever_is_no_message_is_a_wire_error(kind: Any, data: bytes) -> None:
    try:
        decode(kind, data)
    except WireError:
        return


@pytest.mark.parametrize("limit", [LIMIT_CONTROL, LIMIT_BULK, LIMIT_LIST])
def test_a_frame_above_its_limit_is_refused_unread(limit: int) -> None:
    frame = memoryview(bytearray(limit + 1))
    frame[:6] = b"\x81\xa1a\xc6\xff\xff"
    tracemalloc.start()
    with pytest.raises(WireError, match="exceeds the limit"):
        decode(Signed, frame, limit)
    spent = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 65_536


Errors = type[Exception] | tuple[type[Exception], ...]


def corpora() -> dict[str, tuple[Callable[[bytes], object], Errors, bytes]]:
    """Return every other decoder: what it reads, the one error it raises, and an honest example."""
    scene = stop_before("Open")
    freeze = decode(messages.Freeze, decode(Signed, sent(scene, "Freeze"), LIMIT_BULK).body, LIMIT_BULK)
    note, federation = freeze.proof.checkpoint, scene.federation
    origin, checkpoint = "fed/rounds", read_checkpoint(note)
    line = scene.body(messages.Open).cosignatures[0]
    key = federation.members[line.member].public
    pushed = federation.roster
    text = "sa1_AAAAAAAAAAAAAAAA"
    return {
        "note": (parse, VerificationFailed, note),
        "checkpoint": (read_checkpoint, VerificationFailed, note),
        "signed checkpoint": (
            lambda data: open_checkpoint(data, origin, federation.aggregator.public), VerificationFailed, note,
        ),
        "cosignature": (
            lambda data: verify_cosignature(checkpoint, data, f"fed/{line.member}", key), VerificationFailed, line.line,
        ),
        "statement": (parse_statement, VerificationFailed, freeze.leaf),
        "tile": (lambda data: tiles.split(data, 0, 2), VerificationFailed, tiles.join([b"one", b"two"])),
        "model": (decode_model, BadInput, MODEL),
        "roster": (lambda data: open_roster(data, "sha256:00", 0, None), (VerificationFailed, WireError), pushed),
        "token": (lambda data: read_token(data.decode("latin-1")), BadInput, text.encode()),
        "routing": (lambda data: read_routing([data, b"", b""]), WireError, encode(Routing("a", "note", b"id"))),
        "stamped": (lambda data: read_stamped([data, b"", b""]), WireError, encode(Stamped("a", "note", b"id"))),
    }  # fmt: skip


MODEL = (58).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}    ' + bytes(4)


def sent(scene: Scene, kind: str) -> bytes:
    return next(item.data for item in scene.table.wire if getattr(item, "to", "") == scene.victim and item.kind == kind)


CORPORA = corpora()


@pytest.mark.parametrize("name", CORPORA)
def test_every_other_decoder_has_one_error_too(name: str) -> None:
    read, error, honest = CORPORA[name]
    others = [example for _, _, example in CORPORA.values()]
    refused = 0
    for data in broken(honest, others, 600, name.encode()):
        try:
            read(data)
        except error:
            refused += 1
    assert refused > 300


def refused(act: Callable[[], object]) -> bool:
    """Say whether something was refused as a peer's fault; any other error is ours, and fails the test."""
    try:
        act()
    except (ProtocolViolation, VerificationFailed):
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_stays_in_its_phase_whatever_the_aggregator_signs(kind: str) -> None:
    """The malicious aggregator signs broken bodies correctly; a piece that does not open is no fault, but missing."""
    scene = stop_before(kind)
    before, honest = scene.party.phase, decode(Signed, scene.message.data, LIMIT_BULK)
    assert before is not None
    others = [item.data for item in scene.table.wire]
    count = 0
    for body in broken(honest.body, others, 250, kind.encode()):
        forged = sign(scene.federation.aggregator, kind, scene.scope, AGGREGATOR, scene.victim, body)
        count += refused(lambda forged=forged: node.advance(before, forged, scene.party.ctx))  # type: ignore[misc]
        assert refused(lambda body=body: scene.deliver(body))  # type: ignore[misc]
    assert count > (100 if kind == "DeliverShares" else 200)
    assert scene.deliver(scene.message.data).phase is not before


def test_a_node_without_a_round_refuses_every_broken_proposal() -> None:
    scene = stop_before("MemberKeys")
    honest = sent(scene, "Propose")
    fresh = party(scene.federation, scene.victim)
    for data in broken(honest, [scene.message.data], 300):
        if data != honest:
            assert refused(lambda data=data: node.start(decode(shared.Propose, data, LIMIT_BULK), fresh.ctx))  # type: ignore[misc]
    node.start(decode(shared.Propose, honest, LIMIT_BULK), fresh.ctx)


def around(kind: str, honest: bytes) -> tuple[Signed, Callable[[Signed], bytes]]:
    """Return the signed part of a member's message, and what puts another one in its place."""
    if kind == "ShareKeys":
        shares = decode(messages.ShareKeys, honest, LIMIT_BULK)
        return shares.shares, lambda signed: encode(replace(shares, shares=signed))
    if kind == "ConsistencyCheck":
        check = decode(messages.ConsistencyCheck, honest, LIMIT_BULK)
        return check.agreement, lambda signed: encode(replace(check, agreement=signed))
    return decode(Signed, honest, LIMIT_BULK), encode


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_aggregator_stays_in_its_phase_whatever_a_member_signs(kind: str) -> None:
    federation = make(4)
    seated = table(federation, inputs_of(federation, propose(federation)), {})
    tried: list[bool] = []

    def instead(item: FromNode | Send) -> None:
        """Show the aggregator broken messages in the moment the honest one is on its way."""
        if not isinstance(item, FromNode) or (item.kind, item.sender) != (kind, "node-03"):
            return
        inner, put_back = around(kind, item.data)
        phase, others = seated.phase, [other.data for other in seated.wire]
        assert phase is not None
        scope = phase.scope
        receiver = AGGREGATOR if kind == "Unmask" else EVERYBODY
        for body in broken(inner.body, others, 200, kind.encode()):
            signed = sign(federation.members["node-03"], kind, scope, "node-03", receiver, body)
            for data in (put_back(signed), body):
                event = FromNode("node-03", kind, data)
                tried.append(refused(lambda event=event: aggregator.advance(phase, event, seated.keeper)))  # type: ignore[misc]

    seated.wire = Wiretap(instead)
    end = run_round(seated)
    assert isinstance(end, Closed)
    assert end.published.contributors == tuple(federation.members)
    assert tried.count(True) > 0.9 * len(tried) > 300


class Breaking:
    """A member and a broker that send every service broken copies of everything that was ever on the wire."""

    def __init__(self, ward: Ward) -> None:
        self.ward, self.seen, self.count = ward, list[tuple[str, Received]](), 0
        ward.network._fate = self._keep

    def _keep(self, to: str, message: Received) -> tuple[Received, ...]:
        self.seen.append((to, message))
        return self.ward._count(to, message)

    async def everything(self, number: int) -> None:
        """Send `number` broken copies of each kind of message that was seen; ids are new, so none counts as known."""
        kinds = {(to == AGGREGATOR, message.kind): (to, message) for to, message in self.seen}
        others = [message.body for _, message in self.seen]
        for to, message in kinds.values():
            seed = message.kind.encode()
            headers = broken(message.header[:4096], others, number, seed)
            for header, body in zip(headers, broken(message.body, others, number, seed), strict=True):
                for bent in ({"header": header}, {"body": body}, {"header": header, "body": body}):
                    self.count += 1
                    id = self.count.to_bytes(16, "big") if message.id else b""
                    self.ward.network.deliver(to, replace(message, id=id, **bent))
                await self.ward.settle()


def test_living_services_refuse_everything_broken_and_close_the_round(tmp_path: Path) -> None:
    """`fail` in a log is an error that nobody expected; `refuse` is a fault that was found and named."""
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    breaking = Breaking(ward)

    async def script(_: object) -> None:
        await ward.start_nodes()
        ward.submit()
        await ward.wait(8)
        assert ward.named("round_closed")
        await breaking.everything(12)
        ward.submit(name="second", task="task")
        await ward.wait(8)
        await ward.stop_nodes()

    ward.play(script)
    logs = {AGGREGATOR: ward.log.getvalue(), **{name: node.log.getvalue() for name, node in ward.nodes.items()}}
    for name, log in logs.items():
        events = [json.loads(line) for line in log.splitlines()]
        assert not [event for event in events if event["event"] == "fail"], name
    assert sum(log.count('"refuse"') for log in logs.values()) > 200
    assert breaking.count > 500
    closed = ward.named("round_closed")
    assert [event["job"] for event in closed] == ["job", "second"]
    assert closed[1]["contributors"] == list(ward.nodes)


def test_a_key_server_refuses_everything_broken_and_goes_on_enrolling(tmp_path: Path) -> None:
    """Strangers may write to it, so what it reads first is theirs; members ask for rosters and say that they start."""

    async def script(office: Office) -> None:
        member = await office.enrol("charite")
        newcomer = newcomer_of(await office.token("uniklinik"), b"uniklinik")
        honest = {ENROL: newcomer.request(office.now), ROSTER: encode(RosterRequest(0)), BOOT: b"\x92\xc4\x00\xc4\x00"}
        for kind, body in honest.items():
            for number, bent in enumerate(broken(body, list(honest.values()), 150, kind.encode())):
                for sender, key in ((member.member.name, b""), ("guest-0123", newcomer.member.curve_key)):
                    id = f"{kind}{number}{sender[:4]}".encode()[:16].ljust(16, b".")
                    header = bent[:4096] if number % 3 else b""
                    office.network.deliver("keyserver", Received(sender, kind, id, header, bent, key))
                await settle()
        assert isinstance(await office.knock(newcomer), Waiting)
        await office.approve(newcomer)
        assert isinstance(await office.knock(newcomer), Admitted)

    office = Office(tmp_path).play(script)
    lines = office.logged()
    assert not [line for line in lines if line["event"] == "fail"]
    assert sum(line["event"].startswith("refuse") for line in lines) > 300


def test_a_trustee_refuses_everything_broken_and_opens_the_round(tmp_path: Path) -> None:
    """Before every message that reaches a trustee it gets broken copies of it, from the same sender."""
    chamber, count = Chamber(entrusted.make(4), tmp_path), [0]

    def fate(to: str, message: Received) -> tuple[Received, ...]:
        if to not in chamber.trustees or message.kind == "ack":
            return (message,)
        count[0] += 1
        bodies = list(broken(message.body, [message.header], 4, str(count).encode()))[-7:]
        headers = list(broken(message.header, [message.body], 4, str(count).encode()))[-4:]
        bent = [replace(message, id=b"", body=body) for body in bodies]
        return (*bent, *(replace(message, id=b"", header=header) for header in headers), message)

    chamber.network._fate = fate

    async def script(room: Chamber) -> None:
        await room.begin()

    chamber.play(script)
    assert chamber.sums().published.contributors == tuple(chamber.table.parties)
    logs = [json.loads(line) for one in chamber.trustees.values() for line in one.log.getvalue().splitlines()]
    assert not [line for line in logs if line["event"] == "fail"]
    assert sum(line["event"] == "refuse" for line in logs) > 100
