"""From at least t answers to the clear sum: reconstruct secrets, check each against what was committed, remove masks.

Rules (protocol §3): a recovered sk_mask must give the advertised key and a recovered b_u its commitment, else other
t-subsets are tried and the bad share's holder is named; shares of one owner come either for b or for sk, never both.
The auditor repeats exactly this (verify.py). Leaves to others: collecting answers (aggregator.py).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import combinations, islice

from secagg.crypto.agree import AgreementKey
from secagg.crypto.secret import Secret
from secagg.crypto.shamir import combine, on_one_polynomial, outliers
from secagg.errors import ProtocolViolation, TryLater
from secagg.protocol.lanes import Words, packing
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import keys
from secagg.protocol.masks.masking import Mask, apply
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, ShareList
from secagg.wire.signed import Scope

MAX_SUBSETS = 2000
"""Subsets tried per secret; beyond it more than c members lie and the round is lost."""


@dataclass(frozen=True)
class Evidence:
    """Everything public or answered that opens a round: verified lists by member, and answers by member."""

    manifest: Manifest
    scope: Scope
    u2: bytes
    advertised: Mapping[str, AdvertiseKeys]
    shares: Mapping[str, ShareList]
    u3: tuple[str, ...]
    answers: Mapping[str, Answer]


@dataclass(frozen=True)
class Recovered:
    """Secrets of a round: b_u for all of U3, sk_mask for all of U2 without U3; and who sent bad shares."""

    seeds: Mapping[str, Secret]
    keys: Mapping[str, AgreementKey]
    liars: frozenset[str]


def recover(evidence: Evidence, *, name_liars: bool = True) -> Recovered:
    """Reconstruct every secret that removing the masks needs; `name_liars` looks for bad shares beyond those needed.

    Raises: TryLater when an owner has fewer than t good shares so far.
    """
    check_either_or(evidence)
    given, used = _shares(evidence), {}
    seeds, privates = {}, {}
    for owner in evidence.shares:
        if owner in evidence.u3:
            found, used[owner] = _reconstruct(evidence, owner, given.get(owner, {}), _seed_test(evidence, owner))
            seeds[owner] = Secret(found)
        else:
            found, used[owner] = _reconstruct(evidence, owner, given.get(owner, {}), _key_test(evidence, owner))
            privates[owner] = AgreementKey.from_private_bytes(found)
    return Recovered(seeds, privates, _liars(evidence, given, used) if name_liars else frozenset())


def _liars(
    evidence: Evidence, given: Mapping[str, Mapping[int, bytes]], used: Mapping[str, tuple[int, ...]]
) -> frozenset[str]:
    """Return who sent shares that are off the polynomials of the secrets found; on the usual way all are right."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for owner, base in used.items():
        alike.setdefault(base, []).append(owner)
    bad: set[int] = set()
    for base, owners in alike.items():
        if not on_one_polynomial([given[owner] for owner in owners], base):
            bad |= {x for owner in owners for x in outliers(given[owner], base)}
    return frozenset(evidence.manifest.members[x - 1].name for x in bad)


def _shares(evidence: Evidence) -> dict[str, dict[int, bytes]]:
    """Return the answered shares by owner and x, in roster order; of what kind an owner's are follows from U3."""
    found: dict[str, dict[int, bytes]] = {}
    for position, seat in enumerate(evidence.manifest.members, start=1):
        answer = evidence.answers.get(seat.name)
        for share in (*answer.seeds, *answer.keys) if answer else ():
            found.setdefault(share.owner, {})[position] = share.share
    return found


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
    if answer.u2 != u2 or not owners[0] <= frozen or not owners[1] <= set(u2_names) - frozen:
        raise ProtocolViolation(f"The answer of {member} is about other sets.", rule="answer.sets")


def _seed_test(evidence: Evidence, owner: str) -> Callable[[bytes], bool]:
    expected = evidence.shares[owner].commitment
    return lambda seed: keys.commitment(seed, evidence.scope, owner) == expected


def _key_test(evidence: Evidence, owner: str) -> Callable[[bytes], bool]:
    expected = evidence.advertised[owner].mask_key
    return lambda private: AgreementKey.from_private_bytes(private).public == expected


def _reconstruct(
    evidence: Evidence, owner: str, shares: Mapping[int, bytes], good: Callable[[bytes], bool]
) -> tuple[bytes, tuple[int, ...]]:
    """Return a secret and the x of the shares that gave it."""
    t = evidence.manifest.share_threshold
    for subset in islice(combinations(shares, t), MAX_SUBSETS):
        secret = _try({x: shares[x] for x in subset})
        if secret is not None and good(secret):
            return secret, subset
    raise TryLater(
        f"{len(shares)} shares of {owner} do not give its secret; {t} good ones are needed.",
        "Wait for more answers.",
        code="E-SHARES",
    )


def _try(shares: Mapping[int, bytes]) -> bytes | None:
    try:
        return combine(shares)
    except ProtocolViolation:
        return None


def masks_to_remove(evidence: Evidence, recovered: Recovered, group: str) -> list[Mask]:
    """Return the masks still in the sum of U3's uploads for one lane group; `added` says how they entered the sum."""
    manifest, scope = evidence.manifest, evidence.scope
    found = [Mask(keys.self_key(seed.reveal(), scope, u, group), added=True) for u, seed in recovered.seeds.items()]
    for gone, private in recovered.keys.items():
        theirs = (gone, private.public)
        near = {piece.receiver for piece in evidence.shares[gone].pieces}
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
