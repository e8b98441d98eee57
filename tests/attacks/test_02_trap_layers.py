"""Row 2: a malicious model that everybody is shown alike: another architecture, a trap layer, another shape, NaN.

The institution's own task says which tensors there are; a job that pins others is refused before anything is trained.
"""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from node.config import OwnTask
from secagg.errors import Refused
from secagg.learning.layout import Arrays, encode_model
from secagg.protocol.masks import node
from secagg.rehearsal.federation import party, propose
from support.adversary import proposal_of
from support.federation import make
from support.nodes import Ward

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"


def test_a_manifest_with_another_architecture_than_the_signed_job_is_refused() -> None:
    federation = make(4, architecture=b"a" * 32)
    ctx = party(federation, "node-00").ctx
    lie = replace(propose(federation), architecture=b"b" * 32)
    with pytest.raises(Refused) as refused:
        node.start(proposal_of(federation, lie), ctx)
    assert refused.value.rule == "manifest.architecture"


def line(**tensors: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Arrays:
    """Return the model of the task `Line`, with these tensors besides or instead."""
    return {"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32), **tensors}


def offered(place: Path, model: Arrays) -> Ward:
    """Let an operator submit, sign and pin a job for any model; every institution has the task `Line`."""
    ward = Ward(make(4, chunk_bytes=4096), place)
    for site in ward.nodes.values():
        site.data.write_text("1 3\n2 5\n")
        site.tasks["task"] = OwnTask("task", f"{TORCH}:Line", site.data, {})
    file = ward.state / "model.safetensors"
    file.write_bytes(encode_model(model))

    async def script(_: object) -> None:
        await ward.start_nodes()
        ward.submit(file, purpose="training", length=0)
        await ward.wait(6)
        await ward.stop_nodes()

    ward.play(script)
    return ward


TRAPS = {
    "an extra layer": (line(trap=np.ones((64, 1), np.float32)), "Tensor trap is missing here"),
    "a changed shape": (line(weight=np.zeros((1, 64), np.float32)), "Tensor weight is float32 (1, 1) here"),
    "a NaN weight": (line(weight=np.full((1, 1), np.nan, np.float32)), "The model is not finite"),
    "an infinite bias": (line(bias=np.full(1, np.inf, np.float32)), "first in tensor bias"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_that_the_signed_job_pins_is_refused_by_every_node_before_it_trains(tmp_path: Path, trap: str) -> None:
    model, said = TRAPS[trap]
    ward = offered(tmp_path, model)
    for site in ward.nodes.values():
        assert {said in str(event["cause"]) for event in site.named("fault")} == {True}
        assert site.named("accept") == []
        assert site.named("refuse")
    assert ward.named("round_closed") == []


def test_the_honest_model_is_trained_on(tmp_path: Path) -> None:
    ward = offered(tmp_path, line())
    assert len(ward.named("round_closed")[0]["contributors"]) == 4
