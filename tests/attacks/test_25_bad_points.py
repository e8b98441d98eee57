"""Row 25: points of small order, points in a second form, and malformed integers, inside real messages.

A key is judged when it comes in. One that was looked at only when it is used would stop every honest member in the
middle of a round. Nobody would know whose it was.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from secagg.errors import BadSignature, ProtocolViolation, Refused, WireError
from secagg.ids import EVERYBODY
from secagg.protocol.masks import aggregator, node
from secagg.protocol.masks.messages import AdvertiseKeys, Freeze, MaskedInput, MemberKeys, OpenBeacon
from secagg.protocol.masks.phases import Agreed, Held
from secagg.protocol.masks.rounds import Advertising
from secagg.protocol.round.events import FromNode, Send
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import party, propose, table
from secagg.rehearsal.run import run_round
from secagg.roster.messages import Denied, Enrolment, EnrolRequest
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, Wiretap, proposal_of, stop_before
from support.federation import inputs_of, make, reference
from support.keyservers import Office, newcomer_of

P = 2**255 - 19
PRIME = 2**256 + 297
X_SMALL = [0, 1, P - 1]
X_SMALL += [int.from_bytes(bytes.fromhex(text), "little") for text in (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)]  # fmt: skip
Y_SMALL = [0, 1, P - 1]
Y_SMALL += [int.from_bytes(bytes.fromhex(text), "little") for text in (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)]  # fmt: skip
SECOND_FORMS = [P + 9, P, P + 1, 2**255 - 1, 2**255 + 9]
"""Numbers above the prime, or with the bit that X25519 masks: the key of another number, written differently."""

LIAR = "node-03"


def point(number: int) -> bytes:
    return number.to_bytes(32, "little")


def with_keys(scene: Scene, **changed: bytes) -> Signed:
    """Return the liar's keys, changed and signed by itself."""
    entries = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    body = replace(decode(AdvertiseKeys, entries[3].body), **changed)
    return sign(scene.federation.members[LIAR], "AdvertiseKeys", scene.scope, LIAR, EVERYBODY, encode(body))


def bad_keys(honest: bytes) -> list[dict[str, bytes]]:
    found: list[dict[str, bytes]] = [{"mask_key": point(number)} for number in X_SMALL + SECOND_FORMS]
    found += [{"seal_key": honest[:1184] + point(number)} for number in X_SMALL + SECOND_FORMS]
    return [*found, {"seal_key": b"\xff" * 1184 + honest[1184:]}]


def test_a_members_bad_key_is_refused_by_name_by_every_node() -> None:
    scene = stop_before("MemberKeys")
    entries = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    for changed in bad_keys(decode(AdvertiseKeys, entries[3].body).seal_key):
        with pytest.raises(Refused, match=LIAR) as caught:
            scene.show(MemberKeys(encode((*entries[:3], with_keys(scene, **changed)))))
        assert caught.value.rule == "u1.key"


def test_a_members_bad_key_never_gets_past_the_aggregator() -> None:
    scene = stop_before("MemberKeys")
    entries = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    manifest, ctx = scene.table.manifest, scene.table.keeper
    waiting = Advertising(scene.scope, manifest, entries[0], (), entries[:3])
    for changed in bad_keys(decode(AdvertiseKeys, entries[3].body).seal_key):
        with pytest.raises(ProtocolViolation):
            aggregator.advance(waiting, FromNode(LIAR, "AdvertiseKeys", encode(with_keys(scene, **changed))), ctx)
    taken = aggregator.advance(waiting, FromNode(LIAR, "AdvertiseKeys", encode(entries[3])), ctx)
    assert type(taken.phase) is not Advertising


@pytest.mark.parametrize("number", X_SMALL, ids=hex)
def test_an_opening_key_of_small_order_is_refused_before_anything_is_done(number: int) -> None:
    federation = make(4)
    honest = propose(federation)
    lie = replace(honest, opening_key=honest.opening_key[:1184] + point(number))
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(federation, lie), party(federation, "node-00").ctx)
    assert caught.value.rule == "manifest.opening_key"


@pytest.mark.parametrize("sign_bit", [0, 2**255], ids=["even", "odd"])
@pytest.mark.parametrize("number", [*Y_SMALL, *(y + P for y in (0, 1))], ids=hex)
def test_a_member_with_a_signing_key_of_small_order_speaks_for_nobody(number: int, sign_bit: int) -> None:
    """Under such a key anybody makes signatures that hold: what it "said" would be evidence against nobody.

    R of each of the small points and S = 0 holds for one message in eight at most, whatever the message: so try many.
    """
    federation = make(4)
    public = point(number | sign_bit)
    weak = tuple(replace(seat, key=public) if seat.name == LIAR else seat for seat in federation.seats)
    manifest = replace(propose(federation), members=weak)
    scene = stop_before("MemberKeys", federation=federation)
    entries = decode(tuple[Signed, ...], scene.body(MemberKeys).u1, LIMIT_BULK)
    keys = decode(AdvertiseKeys, entries[3].body)
    waiting = Advertising(scene.scope, manifest, entries[0], (), entries[:3])
    for size in range(40):
        body = encode(replace(keys, log_size=size))
        for r in (*Y_SMALL, *(y + 2**255 for y in Y_SMALL)):
            forged = replace(entries[3], body=body, signature=point(r) + bytes(32))
            with pytest.raises(BadSignature):
                aggregator.advance(waiting, FromNode(LIAR, "AdvertiseKeys", encode(forged)), scene.table.keeper)


