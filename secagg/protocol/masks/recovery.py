"""From at least t answers to the clear sum: judge shares, reconstruct secrets, remove masks.

How to read it: `judge_answers` holds every answered share against what its dealer signed and says whose answers hold
and which dealers are at fault. `recover` takes the answers that hold, the first t shares of every owner in roster
order, and checks each secret against what was committed. `unmask` removes the masks.
Rules (protocol §3): an answer is good as a whole or not at all. So members and auditors, who see the good ones only,
recover from the same shares. There is no search over subsets. Shares of one owner come either for b or for sk, never
both. The auditor repeats `recover` exactly (verify.py).
Leaves to others: collecting answers (aggregator.py), proofs of what was found (faults.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from secagg.crypto.agree import AgreementKey
from secagg.crypto.secret import Secret
from secagg.crypto.shamir import combine, on_one_polynomial, outliers
from secagg.errors import ProtocolViolation, TryLater
from secagg.protocol.lanes import Words, packing
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import keys
from secagg.protocol.masks.dealing import Leaves, listed
from secagg.protocol.masks.keys import Part
from secagg.protocol.masks.masking import Mask, apply
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, ShareList
from secagg.wire.signed import Scope

Shares = Mapping[int, bytes]
"""Shares of one secret by coordinate."""


@dataclass(frozen=True)
class Evidence:
    """Everything public or answered that opens a round: verified lists by member, and answers by member.

    `near` says to whom every dealer of U2 dealt.
    """

    manifest: Manifest
    scope: Scope
    u2: bytes
    advertised: Mapping[str, AdvertiseKeys]
    shares: Mapping[str, ShareList]
    near: Mapping[str, Sequence[str]]
    u3: tuple[str, ...]
    answers: Mapping[str, Answer]

    def part(self, owner: str) -> Part:
        """Return which secret of a member of U2 is opened: b_u of U3, sk_mask of who dropped."""
        return "seed" if owner in self.u3 else "key"


@dataclass(frozen=True)
class Recovered:
    """Secrets of a round: b_u for all of U3, sk_mask for all of U2 without U3."""

    seeds: Mapping[str, Secret]
    keys: Mapping[str, AgreementKey]


@dataclass(frozen=True)
class Verdict:
    """Whose answers hold, and whose fault shows. Of a holder it names the dealer whose share is wrong or missing in its
    answer. Of a dealer it has shares that it listed and that do not give what it committed to."""

    good: tuple[str, ...]
    liars: Mapping[str, str]
    dealers: Mapping[str, Shares]


def judge_answers(evidence: Evidence, dealt: Mapping[str, Leaves], reported: Mapping[str, Iterable[str]]) -> Verdict:
    """Hold every answered share against its dealer's leaves, and what the listed ones give against its commitment.

    `reported` says which dealers a member's header reported: it owes no share of theirs.
    """
    check_either_or(evidence)
    liars: dict[str, str] = {}
    right: dict[str, dict[int, bytes]] = {owner: {} for owner in evidence.shares}
    holders = [name for name in evidence.manifest.names() if name in evidence.answers]
    given = {holder: _given(evidence.answers[holder]) for holder in holders}
    for owner, near in _near(evidence).items():
        part = evidence.part(owner)
        for holder in (name for name in holders if name in near):
            x, share = evidence.manifest.index(holder) + 1, given[holder].get(owner)
            if share is None:
                wrong = owner not in reported.get(holder, ())
            else:
                wrong = keys.share_digest(part, owner, x, share) != listed(dealt[owner][x], part)
            if wrong:
                liars.setdefault(holder, owner)
            elif share is not None:
                right[owner][x] = share
    good = tuple(name for name in holders if name not in liars)
    first = {evidence.manifest.index(name) + 1 for name in good}
    ordered = {
        owner: dict(sorted(found.items(), key=lambda one: one[0] not in first)) for owner, found in right.items()
    }
    return Verdict(good, liars, _dealers(evidence, ordered))


def _dealers(evidence: Evidence, right: Mapping[str, Shares]) -> dict[str, Shares]:
    """Return the dealers whose listed shares miss what they committed to, or lie on no one polynomial."""
    t, found = evidence.manifest.share_threshold, dict[str, Shares]()
    alike: dict[tuple[int, ...], list[str]] = {}
    for owner, shares in right.items():
        base = {x: shares[x] for x in tuple(shares)[:t]}
        if len(base) == t and not gives(evidence, owner, base):
            found[owner] = base
        elif len(shares) > t:
            alike.setdefault(tuple(shares), []).append(owner)
    for xs, owners in alike.items():
        if on_one_polynomial([right[owner] for owner in owners], xs[:t]):
            continue
        for owner in owners:
            off = outliers(right[owner], xs[:t])
            if off:
                found[owner] = {x: right[owner][x] for x in (*xs[:t], min(off))}
    return found


def gives(evidence: Evidence, owner: str, shares: Shares) -> bool:
    """Say whether t shares give the secret that their dealer committed to."""
    try:
        _reconstruct(evidence, owner, shares)
    except ProtocolViolation:
        return False
    return True


def recover(evidence: Evidence) -> Recovered:
    """Reconstruct every secret that removing the masks needs, each from the first t shares of the answers.

    Raises: TryLater when an owner has fewer than t shares; ProtocolViolation (`shares.commitment`) when they give
    another secret than was committed to.
    """
    check_either_or(evidence)
    t, given = evidence.manifest.share_threshold, _shares(evidence)
    seeds, privates = {}, {}
    for owner in evidence.shares:
        shares = given.get(owner, {})
        if len(shares) < t:
            raise TryLater(
                f"{len(shares)} shares of {owner} do not give its secret; {t} are needed.", "Wait for more answers.",
                code="E-SHARES",
            )  # fmt: skip
        found = _reconstruct(evidence, owner, {x: shares[x] for x in tuple(shares)[:t]})
        if evidence.part(owner) == "seed":
            seeds[owner] = Secret(found)
        else:
            privates[owner] = AgreementKey.from_private_bytes(found)
    return Recovered(seeds, privates)


def _shares(evidence: Evidence) -> dict[str, dict[int, bytes]]:
    """Return the answered shares by owner and x, in roster order; of what kind an owner's are follows from U3."""
    found: dict[str, dict[int, bytes]] = {}
    near = _near(evidence)
    for position, seat in enumerate(evidence.manifest.members, start=1):
        answer = evidence.answers.get(seat.name)
        for owner, share in _given(answer).items() if answer else ():
            if seat.name in near[owner]:
                found.setdefault(owner, {})[position] = share
    return found


