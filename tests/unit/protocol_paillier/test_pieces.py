"""Answers longer than a message: cut, sealed and signed piece by piece, put together only when all are there."""

from typing import cast

import pytest

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.partial import Partial
from secagg.errors import ProtocolViolation
from secagg.protocol.paillier import aggregator, trustee
from secagg.protocol.paillier.messages import PIECE, Answer
from secagg.protocol.paillier.opening import read_answer
from secagg.protocol.paillier.phases import Answered, Decrypted, TrusteePhase
from secagg.protocol.paillier.rounds import Combine, Opening
from secagg.protocol.round.events import FromNode, Keep
from secagg.transport.link import LIMIT_BODY
from support.entrusted import make
from support.malice import Scene, listed, stop_before


def answered(size: int, name: str = "ana", scene: Scene | None = None) -> tuple[Scene, Answer, list[bytes]]:
    """Return what a trustee sends whose partial decryptions have `size` bytes."""
    found = scene or stop_before("Freeze", entrusted=make(3, parameters=180_000))
    if scene is None:
        asked = found.witnessed(listed(*found.headers().values()))
        for each in found.played.holders:
            found.show(asked, "Open", each)
    phase, ctx = cast(TrusteePhase, found.holder(name).phase), found.holder(name).ctx
    values = bytes(index % 251 for index in range(size))
    answer = Answer(sha256(listed(*found.headers().values())), Partial(values, bytes(16), bytes(9)))
    assert phase is not None
    step = trustee.advance(phase, Decrypted(answer), ctx)
    assert isinstance(step.phase, Answered)
    assert {kind for kind, _ in step.send} == {"Decrypt"}
    return found, answer, [data for _, data in step.send]


def opening(scene: Scene) -> Opening:
    names = tuple(scene.played.holders)
    u, note = listed(*scene.headers().values()), scene.played.log.checkpoint
    signed = scene.headers()["node-00"]
    return Opening(scene.scope, scene.played.manifest, signed, (), names, names, u, note, (), (), b"", names)


SCENE, ANSWER, SENT = answered(PIECE + 500)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0, 1)])
def test_pieces_in_any_order_make_one_answer(order: tuple[int, ...]) -> None:
    phase = opening(SCENE)
    kept: dict[bytes, bytes] = {}
    for index in order:
        turned = aggregator.advance(phase, FromNode("ana", "Decrypt", SENT[index]), SCENE.played.keeper)
        kept |= {sha256(effect.data): effect.data for effect in turned.effects if isinstance(effect, Keep)}
        assert isinstance(turned.phase, Opening)
        phase = turned.phase
    ordered = sorted(phase.answers, key=lambda piece: piece.index)
    assert read_answer([kept[piece.digest] for piece in ordered]) == ANSWER
    assert [(piece.index, piece.count) for piece in ordered] == [(0, 2), (1, 2)]
    assert phase.doubled == ()


def test_every_piece_fits_a_message() -> None:
    assert len(SENT) == 2
    assert max(map(len, SENT)) < LIMIT_BODY


def test_half_an_answer_is_none() -> None:
    _, _, other = answered(PIECE + 500, "ben", SCENE)
    phase = opening(SCENE)
    for sender, data in (("ana", SENT[0]), ("ben", other[0]), ("ben", other[1])):
        turned = aggregator.advance(phase, FromNode(sender, "Decrypt", data), SCENE.played.keeper)
        assert not any(isinstance(effect, Combine) for effect in turned.effects)
        assert isinstance(turned.phase, Opening)
        phase = turned.phase
    assert aggregator.waiting_for(phase) == ("ana", "cyd")
    turned = aggregator.advance(phase, FromNode("ana", "Decrypt", SENT[1]), SCENE.played.keeper)
    assert any(isinstance(effect, Combine) for effect in turned.effects)


def test_more_pieces_than_an_answer_can_have_are_refused() -> None:
    short = stop_before("Freeze")
    asked = short.witnessed(listed(*short.headers().values()))
    short.show(asked, "Open", "ana")
    _, _, sent = answered(2 * PIECE, "ana", short)
    for data in sent:
        with pytest.raises(ProtocolViolation) as caught:
            aggregator.advance(opening(short), FromNode("ana", "Decrypt", data), short.played.keeper)
        assert caught.value.rule == "answer.pieces"


def test_pieces_of_two_answers_do_not_mix() -> None:
    phase = opening(SCENE)
    turned = aggregator.advance(phase, FromNode("ana", "Decrypt", SENT[0]), SCENE.played.keeper)
    _, _, whole = answered(500, "ana", SCENE)
    with pytest.raises(ProtocolViolation) as caught:
        aggregator.advance(turned.phase, FromNode("ana", "Decrypt", whole[0]), SCENE.played.keeper)
    assert caught.value.rule == "answer.pieces"


def test_what_is_no_answer_is_a_wrong_one() -> None:
    assert read_answer([]).u == bytes(32)
    assert read_answer([b"no message"]).partial is None
