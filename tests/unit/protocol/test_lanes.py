"""Values to words and back: exact sums, honest ranges, canaries, uploads of one length."""

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.errors import BadInput, ProtocolViolation
from secagg.protocol import lanes
from secagg.rehearsal.federation import propose
from support.federation import inputs_of, make

METRICS = {"loss": 0.5}


def test_an_upload_survives_the_wire_in_every_layout() -> None:
    for bits in (16, 20, 24, 64):
        federation = make(5, bits=bits, parameters=50)
        manifest = propose(federation)
        groups = inputs_of(federation, manifest)["node-03"] if bits < 64 else lanes.encode_sum(
            replace(manifest, scalars=()), np.linspace(-9, 9, 50)
        )  # fmt: skip
        manifest = manifest if bits < 64 else propose(make(5, bits=64, parameters=50, scalars=()))
        data = lanes.to_upload(manifest, groups)
        assert len(data) == lanes.upload_bytes(manifest)
        back = lanes.from_upload(manifest, data)
        assert {name: words.tobytes() for name, words in back.items()} == {n: w.tobytes() for n, w in groups.items()}
        with pytest.raises(ProtocolViolation):
            lanes.from_upload(manifest, data + b"\0")


def test_what_fills_an_upload_up_is_zero() -> None:
    """Else an upload had room for a message that nobody looks at."""
    manifest = propose(make(4, bits=20, parameters=6))
    data = bytearray(lanes.to_upload(manifest, inputs_of(make(4, bits=20, parameters=6), manifest)["node-00"]))
    used = {at for start, stop in lanes.spans(manifest).values() for at in range(start, stop)}
    unused = sorted(set(range(len(data))) - used)
    assert unused
    for at in unused:
        data[at] = 1
        with pytest.raises(ProtocolViolation) as caught:
            lanes.from_upload(manifest, bytes(data))
        assert caught.value.rule == "upload.length"
        data[at] = 0
    assert lanes.from_upload(manifest, bytes(data))


def test_the_weighted_mean_is_within_the_quantisers_error() -> None:
    federation = make(4)
    manifest = propose(federation)
    update = np.linspace(-0.9, 0.9, 7)
    total: lanes.Groups = {}
    for weight in (20, 40, 60, 80):
        for name, words in lanes.encode_training(manifest, update, weight, METRICS, federation.rng).items():
            total[name] = total[name] + words if name in total else words
    sums = lanes.decode_sums(manifest, total, 4)
    assert sums.scalars["examples"] == 200
    assert sums.scalars["saturated"] == 0
    mean = sums.update * manifest.weight_bound / sums.scalars["examples"]
    error = 4 * manifest.weight_bound / (200 * lanes.quantizer(manifest.lanes[0]).scale)
    assert np.abs(mean - update).max() <= error


def test_a_wrong_canary_aborts() -> None:
    federation = make(4)
    manifest = propose(federation)
    words = lanes.encode_training(manifest, np.zeros(7), 1, METRICS, federation.rng)
    with pytest.raises(ProtocolViolation) as caught:
        lanes.decode_sums(manifest, words, 2)
    assert caught.value.rule == "lanes.canary"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_by_index(bad: float) -> None:
    federation = make(4)
    update = np.zeros(7)
    update[3] = bad
    with pytest.raises(BadInput, match="index 3"):
        lanes.encode_training(propose(federation), update, 1, METRICS, federation.rng)


def test_wrong_lengths_missing_metrics_and_ranges_are_refused() -> None:
    federation = make(4)
    manifest = propose(federation)
    with pytest.raises(BadInput, match=r"\(8,\)"):
        lanes.encode_training(manifest, np.zeros(8), 1, METRICS, federation.rng)
    with pytest.raises(BadInput, match="loss"):
        lanes.encode_training(manifest, np.zeros(7), 1, {}, federation.rng)
    with pytest.raises(BadInput, match="range"):
        lanes.encode_training(manifest, np.zeros(7), 1, {"loss": 1e9}, federation.rng)


@pytest.mark.parametrize("change", [{"layout": "lane16"}, {"layout": "3x21", "slot_bits": 22}])
def test_a_lane_group_of_no_layout_is_the_peers_fault(change: dict[str, object]) -> None:
    update = propose(make(4)).groups[1]
    with pytest.raises(ProtocolViolation) as caught:
        lanes.packing(replace(update, **change))
    assert caught.value.rule == "manifest.groups"
