"""Ceremonies with weak keys: trustees with cards, a dealer, and what everybody holds afterwards."""

from dataclasses import dataclass
from functools import lru_cache

from secagg.crypto.paillier.keys import Profile
from secagg.crypto.seal import SealingKey
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.protocol.ceremony.accepting import assemble, receive
from secagg.protocol.ceremony.dealing import Dealt, Plan, hold
from secagg.protocol.ceremony.files import Card, sign_card
from secagg.protocol.custody import accept_key
from secagg.protocol.manifest import Custody
from secagg.roster.members import Member
from secagg.wire.codec import encode
from support.paillier_keys import SMALL, seeded

FEDERATION, ROOT = "fed", "sha256:" + "ab" * 32
NAMES = ("ana", "ben", "cyd", "dan", "eve")


@dataclass(frozen=True)
class Trustee:
    """A trustee before the ceremony."""

    key: SigningKey
    sealing: SealingKey
    member: Member
    card: bytes


def trustee_of(name: str, **changes: str) -> Trustee:
    """Return a trustee that is the same in every run; `changes` replace fields of the member."""
    draw = seeded(f"trustee/{name}")
    key, sealing = SigningKey.from_private_bytes(draw(32)), SealingKey.from_private_bytes(draw(96))
    fields = {"name": name, "organisation": f"house-{name}", "role": "trustee"} | changes
    member = Member(sign_key=key.public, curve_key=draw(32), **fields)  # type: ignore[arg-type]
    return Trustee(key, sealing, member, sign_card(key, Card(FEDERATION, ROOT, member, sealing.public)))


@dataclass(frozen=True)
class Ceremony:
    """What was dealt to whom."""

    trustees: tuple[Trustee, ...]
    dealt: Dealt

    def share(self, index: int) -> bytes:
        """Return the sealed share of a trustee, by its position."""
        return self.dealt.shares[index][1]

    def secret(self, index: int) -> Secret:
        """Return what a trustee accepts."""
        one = self.trustees[index]
        return receive(
            self.dealt.key, self.dealt.transcript, self.share(index), one.member, (FEDERATION, ROOT), one.sealing,
            one.card, weak=True,
        )  # fmt: skip

    def acceptance(self, index: int) -> bytes:
        """Return a trustee's acceptance."""
        one = self.trustees[index]
        return encode(accept_key(one.key, FEDERATION, one.member.name, self.dealt.key))

    def custody(self, *accepted: int, s: int = 1) -> Custody:
        """Return what a job names once these trustees accepted."""
        files = [self.acceptance(index) for index in accepted]
        return assemble(self.dealt.key, self.dealt.transcript, files, s, weak=True)


@lru_cache
def held(
    count: int = 3, threshold: int = 2, colluders: int = 0, profile: Profile = "provable", seed: str = "held"
) -> Ceremony:
    """Return a ceremony with a weak key; the first of `NAMES` are its trustees."""
    trustees = tuple(trustee_of(name) for name in NAMES[:count])
    plan = Plan(threshold, colluders, SMALL, profile, "test")
    cards = [one.card for one in trustees]
    return Ceremony(trustees, hold(plan, cards, seeded(seed), lambda: 1_700_000_000, weak=True))
