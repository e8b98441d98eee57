"""Row 20: a trustee that answers twice. An honest one decides once, dishonest ones are too few, both are kept."""

from contextlib import suppress

import pytest
from msgspec.structs import replace

from secagg.crypto.seal import seal
from secagg.errors import ProtocolViolation, Refused
from secagg.log.statements import Equivocation
from secagg.protocol.custody import check_custody
from secagg.protocol.memory import Opened
from secagg.protocol.paillier import aggregator
from secagg.protocol.paillier.decrypting import answer, collect
from secagg.protocol.paillier.messages import Answer, Decrypt, Piece
from secagg.protocol.paillier.opening import read_answer
from secagg.protocol.paillier.phases import Decrypting
from secagg.protocol.paillier.rounds import Opening
from secagg.protocol.paillier.trustee import answer_info
from secagg.protocol.round.events import FromNode
from secagg.rehearsal.entrusted import propose
from secagg.wire.codec import encode
from secagg.wire.signed import sign
from support.entrusted import make
from support.malice import Scene, listed, stop_before


def opened(scene: Scene, *names: str) -> list[Answer]:
    """Have trustees open the honest set."""
    asked = scene.witnessed(listed(*scene.headers().values()))
    return [scene.opens(name, asked, scene.played.uploads) for name in names]


def test_a_later_attempt_is_refused_after_an_opening() -> None:
    scene = stop_before("Freeze")
    opened(scene, "ana")
    with pytest.raises(Refused) as caught:
        scene.attempt(propose(scene.entrusted, attempt=2))
    assert caught.value.rule == "attempt.opened"


def test_an_attempt_that_a_later_one_ended_is_not_opened() -> None:
    scene = stop_before("Freeze")
    asked = scene.witnessed(listed(*scene.headers().values()))
    phase = scene.holder().phase
    scene.attempt(propose(scene.entrusted, attempt=2))
    scene.holder().phase = phase
    with pytest.raises(Refused) as caught:
        scene.opens("ana", asked, scene.played.uploads)
    assert caught.value.rule == "attempt.superseded"


def test_two_attempts_that_both_wait_are_opened_once() -> None:
    """The record decides, not the phase: a shell that kept both attempts could not open the second either."""
    scene = stop_before("Freeze")
    asked = scene.witnessed(listed(*scene.headers().values()))
    phase = scene.holder().phase
    scene.opens("ana", asked, scene.played.uploads)
    scene.holder().phase = phase
    with pytest.raises(Refused) as caught:
        scene.show(asked, "Open")
    assert caught.value.rule == "attempt.opened"


def test_a_second_set_is_not_witnessed_and_not_opened() -> None:
    scene = stop_before("Freeze")
    everybody = listed(*scene.headers().values())
    three = listed(*(signed for name, signed in scene.headers().items() if name != "node-03"))
    asked = scene.witnessed(everybody)
    with pytest.raises(ProtocolViolation) as caught:
        scene.show(scene.logged(three)("ana"), "Freeze")
    assert caught.value.rule == "phase.message"
    scene.opens("ana", asked, scene.played.uploads)
    with pytest.raises(ProtocolViolation) as caught:
        scene.show(scene.logged(three)("ana"), "Freeze")
    assert caught.value.rule == "phase.message"


def test_the_decision_is_recorded_before_any_work_on_it() -> None:
    scene = stop_before("Freeze")
    asked = scene.witnessed(listed(*scene.headers().values()))
    step = scene.show(asked, "Open")
    assert step.send == ()
    assert [record.contributors for record in step.records if isinstance(record, Opened)] == [tuple(scene.headers())]


def test_an_answer_is_repeated_byte_for_byte_and_never_made_again() -> None:
    scene = stop_before("Freeze")
    asked = scene.witnessed(listed(*scene.headers().values()))
    scene.opens("ana", asked, scene.played.uploads)
    first, again = scene.show(asked, "Open"), scene.show(asked, "Open")
    assert first.send == again.send
    assert first.send[0][0] == "Decrypt"


def test_two_sets_need_an_honest_trustee_twice() -> None:
    """m = 5, c' = 1, t = 4: whoever opens two sets needs four answers for each; only the dishonest one gives two."""
    entrusted = make(4, trustees=5, threshold=4, colluders=1)
    scene = stop_before("Freeze", entrusted=entrusted)
    assert len(opened(scene, "ana", "ben", "cyd", "dan")) == 4
    willing = []
    for name in scene.played.holders:
        with suppress(Refused):
            scene.attempt(propose(entrusted, attempt=2), name)
            willing.append(name)
    assert willing == ["eve"]
    # Even with every dishonest one they are fewer than t.
    assert len(willing) + entrusted.custody.colluders < entrusted.custody.threshold


@pytest.mark.parametrize(("m", "c", "t"), [(3, 1, 2), (4, 0, 2), (5, 1, 3), (7, 2, 4), (3, 0, 4), (2, 0, 1)])
def test_numbers_under_which_two_sets_could_be_opened_are_refused(m: int, c: int, t: int) -> None:
    honest = make(4, trustees=7, threshold=5, colluders=2).custody
    lying = replace(honest, trustees=honest.trustees[:m], threshold=t, colluders=c)
    with pytest.raises(Refused) as caught:
        check_custody(lying, "fed", honest.trustees, trials=True)
    assert caught.value.rule == "custody.threshold"


def test_both_answers_of_a_trustee_are_kept_and_stated() -> None:
    scene = stop_before("Freeze")
    played, holder = scene.played, scene.holder("ana")
    asked = scene.witnessed(listed(*scene.headers().values()))
    step = scene.show(asked, "Open", "ana")
    assert isinstance(step.phase, Decrypting)
    collector = collect(step.phase)
    for member in tuple(collector.wanted()):
        collector.add(member, played.uploads[member])
    products = collector.close()
    both = [answer(step.phase, scene.entrusted.secrets["ana"], products, holder.ctx.rng).answer for _ in range(2)]
    assert both[0] != both[1]
    phase, kept, stated = _opening(scene), [], []
    for one in both:
        turned = aggregator.advance(phase, FromNode("ana", "Decrypt", _sealed(scene, one)), played.keeper)
        assert isinstance(turned.phase, Opening)
        phase = turned.phase
        kept += [effect.data for effect in turned.effects if hasattr(effect, "data")]
        stated += [effect.statement for effect in turned.effects if hasattr(effect, "statement")]
    assert [read_answer([data]) for data in kept] == both
    (said,) = stated
    assert isinstance(said, Equivocation)
    assert said.member == "ana"
    assert len(set(said.digests)) == 2


def _opening(scene: Scene) -> Opening:
    u = listed(*scene.headers().values())
    note = scene.played.log.checkpoint
    signed = scene.headers()["node-00"]
    names = tuple(scene.played.holders)
    return Opening(scene.scope, scene.played.manifest, signed, (), names, names, u, note, (), (), b"", names)


def _sealed(scene: Scene, given: Answer) -> bytes:
    ctx, manifest = scene.holder("ana").ctx, scene.played.manifest
    piece = Piece(given.u, 0, 1, encode(given))
    inner = sign(ctx.key, "Answer", scene.scope, "ana", manifest.aggregator, encode(piece))
    sealed = seal(manifest.opening_key, encode(inner), answer_info(scene.scope, "ana", manifest.aggregator))
    return encode(sign(ctx.key, "Decrypt", scene.scope, "ana", manifest.aggregator, encode(Decrypt(sealed))))
