"""Drawn attempts with liars, bad dealers and false reporters: real keys, shares, signatures and lists, and no vectors.

A `Company` deals once. An `Attempt` bends what its bad members sign, and has every other member sign what an honest one
would. It gives that to the functions that report, judge and name. A `Plan` says who does what; what of it shows, and so
has to be named, follows here from the plan alone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import sha256
from secagg.crypto.shamir import PRIME, split
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.protocol.binding import UNKNOWN
from secagg.protocol.manifest import digest
from secagg.protocol.masks import intake, judging, keys, reports
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.faults import check_fault
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, MaskedInput, OwnedShare, ShareLeaf, ShareList
from secagg.protocol.masks.rounds import Charge, Dealt, Judging, Uploading
from secagg.rehearsal.federation import AGGREGATOR, propose
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, Signed, sign
from support.federation import make

Pair = tuple[bytes, bytes]
"""A share of b_u and one of sk_mask."""


def bent(share: bytes, by: int = 1) -> bytes:
    """Return another field element."""
    return ((int.from_bytes(share, "big") + by) % PRIME).to_bytes(33, "big")


class Company:
    """A cohort that has dealt honestly."""

    def __init__(self, count: int) -> None:
        self.federation = make(count, purpose="sum", bits=64, scalars=(), parameters=1)
        self.manifest = propose(self.federation)
        body = encode(self.manifest)
        unbound = Scope(self.manifest.round, NO_DIGEST)
        self.scope = Scope(self.manifest.round, digest(body))
        self.signed = sign(self.federation.aggregator, "Manifest", unbound, AGGREGATOR, EVERYBODY, body)
        self.names, self.t, rng = self.manifest.names(), self.manifest.share_threshold, self.federation.rng
        self.seeds = {name: rng(32) for name in self.names}
        self.keys = {name: AgreementKey.from_private_bytes(rng(32)) for name in self.names}
        xs = range(1, count + 1)
        self.shares: dict[str, tuple[Pair, ...]] = {}
        for name in self.names:
            private = self.keys[name].private_bytes().reveal()
            parts = (split(secret, self.t, xs, rng) for secret in (self.seeds[name], private))
            self.shares[name] = tuple(zip(*parts, strict=True))
        self.advertised = tuple(
            self.sign(name, "AdvertiseKeys", AdvertiseKeys(bytes(1216), self.keys[name].public, 0))
            for name in self.names
        )
        self.u1 = encode(self.advertised)
        self.basis = sha256(self.u1)
        self.dealt = {name: self.leaves(name, self.shares[name]) for name in self.names}
        self.lists = {name: self.list_of(name, self.dealt[name]) for name in self.names}

    def sign(self, name: str, kind: str, body: object, receiver: str = EVERYBODY) -> Signed:
        """Return a member's signed message."""
        return sign(self.federation.members[name], kind, self.scope, name, receiver, encode(body))

    def leaves(self, name: str, shares: Iterable[Pair]) -> tuple[ShareLeaf, ...]:
        """Return the leaves over these shares."""
        return tuple(
            ShareLeaf(
                x, sha256(b + sk), keys.share_digest("seed", name, x, b), keys.share_digest("key", name, x, sk)
            )
            for x, (b, sk) in enumerate(shares, start=1)
        )  # fmt: skip

    def list_of(self, name: str, leaves: tuple[ShareLeaf, ...], seed: bytes = b"") -> Signed:
        """Return a signed list; `seed` is what it commits to when not to its own b_u."""
        commitment = keys.commitment(seed or self.seeds[name], self.scope, name)
        return self.sign(name, "ShareKeys", ShareList(self.basis, tree_of(name, leaves).root(), commitment))


@lru_cache(maxsize=8)
def company(count: int) -> Company:
    """Return a cohort of this size, which is made once."""
    return Company(count)


