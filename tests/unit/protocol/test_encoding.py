"""What names an encoding: every field of a job that an unchanged input's words depend on, and no other."""

from dataclasses import replace as with_fields

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.learning.algorithms import choose
from secagg.protocol.encoding import encoding_digest
from secagg.protocol.lanes import encode_training, packing
from secagg.protocol.manifest import Scalar
from secagg.rehearsal.federation import propose
from secagg.vector.codec import Fixed
from support.federation import counted_rng, lane, make
from support.walking import changes

FEDERATION = make(4)
SPEC = FEDERATION.spec
CHOSEN = {
    "lanes.length", "lanes.0.name", "lanes.0.weighted", "lanes.0.codec.type", "lanes.0.codec.bits",
    "lanes.0.codec.clip_log2", "weight_bound", "purpose", "algorithm.name", "algorithm.numbers.length",
    "algorithm.numbers.0.name", "algorithm.numbers.0.value",
}  # fmt: skip
LANES = (Scalar("examples", 10), Scalar("loss", 100, 4))


def test_which_leaves_of_a_job_are_its_encoding() -> None:
    spec = replace(SPEC, scalars=LANES, algorithm=choose("fedprox", {}))
    found = {path for path, other in changes(spec) if encoding_digest(other) != encoding_digest(spec)}
    assert found >= CHOSEN
    assert {path for path in found - CHOSEN if not path.startswith("scalars")} == set()
    for field in ("name", "bound", "fraction"):
        assert any(path.startswith("scalars") and path.endswith(field) for path in found)


def test_in_which_order_metrics_lie_does_not_count_and_which_there_are_does() -> None:
    spec = replace(SPEC, scalars=LANES)
    assert encoding_digest(replace(spec, scalars=LANES[::-1])) == encoding_digest(spec)
    assert encoding_digest(replace(spec, scalars=LANES[:1])) != encoding_digest(spec)


@pytest.mark.parametrize("purpose", ["training", "sum"])
def test_a_manifest_has_the_encoding_of_its_job_whatever_its_cohort(purpose: str) -> None:
    seen = set()
    for many in (3, 4, 9):
        federation = make(many)
        spec = replace(federation.spec, purpose=purpose)
        manifest = propose(with_fields(federation, spec=spec))
        assert encoding_digest(manifest) == encoding_digest(spec)
        seen.add(encoding_digest(spec))
    assert len(seen) == 1


def test_a_sum_has_no_weight_and_a_binary_point() -> None:
    spec = replace(SPEC, purpose="sum", lanes=(lane(bits=64),))
    assert encoding_digest(replace(spec, weight_bound=7)) == encoding_digest(spec)
    assert encoding_digest(replace(spec, lanes=(replace(lane(), codec=Fixed(20)),))) != encoding_digest(spec)
    assert encoding_digest(replace(spec, lanes=(lane(bits=16),))) != encoding_digest(spec)


def test_of_one_encoding_the_slots_are_the_same_in_every_layout() -> None:
    manifest = propose(with_fields(FEDERATION, spec=replace(SPEC, lanes=(lane(bits=14),), scalars=LANES)))
    scalars, update = manifest.groups
    found = []
    for layout, width in (("3x21", 16), ("3bytes", 22), ("lane32", 30)):
        group = replace(update, layout=layout, slot_bits=width)
        values = np.linspace(-1, 1, group.count - 1, dtype=np.float32)
        other = replace(manifest, groups=(scalars, group))
        words = encode_training(other, values, 5, {"loss": 1.0}, counted_rng(b"same"))
        found.append(packing(group).unpack(words["update"]).tolist())
        assert encoding_digest(other) == encoding_digest(manifest)
    assert found[0] == found[1] == found[2]
