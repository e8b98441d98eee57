"""A whole round of engine `paillier` in one process: every member and trustee real, every message checked by everybody.

Rules: CPU time of one thread; making the key and the table of powers, which serve many rounds, is not counted. Trustees
are 2 of 3 for keys that can be shared (`provable`, s = 1) and a single holder otherwise. Beside it stands what naive
`phe` takes for the same numbers in the same run: every node's encryption, every addition, one decryption, no message.
`exact` compares the published words with the integer sum of the members' clear words.
Leaves to others: processes and links (tests/roles), the parts of the cryptography (paillier.py).
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from msgspec import Struct

from secagg.bench.case import SCALARS
from secagg.bench.footprint import Footprint
from secagg.bench.inputs import update_of
from secagg.bench.paillier import Case, phe_costs
from secagg.crypto.paillier.private import PrivateKey, generate
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.crypto.paillier.threshold import deal
from secagg.crypto.rng import Rng
from secagg.protocol.lanes import Groups, encode_training, packing
from secagg.protocol.manifest import JobSpec, Manifest
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.entrusted import Entrusted, entrust, propose, table
from secagg.rehearsal.run import run_round
from secagg.vector.codec import Lane, Offset

_TRUSTEES = ("ana", "ben", "cyd")
_THRESHOLD = 2


class EntrustedFigures(Struct, frozen=True):
    """What a whole round took: seconds of CPU of everybody, and of one of each role (the median)."""

    engine: str
    case: Case
    trustees: int
    threshold: int
    seconds: float
    node_seconds: float
    trustee_seconds: float
    aggregator_seconds: float
    sent_bytes_per_param: float
    phe_seconds: float
    phe_x: float
    peak_rss_bytes: int
    exact: bool


def measure(case: Case, rng: Rng, *, weak: bool = False) -> EntrustedFigures:
    """Make keys, run one round and return what it cost; `weak` keys are for tests.

    Raises: BadInput or ProtocolViolation when the case cannot be played.
    """
    space = Footprint()
    entrusted = _entrust(case, rng, weak)
    manifest = propose(entrusted)
    inputs = _inputs(entrusted, manifest, rng)
    seated = replace(table(entrusted, inputs), timer=time.process_time)
    began = time.process_time()
    end = run_round(seated)
    seconds, spent = time.process_time() - began, seated.spent
    naive, _ = phe_costs(case, generate("provable", case.key_bits, rng, weak=weak), rng)
    phe_us = case.nodes * (naive.encrypt_us + naive.add_us) + naive.decrypt_us
    sent = [len(seated.uploads[name]) for name in entrusted.nodes.members]
    return EntrustedFigures(
        engine="paillier", case=case, trustees=len(entrusted.trustees), threshold=entrusted.custody.threshold,
        seconds=seconds, node_seconds=statistics.median(spent[name] for name in entrusted.nodes.members),
        trustee_seconds=statistics.median(spent[name] for name in entrusted.trustees),
        aggregator_seconds=sum(spent[part] for part in ("verify", "product", "combine")),
        sent_bytes_per_param=statistics.median(sent) / case.params, phe_seconds=phe_us * case.params / 1e6,
        phe_x=phe_us * case.params / 1e6 / seconds, peak_rss_bytes=space.whole(),
        exact=isinstance(end, Closed) and _exact(end, manifest, inputs),
    )  # fmt: skip


def _entrust(case: Case, rng: Rng, weak: bool) -> Entrusted:
    names = tuple(f"node-{index:04d}" for index in range(case.nodes))
    spec = JobSpec(
        federation="bench", name="bench", purpose="training", task="bench", rounds=1, cohort=names, min_nodes=3,
        lanes=(Lane("update", case.params, Offset(case.bits, 0), weighted=True),), weight_bound=100,
        step_ms=60_000, round_ms=600_000,
        scalars=SCALARS,
    )  # fmt: skip
    if case.profile == "provable" and case.s == 1:
        key, shares = deal(case.key_bits, _TRUSTEES, _THRESHOLD, rng, weak=weak)
        made = entrust(names, spec, key, dict(zip(_TRUSTEES, shares, strict=True)), rng)
        return replace(made, powers=Table.build(Ring(key.public)))
    whole: PrivateKey = generate(case.profile, case.key_bits, rng, weak=weak)
    made = entrust(names, spec, whole, {_TRUSTEES[0]: whole}, rng, s=case.s)
    return replace(made, powers=Table.build(Ring(whole.public, case.s)))


def _inputs(entrusted: Entrusted, manifest: Manifest, rng: Rng) -> dict[str, Groups]:
    template = update_of(entrusted.nodes.spec.parameters, rng)
    return {
        name: encode_training(manifest, template / np.float32(index + 1), 100, {}, rng)
        for index, name in enumerate(manifest.names())
    }


def _exact(end: Closed, manifest: Manifest, inputs: Mapping[str, Groups]) -> bool:
    for group, published in zip(manifest.groups, end.published.groups, strict=True):
        pack = packing(group)
        total = np.zeros(pack.words, dtype=pack.dtype)
        for one in inputs.values():
            total += one[group.name]
        pack.reduce(total)
        if not np.array_equal(np.frombuffer(published.words, dtype=total.dtype), total):
            return False
    return True