def _near(evidence: Evidence) -> dict[str, frozenset[str]]:
    return {owner: frozenset(evidence.near[owner]) for owner in evidence.shares}


def _given(answer: Answer) -> dict[str, bytes]:
    return {share.owner: share.share for share in (*answer.seeds, *answer.keys)}


def check_either_or(evidence: Evidence) -> None:
    """Check that every answer is about this U2 and U3 and holds b-shares of U3 and sk-shares of the dropped only.

    Raises: ProtocolViolation naming the member.
    """
    names = tuple(evidence.shares)
    for member, answer in evidence.answers.items():
        check_answer(member, answer, evidence.u2, names, evidence.u3)


def check_answer(member: str, answer: Answer, u2: bytes, u2_names: Sequence[str], u3_names: Sequence[str]) -> None:
    """Check that one answer is about this U2 (its hash and its names) and this U3. Raises: as `check_either_or`."""
    frozen = set(u3_names)
    owners = {share.owner for share in answer.seeds}, {share.owner for share in answer.keys}
    once = (len(answer.seeds), len(answer.keys)) == (len(owners[0]), len(owners[1]))
    if not once or answer.u2 != u2 or not owners[0] <= frozen or not owners[1] <= set(u2_names) - frozen:
        raise ProtocolViolation(f"The answer of {member} is about other sets.", rule="answer.sets")


def _reconstruct(evidence: Evidence, owner: str, shares: Shares) -> bytes:
    part = evidence.part(owner)
    expected = evidence.shares[owner].commitment if part == "seed" else evidence.advertised[owner].mask_key
    return reconstruct(part, shares, expected, evidence.scope, owner)


def reconstruct(part: Part, shares: Shares, expected: bytes, scope: Scope, owner: str) -> bytes:
    """Return the secret that t shares give, once it is the one committed to: H(label ‖ b_u), or the public mask key.

    Raises: ProtocolViolation.
    """
    found = combine(shares)
    if part == "seed":
        right = keys.commitment(found, scope, owner) == expected
    else:
        right = AgreementKey.from_private_bytes(found).public == expected
    if not right:
        raise ProtocolViolation(f"The shares of {owner} give another secret.", rule="shares.commitment")
    return found


def masks_to_remove(evidence: Evidence, recovered: Recovered, group: str) -> list[Mask]:
    """Return the masks still in the sum of U3's uploads for one lane group; `added` says how they entered the sum."""
    manifest, scope = evidence.manifest, evidence.scope
    found = [Mask(keys.self_key(seed.reveal(), scope, u, group), added=True) for u, seed in recovered.seeds.items()]
    for gone, private in recovered.keys.items():
        theirs = (gone, private.public)
        near = set(evidence.near[gone])
        for u in (name for name in evidence.u3 if name in near):
            ours = (u, evidence.advertised[u].mask_key)
            secret = keys.pair_secret(private, ours[1])
            low = manifest.index(u) < manifest.index(gone)
            pair = (ours, theirs) if low else (theirs, ours)
            found.append(Mask(keys.pair_key(secret, scope, evidence.u2, *pair, group), added=low))
    return found


def unmask(
    sums: Mapping[str, Words], evidence: Evidence, recovered: Recovered, executor: Executor | None = None
) -> None:
    """Remove all masks from the summed words of every lane group, in place; in parallel with an executor."""
    for group, words in sums.items():
        inverse = tuple(Mask(mask.key, added=not mask.added) for mask in masks_to_remove(evidence, recovered, group))
        apply(words, inverse, executor=executor)
    for lanes in evidence.manifest.groups:
        packing(lanes).reduce(sums[lanes.name])
