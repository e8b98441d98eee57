"""Small federations for tests: a repeatable generator, a job, inputs in clear words, and the integer reference."""

from collections.abc import Iterable, Mapping

import numpy as np

from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.ids import STEPS
from secagg.protocol.acceptance import Policy
from secagg.protocol.lanes import Contribution, Groups, encode_sum, encode_training
from secagg.protocol.manifest import JobSpec, Manifest, Scalar
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.federation import Federation, found, propose, table
from secagg.rehearsal.run import run_round
from secagg.vector.codec import WIDTH, Fixed, Lane, Offset

SCALARS = (Scalar("examples", 10_000), Scalar("saturated", 10_000), Scalar("loss", 2**40, 24))


MEMBERS, COLLUDERS, DROPOUTS = 30, 1, 2
"""The smallest sparse federation worth its name: degree 6."""

BEARS = Policy(exact_counts=True, server="semi-malicious")
"""A policy that takes part on a sparse graph."""


def counted_rng(seed: bytes) -> Rng:
    """Return a repeatable generator: SHA-256 in counter mode. For tests only."""
    state = [0]

    def draw(count: int) -> bytes:
        out = b""
        while len(out) < count:
            out += sha256(seed + state[0].to_bytes(8, "big"))
            state[0] += 1
        return out[:count]

    return draw


def names_of(count: int) -> tuple[str, ...]:
    """Return `count` member names in roster order."""
    return tuple(f"node-{index:02d}" for index in range(count))


def lane(count: int = 7, bits: int = 16, clip_log2: int = 0) -> Lane:
    """Return the lane of an update, or with 64 bits that of a sum."""
    codec = Fixed() if bits == WIDTH else Offset(bits, clip_log2)
    return Lane("update", count, codec, weighted=bits != WIDTH)


def job(names: tuple[str, ...], **fields: object) -> JobSpec:
    """Return a training job of seven parameters at 16 bits; 64 are those of a sum."""
    given: dict[str, object] = {
        "federation": "fed", "name": "job", "purpose": "training", "task": "task", "rounds": 9, "cohort": names,
        "min_nodes": 3, "parameters": 7, "bits": 16, "clip_log2": 0, "weight_bound": 100, "step_ms": 1000,
        "round_ms": 10_000, "scalars": SCALARS, **fields,
    }  # fmt: skip
    count, bits, clip = (int(str(given.pop(name))) for name in ("parameters", "bits", "clip_log2"))
    given.setdefault("lanes", (lane(count, bits, clip),))
    return JobSpec(**given)  # type: ignore[arg-type]


def make(count: int, seed: bytes = b"seed", **fields: object) -> Federation:
    """Return a federation of `count` members with repeatable keys."""
    names = names_of(count)
    return found(names, job(names, **fields), counted_rng(seed))


def another_key(seed: bytes = b"another opening key") -> bytes:
    """Return an opening key that a manifest may have as well: of the leaves that nobody derives."""
    return SealingKey.from_private_bytes(counted_rng(seed)(96)).public


def sparse(seed: bytes = b"sparse") -> Federation:
    """Return a federation of thirty whose job asks for a sparse graph that bears two drop-outs."""
    names = names_of(MEMBERS)
    return found(names, job(names, graph="harary", dropouts=DROPOUTS), counted_rng(seed), COLLUDERS)


def inputs_of(federation: Federation, manifest: Manifest) -> dict[str, Groups]:
    """Return every member's clear words: distinct updates that reach both ends of the clip."""
    inputs = {}
    for index, name in enumerate(federation.members):
        update = np.linspace(-1.0, 1.0, federation.spec.parameters) * (1 if index % 2 else -1) / (index + 1)
        if isinstance(manifest.lanes[0].codec, Fixed):
            inputs[name] = encode_sum(manifest, update)
            continue
        metrics = {"loss": index + 0.5}
        inputs[name] = encode_training(manifest, update, 10 * (index + 1), metrics, federation.rng)
    return inputs


def play(federation: Federation, drops: Mapping[str, str]) -> tuple[Closed | Failed, dict[str, Groups]]:
    """Run one round; return its end and the clear inputs."""
    inputs = inputs_of(federation, propose(federation))
    return run_round(table(federation, inputs, drops)), inputs


def reference(inputs: Mapping[str, Groups | Contribution], members: Iterable[str]) -> dict[str, bytes]:
    """Return the integer sum of the members' clear words (all of them there) per group, as bytes."""
    total: dict[str, bytes] = {}
    chosen = [found for name in members if isinstance(found := inputs[name], dict)]
    for group in chosen[0]:
        words = chosen[0][group].copy()
        for other in chosen[1:]:
            words += other[group]
        total[group] = words.tobytes()
    return total


def check_pattern(federation: Federation, drops: Mapping[str, str]) -> None:
    """Hold one drop-out pattern against the rule: completes with the exact sum, or aborts naming step and members."""
    names = tuple(federation.members)
    needed = propose(federation).needed
    end, inputs = play(federation, drops)
    gone = {name: STEPS.index(step) for name, step in drops.items()}
    left = [sum(gone.get(name, 5) > step for name in names) for step in range(5)]
    if left[4] >= needed:
        contributors = tuple(name for name in names if gone.get(name, 5) > STEPS.index("MaskedInput"))
        assert isinstance(end, Closed)
        assert end.published.contributors == contributors
        assert {group.name: group.words for group in end.published.groups} == reference(inputs, contributors)
        assert {(out.member, out.step) for out in end.out} == set(drops.items())
    else:
        failed = next(step for step in range(5) if left[step] < needed)
        assert isinstance(end, Failed)
        assert end.step == STEPS[failed]
        assert {(out.member, STEPS.index(out.step)) for out in end.out} == {
            (name, step) for name, step in gone.items() if step <= failed
        }
