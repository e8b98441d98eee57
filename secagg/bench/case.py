"""A measured case of engine `masks`, and what each role reports about it.

Rules: seconds are medians over `repeat` rounds of one role's own work. On one thread they are CPU time, which is wall
time where nobody else computes and holds where somebody does. On two threads they are wall time. `best` is the least of
the rounds.
Leaves to others: measuring (client.py, server.py), ratios (masks.py).
"""

import time
from collections.abc import Callable

import numpy as np
from msgspec import Struct

from secagg.crypto.rng import Rng
from secagg.errors import BadInput
from secagg.protocol.acceptance import Policy
from secagg.protocol.lanes import packing
from secagg.protocol.manifest import JobSpec, Manifest, Scalar
from secagg.rehearsal.federation import Federation, found, propose
from secagg.vector.codec import Lane, Offset

Clock = Callable[[], float]
SCALARS = (Scalar("examples", 2**30), Scalar("saturated", 2**40))


class Case(Struct, frozen=True):
    """One case; `gamma` is the part of colluders that a sparse graph bears, `delta` that of drop-outs."""

    nodes: int
    params: int
    bits: int = 16
    dropout: float = 0.0
    threads: int = 1
    graph: str = "complete"
    gamma: float = 0.05
    delta: float = 0.05
    repeat: int = 1
    handicap: bool = False

    @property
    def clock(self) -> Clock:
        """Return the clock that roles are timed with."""
        return time.thread_time if self.threads == 1 else time.perf_counter

    @property
    def names(self) -> tuple[str, ...]:
        """Return the members in roster order."""
        return tuple(f"node-{index:04d}" for index in range(self.nodes))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Return who drops out before uploading; never the first, who is measured."""
        return self.names[1 : 1 + round(self.dropout * self.nodes)]


class ClientFigures(Struct, frozen=True):
    """What a round costs one member."""

    seconds: float
    best: float
    setup_seconds: float
    protect_seconds: float
    quantise_seconds: float
    upload_bytes: int
    control_bytes: int
    mask_bytes: int
    aes_rate: float
    peak_bytes: int
    baseline_bytes: int


class ServerFigures(Struct, frozen=True):
    """What a round costs the aggregator, and what a member's spot check of it costs."""

    seconds: float
    best: float
    adding_seconds: float
    checking_seconds: float
    unmask_seconds: float
    additions_seconds: float
    self_bytes: int
    pair_bytes: int
    aes_rate: float
    peak_bytes: int
    baseline_bytes: int
    verify_seconds: float
    verify_bytes: int
    verify_sent_bytes: int
    exact: bool


def establish(case: Case, rng: Rng, params: int | None = None) -> tuple[Federation, Manifest]:
    """Return a federation for the case and the manifest of its round; `params` replaces those of the case.

    Raises: BadInput when the case leaves fewer members than a round needs, or no sparse graph will do.
    """
    sparse = case.graph != "complete"
    spec = JobSpec(
        federation="bench", name="bench", purpose="training", task="bench", rounds=1, cohort=case.names, min_nodes=3,
        lanes=(Lane("update", case.params if params is None else params, Offset(case.bits, 0), weighted=True),),
        weight_bound=100,
        step_ms=60_000, round_ms=600_000, scalars=SCALARS, graph="harary" if sparse else "complete",
        dropouts=int(case.delta * case.nodes) if sparse else 0,
    )  # fmt: skip
    federation = found(case.names, spec, rng, int(case.gamma * case.nodes) if sparse else None)
    manifest = propose(federation)
    left = case.nodes - len(case.dropped)
    if left < manifest.needed:
        raise BadInput(
            f"{len(case.dropped)} of {case.nodes} drop out, but {manifest.needed} are needed.", "Lower --dropout."
        )
    return federation, manifest


def policy(case: Case) -> Policy:
    """Return a member's policy that takes part in the case."""
    return Policy(exact_counts=True, server="malicious" if case.graph == "complete" else "semi-malicious")


def words_bytes(manifest: Manifest) -> int:
    """Return the bytes of the word arrays of one upload in memory: what every mask covers."""
    return sum(packing(group).words * np.dtype(packing(group).dtype).itemsize for group in manifest.groups)
