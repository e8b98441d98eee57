"""Row 55: a member that makes lists, proofs or other members' messages longer than any message may be.

msgpack takes a field that is said twice, so that a signed body of a hundred bytes may be a megabyte and mean the same.
In a list, that everybody is sent, it would stop every round of everybody, with nobody named. In an answer with a wrong
share, the proof of it would be too long to be one, and the round lost. So would a piece for one member stop that one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.seal import seal
from secagg.crypto.sign import SigningKey
from secagg.errors import ProtocolViolation, Refused, WireError
from secagg.ids import EVERYBODY
from secagg.log.statements import Aborted, parse_statement
from secagg.protocol.masks import keys
from secagg.protocol.masks import shell as aggregator
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import PIECE_BYTES, ConsistencyCheck, ShareKeys, ShareList, Unmask
from secagg.protocol.paillier.ending import check_words
from secagg.protocol.paillier.phases import TrusteePhase
from secagg.protocol.round.events import FromNode, Send
from secagg.protocol.round.messages import Ended, Refuse
from secagg.protocol.session import AbortNotice, RoundHeader
from secagg.rehearsal.entrusted import Entrusted, entrust
from secagg.rehearsal.federation import AGGREGATOR, party, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.transport.link import LIMIT_BODY, Received
from secagg.wire.codec import decode, decode_exact, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.adversary import Wiretap
from support.aggregating import Hall, Member
from support.entrusted import dealt as dealt_keys
from support.entrusted_hall import EntrustedHall
from support.federation import counted_rng, inputs_of, job, make, names_of

pytestmark = pytest.mark.usefixtures("short_keys")

BAD = "node-03"
STEPS = ("AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask")


def padded(body: bytes, times: int = 3) -> bytes:
    """Return the same value with every field said so often."""
    fields = body[0] - 0x80
    assert 0 < fields < 16
    return b"\xdf" + (fields * times).to_bytes(4, "big") + body[1:] * times


def test_what_says_a_field_twice_is_in_another_form() -> None:
    honest = encode(ShareList(bytes(32), bytes(32), bytes(32)))
    assert decode(ShareList, padded(honest)) == decode_exact(ShareList, honest)
    with pytest.raises(WireError) as caught:
        decode_exact(ShareList, padded(honest))
    assert caught.value.rule == "wire.form"


class Padding:
    """What a member would say, with its body said over and over."""

    def __init__(self, played: Table, key: SigningKey) -> None:
        self._played, self._key = played, key

    def again(self, signed: Signed, times: int = 3) -> Signed:
        """Sign the padded body in the slot of the honest one."""
        assert self._played.phase
        return sign(
            self._key, signed.kind, self._played.phase.scope, signed.sender, signed.receiver,
            padded(signed.body, times),
        )  # fmt: skip

    def of(self, item: FromNode) -> bytes:
        """Return the padded message of one step."""
        match item.kind:
            case "ShareKeys":
                dealt = decode(ShareKeys, item.data, LIMIT_BULK)
                return encode(replace(dealt, shares=self.again(dealt.shares)))
            case "ConsistencyCheck":
                said = decode(ConsistencyCheck, item.data)
                return encode(replace(said, agreement=self.again(said.agreement)))
            case "Unmask":
                return self._answer(decode(Signed, item.data, LIMIT_BULK))
            case _:
                return encode(self.again(decode(Signed, item.data)))

    def _answer(self, envelope: Signed) -> bytes:
        phase, opening = self._played.phase, self._played.keeper.opening
        assert phase
        info = keys.answer_info(phase.scope, BAD, AGGREGATOR)
        inner = decode(Signed, opening.open(decode(Unmask, envelope.body).sealed, info), LIMIT_BULK)
        sealed = seal(opening.public, encode(self.again(inner)), info)
        return encode(sign(self._key, "Unmask", phase.scope, BAD, AGGREGATOR, encode(Unmask(sealed))))


def test_no_body_of_a_member_counts_in_a_longer_form() -> None:
    """Nothing that a member signs in a round; the honest message, right behind it, counts."""
    seated, seen = make(4), dict[str, str]()
    played = table(
        seated, inputs_of(seated, propose(seated)), {}, parties={n: party(seated, n) for n in seated.members}
    )
    pad = Padding(played, seated.members[BAD])

    def act(item: FromNode | Send) -> None:
        if not isinstance(item, FromNode) or item.sender != BAD:
            return
        assert played.phase
        leave = encode(
            sign(seated.members[BAD], "Refuse", played.phase.scope, BAD, EVERYBODY, padded(encode(Refuse("other"))))
        )
        for kind, data in ((item.kind, pad.of(item)), ("Refuse", leave)):
            with pytest.raises(ProtocolViolation) as caught:
                aggregator.advance(played.phase, FromNode(BAD, kind, data), played.keeper)
            seen[kind] = caught.value.rule

    played.wire = Wiretap(act)
    run_round(played)
    assert seen == dict.fromkeys((*STEPS, "Refuse"), "wire.form")


class Longer(Member):
    """A member that makes what it deals longer; `bend` says how."""

    bend: Callable[[ShareKeys], ShareKeys]

    async def hear(self, message: Received) -> None:
        """Care for no rule."""
        with suppress(Refused):
            await super().hear(message)

    async def say(self, header: object, data: bytes) -> None:
        if getattr(header, "kind", "") == "ShareKeys":
            data = encode(self.bend(decode(ShareKeys, data, LIMIT_BULK)))
        await super().say(header, data)  # type: ignore[arg-type]

    def sign_list(self, listed: bytes) -> Signed:
        """Sign a list of this attempt."""
        assert self.phase
        return sign(self.federation.members[self.name], "ShareKeys", self.phase.scope, self.name, EVERYBODY, listed)


def dealing(self: Longer, dealt: ShareKeys, first: int) -> ShareKeys:
    """Return pieces of nothing under their signed root, the first one so long."""
    pieces = (bytes(first), *(b"" for _ in dealt.pieces[1:]))
    leaves = tuple(replace(leaf, piece=sha256(piece)) for leaf, piece in zip(dealt.leaves, pieces, strict=True))
    listed = replace(decode(ShareList, dealt.shares.body), root=tree_of(self.name, leaves).root())
    return replace(dealt, shares=self.sign_list(encode(listed)), leaves=leaves, pieces=pieces)


def a_long_list(self: Longer, dealt: ShareKeys) -> ShareKeys:
    """As long as its own message has room for: the list of all is longer."""
    short = dealing(self, dealt, 0)
    room = LIMIT_BODY - len(encode(short)) - 8
    return replace(short, shares=self.sign_list(padded(short.shares.body, room // (len(short.shares.body) - 1))))


def a_long_piece(self: Longer, dealt: ShareKeys) -> ShareKeys:
    """As long as its own message has room for: that of its receiver has more to hold."""
    room = LIMIT_BODY - len(encode(dealing(self, dealt, 0))) - 8
    return dealing(self, dealt, room)


@pytest.mark.parametrize("bend", [a_long_list, a_long_piece])
def test_a_member_that_says_more_than_fits_stops_itself(bend: Callable[..., ShareKeys], tmp_path: Path) -> None:
    hall = Hall(make(4, chunk_bytes=4096), tmp_path / "state")
    bad = hall.members[BAD]
    bad.__class__ = Longer
    bad.bend = partial(bend, bad)  # type: ignore[attr-defined]

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        for _ in range(12):
            await stage.wait(2)

    hall.play(script)
    (closed,) = hall.named("round_closed")
    assert closed["contributors"] == ["node-00", "node-01", "node-02"]
    assert [entry["member"] for entry in closed["dropped"]] == [BAD]


def test_an_honest_piece_is_as_long_as_any_may_be() -> None:
    seated = make(4)
    played = table(
        seated, inputs_of(seated, propose(seated)), {}, parties={n: party(seated, n) for n in seated.members}
    )
    run_round(played)
    dealt = [
        decode(ShareKeys, one.data, LIMIT_BULK)
        for one in played.wire
        if isinstance(one, FromNode) and one.kind == "ShareKeys"
    ]
    assert {len(piece) for one in dealt for piece in one.pieces} == {PIECE_BYTES}


# What trustees say ---------------------------------------------------------------------------------------------------


def federation() -> Entrusted:
    """Return four nodes and three trustees whose key is long enough for a job."""
    key, shares = dealt_keys(3, 2)
    spec = job(names_of(4), purpose="sum", bits=64, scalars=())
    return entrust(names_of(4), spec, key, dict(zip(key.trustees, shares, strict=True)), counted_rng(b"words"))


async def say_ended(hall: EntrustedHall, name: str, body: bytes) -> None:
    """Let a trustee sign these bytes as its word that the attempt is over."""
    phase = cast(TrusteePhase, hall.trustees[name].holder.phase)
    assert phase
    word = sign(hall.entrusted.trustees[name], "Ended", phase.scope, name, EVERYBODY, body)
    header = encode(RoundHeader(phase.scope.round, "Ended"))
    await hall.trustees[name].link.send(AGGREGATOR, "round", header, encode(word))
    await hall.settle()


def test_a_trustees_word_that_is_none_reaches_no_node(tmp_path: Path) -> None:
    """Every node would refuse the notice that holds it, with the words of all other trustees, and stay bound."""
    hall, told = EntrustedHall(federation(), tmp_path / "state"), list[AbortNotice]()
    held = hall.network._fate

    def fate(to: str, message: Received) -> Sequence[Received]:
        if message.kind == "aborted" and to.startswith("node"):
            told.append(decode(AbortNotice, message.body, LIMIT_BULK))
        return held(to, message)

    hall.network._fate = fate

    async def script(stage: Hall) -> None:
        await stage.push()
        for name in ("node-01", "node-02", "node-03"):
            stage.members[name].silent = "MaskedInput"
        stage.submit()
        for _ in range(6):
            await (stage.settle() if stage.named("round_aborted") else stage.wait(2))
        for name, body in (("ana", b"\xc0"), ("ana", b"\x80\x80"), ("ben", encode(Ended())), ("cyd", encode(Ended()))):
            await say_ended(hall, name, body)

    hall.play(script)
    assert {word.sender for notice in told for word in notice.words} == {"ben", "cyd"}
    for notice in told:
        check_words(notice.words, hall.entrusted.custody, Scope(notice.round, scope_of(notice)))


def scope_of(notice: AbortNotice) -> bytes:
    """Return the manifest that the logged end names."""
    statement = parse_statement(notice.leaf)[0]
    assert isinstance(statement, Aborted)
    return bytes.fromhex(statement.manifest)
