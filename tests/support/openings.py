"""A round of real messages up to its answers, for tests of what the aggregator makes of them; no vectors are looked at.

Members are the real machines; whoever lies signs what it likes with its own key, before or after the honest round.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import intake, keys
from secagg.protocol.masks import member as node
from secagg.protocol.masks.dealing import Leaves
from secagg.protocol.masks.messages import Answer, Open, Unmask
from secagg.protocol.masks.recovery import Evidence
from secagg.protocol.masks.rounds import Judging, Opening
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, stop_before


@dataclass(frozen=True)
class Opened:
    """An honest round in which everybody has answered."""

    scene: Scene
    phase: Opening
    signed: Mapping[str, Signed]

    @property
    def manifest(self) -> Manifest:
        """Return the round's manifest."""
        return self.phase.manifest

    @property
    def answers(self) -> dict[str, Answer]:
        """Return the answers by member."""
        return {name: decode(Answer, signed.body, LIMIT_BULK) for name, signed in self.signed.items()}

    @property
    def leaves(self) -> dict[str, Leaves]:
        """Return every dealer's leaves by coordinate."""
        dealt = intake.dealt_leaves(self.phase.dealt)
        return {dealer: {leaf.x: leaf for leaf in leaves} for dealer, leaves in dealt.items()}

    def judging(self, answers: Mapping[str, Answer] | None = None) -> Judging:
        """Return the phase in which these answers, signed by their members, are judged."""
        given, phase = self.answers if answers is None else answers, self.phase
        signed = tuple(self.sign(name, given[name]) for name in self.manifest.names() if name in given)
        return Judging(
            phase.scope, phase.manifest, phase.signed, phase.out, phase.u1, phase.drawn, phase.u2, phase.dealt,
            phase.u3, phase.agreements, phase.witnesses, signed,
        )  # fmt: skip

    def sign(self, name: str, answer: Answer) -> Signed:
        """Return an answer under its member's signature."""
        key = self.scene.federation.members[name]
        return sign(key, "Answer", self.phase.scope, name, self.manifest.aggregator, encode(answer))

    def evidence(self, answers: Mapping[str, Answer] | None = None) -> Evidence:
        """Return the evidence with these answers."""
        return intake.evidence(self.judging(answers))


def opened(count: int = 7, gone: str = "") -> Opened:
    """Play an honest round to its answers, of every member but `gone`, who never uploads."""
    scene = stop_before("Open", count=count, drops={gone: "MaskedInput"} if gone else {})
    manifest, phase = scene.table.manifest, scene.table.phase
    assert isinstance(phase, Opening)
    body = encode(decode(Open, decode(Signed, scene.message.data, LIMIT_BULK).body, LIMIT_BULK))
    signed = {}
    for name, party in scene.table.parties.items():
        if name == gone:
            continue
        assert party.phase is not None
        asked = sign(scene.federation.aggregator, "Open", scene.scope, manifest.aggregator, name, body)
        envelope = decode(Signed, node.advance(party.phase, asked, party.ctx).send[0][1], LIMIT_BULK)
        info = keys.answer_info(scene.scope, name, manifest.aggregator)
        plain = scene.federation.opening.open(decode(Unmask, envelope.body, LIMIT_BULK).sealed, info)
        signed[name] = decode(Signed, plain, LIMIT_BULK)
    return Opened(scene, phase, signed)
