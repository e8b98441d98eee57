"""Small federations with trustees for tests: keys dealt once, inputs, and one round of them."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from secagg.crypto.paillier.keys import Profile
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.threshold import Share, ThresholdKey, deal
from secagg.protocol.lanes import Groups, encode_sum
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.entrusted import Entrusted, Rehearsal, entrust, propose, table
from secagg.rehearsal.run import run_round
from support.federation import counted_rng, inputs_of, job, names_of
from support.paillier_keys import SMALL, seeded, small

TRUSTEES = ("ana", "ben", "cyd", "dan", "eve", "fay", "gus")


@lru_cache
def dealt(trustees: int, threshold: int, bits: int = SMALL) -> tuple[ThresholdKey, list[Share]]:
    """Return a weak key with shares, made once."""
    return deal(bits, TRUSTEES[:trustees], threshold, seeded(f"trust/{trustees}/{threshold}/{bits}"), weak=True)


def make(
    count: int, trustees: int = 3, threshold: int = 2, colluders: int = 0, seed: bytes = b"seed", **fields: object
) -> Entrusted:
    """Return a federation of `count` nodes whose job `threshold` of `trustees` open, `colluders` of them curious."""
    key, shares = dealt(trustees, threshold)
    secrets = dict(zip(key.trustees, shares, strict=True))
    names = names_of(count)
    return entrust(names, job(names, **fields), key, secrets, counted_rng(seed), trustee_colluders=colluders)


def alone(
    count: int, profile: Profile = "provable", s: int = 1, held: PrivateKey | None = None, seed: bytes = b"alone",
    **fields: object,
) -> Entrusted:  # fmt: skip
    """Return a federation of `count` nodes whose sums a single holder opens, with a weak key unless it `held` one."""
    names = names_of(count)
    key = held or small(profile)
    return entrust(names, job(names, **fields), key, {"ana": key}, counted_rng(seed), s=s)


def inputs(entrusted: Entrusted, manifest: Manifest) -> dict[str, Groups]:
    """Return every member's clear words: trained ones, or a vector for a sum."""
    if manifest.purpose == "training":
        return inputs_of(entrusted.nodes, manifest)
    vector = np.linspace(-1000.0, 1000.0, entrusted.nodes.spec.parameters)
    return {name: encode_sum(manifest, vector / (index + 1)) for index, name in enumerate(manifest.names())}


def play(
    entrusted: Entrusted, drops: Mapping[str, str] | None = None, words: Mapping[str, Groups] | None = None
) -> tuple[Closed | Failed, Mapping[str, Groups], Rehearsal]:
    """Run one round; return its end, the clear inputs and the table."""
    given = words or inputs(entrusted, propose(entrusted))
    played = table(entrusted, given, drops)
    return run_round(played), given, played