@pytest.mark.parametrize("which", ["sign_key", "token_key"])
@pytest.mark.parametrize("number", Y_SMALL, ids=hex)
def test_nobody_enrols_with_a_key_that_anybody_can_sign_with(number: int, which: str, tmp_path: Path) -> None:
    """A member with such a key could deny whatever it signed; a token's would let anybody in its place."""

    async def script(office: Office) -> None:
        newcomer = newcomer_of(await office.token())
        honest = decode(Enrolment, newcomer.request(office.now))
        request = encode(replace(decode(EnrolRequest, honest.request), **{which: point(number)}))
        for r in (*Y_SMALL, *(y + 2**255 for y in Y_SMALL)):
            anybodys = point(r) + bytes(32)
            for by_member, by_token in ((anybodys, honest.by_token), (anybodys, anybodys)):
                reply = await office.knock(newcomer, encode(Enrolment(request, by_member, by_token)))
                assert isinstance(reply, Denied)
        assert not [member for member in await office.ask("member.list") if member["name"] == newcomer.member.name]

    Office(tmp_path).play(script)


@pytest.mark.parametrize(
    "form", [lambda share: 2**264 - 1, lambda share: PRIME, lambda share: share + PRIME], ids=["most", "zero", "second"]
)
def test_a_share_outside_the_field_names_its_holder_and_changes_no_sum(form: Callable[[int], int]) -> None:
    """33 bytes hold every element of the field many times over; only the smallest of its forms is a share."""
    federation = make(5)
    seated = table(federation, inputs_of(federation, propose(federation)), {})

    def spoil(item: FromNode | Send) -> None:
        if isinstance(item, Send) and (item.kind, item.to) == ("Open", LIAR):
            member = seated.parties[LIAR]
            assert isinstance(member.phase, Agreed)
            bent = ((one, form(int.from_bytes(one.seed, "big"))) for one in member.phase.held)
            held = tuple(Held(one.owner, number.to_bytes(33, "big"), one.key) for one, number in bent)
            member.phase = replace(member.phase, held=held)

    seated.wire = Wiretap(spoil)
    end = run_round(seated)
    assert isinstance(end, Closed)
    assert [(out.member, out.step) for out in end.out] == [(LIAR, "Unmask")]
    assert {group.name: group.words for group in end.published.groups} == reference(seated.inputs, federation.members)


NO_NUMBERS: list[object] = [-1, 2**63, 2**64 - 1, -(2**63), 1.5, True, None, "1", b"1", [1], float("nan"), float("inf")]


def numbered() -> list[tuple[type[Struct], str, dict[str, object]]]:
    """Return (type, field, honest content) of every integer in the messages and the manifest of a round."""
    scene = stop_before("Freeze")
    freeze = scene.body(Freeze)
    entries = decode(tuple[Signed, ...], freeze.u3, LIMIT_BULK)
    keys = decode(AdvertiseKeys, decode(Signed, scene.captured("AdvertiseKeys")[0].data).body)
    contents = [
        scene.table.manifest, scene.table.manifest.round, scene.table.manifest.groups[0], keys, freeze.proof,
        decode(MaskedInput, entries[0].body), OpenBeacon(0, bytes(32), bytes(32)), scene.federation.spec,
        scene.federation.spec.lanes[0], scene.federation.spec.lanes[0].codec,
    ]  # fmt: skip
    found = []
    for content in contents:
        fields = msgspec.to_builtins(content, builtin_types=(bytes,))
        found += [(type(content), name, fields) for name, value in fields.items() if type(value) is int]
    return found


NUMBERED = numbered()


def test_the_integers_of_a_round_are_all_tried() -> None:
    names = {f"{kind.__name__}.{name}" for kind, name, _ in NUMBERED}
    assert names > {"Manifest.threshold", "LogProof.old_size", "MaskedInput.length", "RoundId.attempt", "Offset.bits"}


@pytest.mark.parametrize(("kind", "name", "honest"), NUMBERED, ids=[f"{kind.__name__}.{n}" for kind, n, _ in NUMBERED])
def test_an_integer_that_is_none_is_a_wire_error(kind: type[Struct], name: str, honest: dict[str, object]) -> None:
    assert decode(kind, msgspec.msgpack.encode(honest), LIMIT_BULK)
    for value in NO_NUMBERS:
        if name == "clip_log2" and value == -1:
            continue  # A clip below one.
        with pytest.raises(WireError):
            decode(kind, msgspec.msgpack.encode({**honest, name: value}), LIMIT_BULK)