@dataclass
class Plan:
    """Who does what: by member, with whom."""

    gone: frozenset[str] = frozenset()
    """Dealt and never uploaded."""

    silent: frozenset[str] = frozenset()
    """Uploaded and never answered."""

    wrong: dict[str, str] = field(default_factory=dict)
    """Holder: the dealer whose share it bends in its answer."""

    missing: dict[str, str] = field(default_factory=dict)
    """Holder: the dealer whose share it leaves out."""

    uneven: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Dealer: receivers to whom it dealt, and listed, a share off its polynomial."""

    outside: frozenset[str] = frozenset()
    """Dealers whose share for somebody is listed and is no field element."""

    other: frozenset[str] = frozenset()
    """Dealers that commit to another secret, and deal another key than they advertise."""

    twice: frozenset[str] = frozenset()
    """Dealers that sign two lists."""

    rubbish: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Dealer: receivers whose sealed piece holds nothing."""

    framed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Member: dealers that it reports for nothing."""

    @property
    def bad(self) -> frozenset[str]:
        """Return everybody who does anything that an honest member does not."""
        dealers = {*self.uneven, *self.outside, *self.other, *self.twice, *self.rubbish}
        return frozenset({*self.wrong, *self.missing, *self.framed, *dealers})


@dataclass(frozen=True)
class End:
    """Who was named, with which kinds of proof, and whether the sum can be opened (not reached: None)."""

    named: Mapping[str, str]
    opened: bool | None


class Attempt:
    """One attempt by a plan."""

    def __init__(self, dealt: Company, plan: Plan) -> None:
        self.company, self.plan = dealt, plan
        self.frozen = tuple(name for name in dealt.names if name not in plan.gone)
        self.shares = {name: self._shares(name) for name in dealt.names}
        touched = {*plan.uneven, *plan.outside, *plan.other}
        self.leaves = {
            name: dealt.leaves(name, self.shares[name]) if name in touched else dealt.dealt[name]
            for name in dealt.names
        }
        self.lists = {name: self._list(name) if name in touched else dealt.lists[name] for name in dealt.names}
        self.u2 = encode(tuple(self.lists.values()))
        self.dealt = encode(tuple(Dealt(name, self.leaves[name]) for name in dealt.names))

    def _shares(self, name: str) -> tuple[Pair, ...]:
        honest, plan = self.company.shares[name], self.plan
        if name in plan.other:
            # The same constant for everybody is a polynomial of another secret, far from the bits that X25519 clamps.
            return tuple((bent(b, 2**100), bent(sk, 2**100)) for b, sk in honest)
        if name in plan.uneven:
            off = {self.company.manifest.index(receiver) for receiver in plan.uneven[name]}
            # By another amount for each: equal ones can cancel, and then nothing is off.
            by = [int.from_bytes(sha256(f"{name}/{at}".encode())) for at in range(len(honest))]
            return tuple(
                (bent(b, by[at]), bent(sk, by[at])) if at in off else (b, sk) for at, (b, sk) in enumerate(honest)
            )
        if name in plan.outside:
            return ((b"\xff" * 33, b"\xff" * 33), *honest[1:])
        return honest

    def _list(self, name: str) -> Signed:
        return self.company.list_of(name, self.leaves[name], sha256(b"another") if name in self.plan.other else b"")

    def reported(self, member: str) -> tuple[str, ...]:
        """Return whom a member reports, for a reason or not."""
        plan = self.plan
        told = {dealer for dealer, receivers in plan.rubbish.items() if member in receivers}
        told |= set(plan.framed.get(member, ()))
        return tuple(name for name in self.company.names if name in told and name != member)

    @cached_property
    def headers(self) -> dict[str, Signed]:
        """Return the headers of U3."""
        u2 = sha256(self.u2)
        return {
            name: self.company.sign(name, "MaskedInput", MaskedInput(u2, 0, u2, self.reported(name), UNKNOWN))
            for name in self.frozen
        }

    @cached_property
    def u3(self) -> bytes:
        """Return the frozen list."""
        return encode(tuple(self.headers.values()))

    def answer(self, holder: str) -> Answer:
        """Return what a member answers."""
        company, plan, skipped = self.company, self.plan, set(self.reported(holder))
        at = company.manifest.index(holder)
        seeds: list[OwnedShare] = []
        privates: list[OwnedShare] = []
        for owner in company.names:
            if owner in skipped or plan.missing.get(holder) == owner:
                continue
            part = 0 if owner in self.frozen else 1
            share = self.shares[owner][at][part]
            if plan.wrong.get(holder) == owner:
                share = bent(share, 7)
            (privates if part else seeds).append(OwnedShare(owner, share))
        return Answer(sha256(self.u2), sha256(self.u3), tuple(seeds), tuple(privates))

    def judging(self) -> Judging:
        """Return the phase in which the answers are judged."""
        company = self.company
        answers = tuple(
            company.sign(name, "Answer", self.answer(name), AGGREGATOR)
            for name in self.frozen
            if name not in self.plan.silent
        )
        return Judging(
            company.scope, company.manifest, company.signed, (), company.u1, b"", self.u2, self.dealt, self.u3, (),
            b"", answers,
        )  # fmt: skip

    def second_lists(self) -> list[Charge]:
        """Return the charges against those who signed two lists."""
        company, found = self.company, []
        phase = self._uploading()
        for name in self.plan.twice:
            other = company.list_of(name, company.dealt[name], sha256(name.encode()))
            found.append(judging.two_lists(phase, (self.lists[name], other)))
        return found

    def _uploading(self) -> Uploading:
        company = self.company
        return Uploading(
            company.scope, company.manifest, company.signed, (), company.u1, b"", self.u2, self.dealt, (),
            tuple(self.headers.values()),
        )  # fmt: skip

    def play(self) -> End:
        """Play the attempt to its end; every charge convinces somebody who has the members' keys and nothing else."""
        company = self.company
        charges = self.second_lists()
        headers = {name: decode(MaskedInput, header.body) for name, header in self.headers.items()}
        phase = self._uploading()
        found = reports.judge(headers, intake.near(phase), company.manifest)
        opened = None
        if found.end:
            for dealer in found.accused:
                by = (self.headers[name] for name in found.by[dealer][: company.manifest.colluders + 1])
                charges.append(judging.reported(phase, self.lists[dealer], by))
        else:
            judged = judging.judge(self.judging())
            charges += judged.charges
            opened = judged.recovered is not None
            if judged.recovered:
                assert all(seed.reveal() == company.seeds[name] for name, seed in judged.recovered.seeds.items())
        named = {}
        for charge in charges:
            proven = check_fault(charge.proof, self.key_of)
            assert (proven.member, proven.kind, proven.scope) == (charge.member, charge.kind, company.scope)
            named[proven.member] = proven.kind
        return End(named, opened)

    @property
    def key_of(self) -> Callable[[str], bytes]:
        """Return how anybody knows the members' keys."""
        members = self.company.federation.members
        return lambda name: members[name].public

    def visible(self) -> frozenset[str]:
        """Return those whose fault changed something in this attempt, so that they have to be named."""
        plan, company = self.plan, self.company
        told = {name: self.reported(name) for name in self.frozen}
        over = {
            dealer for dealer in company.names
            if sum(dealer in reported for reported in told.values()) > company.manifest.colluders
        }  # fmt: skip
        left = (sum(dealer not in told[name] for name in self.frozen) for dealer in company.names)
        if over or any(holders < company.t for holders in left):
            return frozenset({*plan.twice, *over})
        answering = [name for name in self.frozen if name not in plan.silent]
        liars = {holder for holder, dealer in plan.wrong.items() if dealer not in told.get(holder, ())}
        liars |= {holder for holder, dealer in plan.missing.items() if dealer not in told.get(holder, ())}
        return frozenset({*plan.twice, *(liars & set(answering)), *self._bad_dealers(answering, told)})

    def _bad_dealers(self, answering: Iterable[str], told: Mapping[str, tuple[str, ...]]) -> set[str]:
        """Return the dealers of whose listed shares enough were answered to show that they are off."""
        plan, bad = self.plan, set()
        for dealer in {*plan.uneven, *plan.outside, *plan.other}:
            shown = [
                name for name in answering
                if dealer not in told[name] and dealer not in (plan.wrong.get(name), plan.missing.get(name))
            ]  # fmt: skip
            off = set(plan.uneven.get(dealer, ())) | ({self.company.names[0]} if dealer in plan.outside else set())
            if len(shown) >= self.company.t and (dealer in plan.other or off & set(shown)):
                bad.add(dealer)
        return bad


