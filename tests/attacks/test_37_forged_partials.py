"""Row 37: partial decryptions whose errors cancel between positions, or under squares, beside a true proof."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.numbers import Numbers, coefficients
from secagg.crypto.paillier.partial import _COEFFICIENT_LABEL, Opening, Partial, _context
from secagg.crypto.paillier.powers import public_power
from secagg.crypto.paillier.ring import Ring
from secagg.errors import VerificationFailed
from secagg.protocol.paillier.door import threshold_key
from secagg.protocol.paillier.messages import Answer, Piece
from secagg.protocol.paillier.opening import open_sum
from secagg.protocol.paillier.verify import recompute
from secagg.wire.codec import encode
from secagg.wire.signed import sign
from support.federation import reference
from support.malice import Scene, listed, stop_before

Forgery = Callable[["Stage", Partial], Partial]


class Stage:
    """A round in which every trustee has answered, and what it opened."""

    def __init__(self) -> None:
        self.scene: Scene = stop_before("Freeze")
        self.u = listed(*self.scene.headers().values())
        self.names = tuple(self.scene.headers())
        asked = self.scene.witnessed(self.u)
        uploads = self.scene.played.uploads
        self.answers = {name: self.scene.opens(name, asked, uploads) for name in ("ana", "ben", "cyd")}
        self.ring: Ring = self.scene.layout.ring
        read = [self.ring.read(uploads[name]) for name in self.names]
        self.products = read[0]
        for one in read[1:]:
            self.products = [a * b % self.ring.cipher for a, b in zip(self.products, one, strict=True)]

    def with_forged(self, forgery: Forgery) -> dict[str, Answer]:
        partial = self.answers["ana"].partial
        assert partial is not None
        return {**self.answers, "ana": replace(self.answers["ana"], partial=forgery(self, partial))}

    def values(self, partial: Partial) -> Numbers:
        return self.ring.read(partial.values)

    def put(self, partial: Partial, values: Numbers) -> Partial:
        return replace(partial, values=self.ring.write(values))


def cancelling(stage: Stage, partial: Partial) -> Partial:
    """d_0 · t^(e_1), d_1 · t^(−e_0): the combination under the honest answer's coefficients stays."""
    key, ring, values = threshold_key(stage.scene.entrusted.custody), stage.ring, stage.values(partial)
    opening = Opening(stage.scene.scope.manifest, stage.names)
    context = _context(key, ring, opening, key.index("ana"), stage.products, partial.values)
    weights = coefficients(_COEFFICIENT_LABEL, context, len(values))
    t = ring.base
    values[0] = values[0] * public_power(t, weights[1], ring.cipher) % ring.cipher
    values[1] = values[1] * public_power(t, -weights[0], ring.cipher) % ring.cipher
    return stage.put(partial, values)


def negated(stage: Stage, partial: Partial) -> Partial:
    return stage.put(partial, [stage.ring.cipher - value for value in stage.values(partial)])


def one_negated(stage: Stage, partial: Partial) -> Partial:
    values = stage.values(partial)
    return stage.put(partial, [stage.ring.cipher - values[0], *values[1:]])


def swapped(stage: Stage, partial: Partial) -> Partial:
    return stage.put(partial, stage.values(partial)[::-1])


def anothers(stage: Stage, partial: Partial) -> Partial:
    found = stage.answers["ben"].partial
    assert found is not None
    return found


def anothers_values(stage: Stage, partial: Partial) -> Partial:
    return replace(partial, values=anothers(stage, partial).values)


def trivial(stage: Stage, partial: Partial) -> Partial:
    return stage.put(partial, [stage.ring.embed(stage.ring.n - stage.ring.n)] * len(stage.values(partial)))


def longer_response(stage: Stage, partial: Partial) -> Partial:
    return replace(partial, response=b"\0" + partial.response)


FORGERIES: list[Forgery] = [
    cancelling, negated, one_negated, swapped, anothers, anothers_values, trivial, longer_response,
]  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_answer_names_its_trustee_and_the_round_finishes(forgery: Forgery) -> None:
    stage = Stage()
    manifest = stage.scene.played.manifest
    opened = open_sum(
        manifest, stage.scene.scope, stage.names, sha256(stage.u), stage.products, stage.with_forged(forgery)
    )  # fmt: skip
    assert (opened.wrong, opened.used) == (("ana",), ("ben", "cyd"))
    clear = {name: words.tobytes() for name, words in opened.groups.items()}
    assert clear == reference(stage.scene.played.inputs, stage.names)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_too_few_right_answers_open_nothing(forgery: Forgery) -> None:
    stage = Stage()
    given = {name: answer for name, answer in stage.with_forged(forgery).items() if name != "cyd"}
    opened = open_sum(
        stage.scene.played.manifest, stage.scene.scope, stage.names, sha256(stage.u), stage.products, given
    )  # fmt: skip
    assert (opened.wrong, opened.used, opened.groups) == (("ana",), (), {})


def _whole(answer: Answer) -> Piece:
    return Piece(answer.u, 0, 1, encode(answer))


def test_an_auditor_does_not_believe_it_either() -> None:
    stage = Stage()
    scene, manifest = stage.scene, stage.scene.played.manifest

    def signed(answers: dict[str, Answer], *names: str) -> list[bytes]:
        keys = {name: scene.holder(name).ctx.key for name in names}
        return [
            encode(sign(keys[name], "Answer", scene.scope, name, manifest.aggregator, encode(_whole(answers[name]))))
            for name in names
        ]

    proposed = next(data for data in scene.played.files.values() if data != stage.u)
    aggregator = scene.entrusted.nodes.aggregator.public
    uploads = scene.played.uploads
    honest = recompute(proposed, stage.u, signed(stage.answers, "ana", "ben"), uploads.__getitem__, aggregator)
    assert {name: words.tobytes() for name, words in honest.items()} == reference(scene.played.inputs, stage.names)
    for forgery in FORGERIES:
        forged = signed(stage.with_forged(forgery), "ana", "ben")
        with pytest.raises(VerificationFailed):
            recompute(proposed, stage.u, forged, uploads.__getitem__, aggregator)
