"""Row 27: a weights file that promises what it does not hold is refused before anything is allocated for it."""

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.config import OwnTask
from secagg.crypto.derive import sha256
from secagg.errors import BadInput
from secagg.learning.layout import HEADER_LIMIT, decode_model, encode_model, of_arrays
from secagg.protocol.session import Announce, Fetch, PieceHeader
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from support.federation import make
from support.nodes import Ward

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"
HONEST = encode_model({"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)})
LAYOUT = of_arrays(decode_model(HONEST))


def raw(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def tensor(shape: Sequence[object], offsets: Sequence[object], dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


FILES = {
    "2^60 elements": raw({"w": tensor([2**60], [0, 2**62])}),
    "2^60 elements in two dimensions": raw({"w": tensor([2**30, 2**30], [0, 2**62])}),
    "2^64 elements, whose bytes wrap around": raw({"w": tensor([2**32, 2**32], [0, 0])}),
    "2^62 elements, whose bytes wrap around": raw({"w": tensor([2**31, 2**31], [0, 0])}),
    "2^47 by 2^47 by nothing": raw({"w": tensor([2**47, 2**47, 0], [0, 0]), "v": tensor([2**40], [0, 2**42])}),
    "2^31 elements that a job cannot have": raw({"w": tensor([2**31], [0, 2**33])}),
    "a negative dimension": raw({"w": tensor([-1], [0, 4])}, bytes(4)),
    "two negative dimensions": raw({"w": tensor([-1, -1], [0, 4])}, bytes(4)),
    "a dimension that is no integer": raw({"w": tensor([1.0], [0, 4])}, bytes(4)),
    "a dimension that is true": raw({"w": tensor([True], [0, 4])}, bytes(4)),
    "a dimension that is infinite": raw(b'{"w":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}}', bytes(4)),
    "a hundred dimensions": raw({"w": tensor([1] * 100, [0, 4])}, bytes(4)),
    "an end before the beginning": raw({"w": tensor([1], [8, 4])}, bytes(8)),
    "an end behind the file": raw({"w": tensor([4], [0, 16])}, bytes(4)),
    "two tensors over each other": raw({"v": tensor([1], [0, 4]), "w": tensor([1], [0, 4])}, bytes(4)),
    "a gap that nobody looks at": raw({"v": tensor([1], [0, 4]), "w": tensor([1], [8, 12])}, bytes(12)),
    "bytes behind the end": raw({"w": tensor([1], [0, 4])}, bytes(5)),
    "a type that runs code": raw({"w": tensor([1], [0, 8], "OBJECT")}, bytes(8)),
    "a type that is no text": raw({"w": tensor([1], [0, 8], ["F32"])}, bytes(8)),
    "a header of 2^60 bytes": raw(b"{}", length=2**60),
    "a header of 2^64 - 1 bytes": raw(b"{}", length=2**64 - 1),
    "a header above the limit": raw(b"{" + b" " * HEADER_LIMIT + b"}"),
    "a header that is deep": raw(b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a header that is a number": raw(b"1" * 4000),
    "a header that is no text": raw(b'{"\xff\xfe":1}'),
    "more tensors than a model has": raw({f"w{n}": tensor([0], [0, 0]) for n in range(20_001)}),
    "no tensor": raw({"__metadata__": {"x": "y"}}),
    "nothing": b"",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("layout", [None, LAYOUT], ids=["any model", "the job's model"])
def test_a_file_that_lies_is_refused_before_anything_is_allocated(name: str, layout: object) -> None:
    tracemalloc.start()
    with pytest.raises(BadInput) as caught:
        decode_model(FILES[name], LAYOUT if layout else None)
    spent = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code in ("E-MODEL", "E-SHAPES")
    assert spent < 64 * 2**20 if "more tensors" in name else spent < 8 * 2**20


def test_another_shape_than_the_jobs_is_refused_by_name_before_its_data_is_read() -> None:
    large = encode_model({"weight": np.zeros((1, 2_000_000), np.float32), "bias": np.zeros(1, np.float32)})
    tracemalloc.start()
    with pytest.raises(BadInput, match="Tensor weight") as caught:
        decode_model(large, LAYOUT)
    spent = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == "E-SHAPES"
    assert spent < 65_536


class Evil:
    """An aggregator that announces a file of its own to node-02, and serves it."""

    def __init__(self, ward: Ward, file: bytes, total: int | None = None) -> None:
        self.ward, self.file = ward, file
        self.total = len(file) if total is None else total
        self.served = 0
        ward.network._fate = self._bend

    def _bend(self, to: str, message: Received) -> tuple[Received, ...]:
        if (to, message.kind) == ("node-02", "announce"):
            honest = decode(Announce, message.body)
            body = encode(Announce(honest.spec, honest.leaf, honest.proof, sha256(self.file)))
            return self.ward._count(to, Received(message.sender, "announce", message.id, b"", body))
        if (message.sender, message.kind) == ("node-02", "fetch"):
            asked = decode(Fetch, message.body)
            if asked.digest == sha256(self.file):
                self.served += 1
                header = encode(PieceHeader(asked.digest, asked.index, self.total))
                self.ward.network.deliver("node-02", Received(AGGREGATOR, "piece", b"", header, self.file))
                return ()
        return self.ward._count(to, message)


def trained(ward: Ward) -> None:
    async def script(_: object) -> None:
        for node in ward.nodes.values():
            node.policy = replace(node.policy, changing_sets=True)
        await ward.start_nodes()
        for node in ward.nodes.values():
            node.data.write_text("1 3\n2 5\n")
            node.tasks["task"] = OwnTask("task", f"{TORCH}:Line", node.data, {})
        model = ward.state / "line.safetensors"
        model.write_bytes(HONEST)
        ward.submit(model, purpose="training", length=0)
        await ward.wait(10)
        await ward.stop_nodes()

    ward.play(script)


@pytest.mark.parametrize("name", ["2^60 elements", "2^62 elements, whose bytes wrap around", "a header of 2^60 bytes"])
def test_a_node_that_is_served_such_a_file_refuses_the_job_and_holds_up_nobody(tmp_path: Path, name: str) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    evil = Evil(ward, FILES[name])
    trained(ward)
    assert evil.served == 1
    fault = ward.nodes["node-02"].named("fault")[0]
    assert "is not the one that the signed job pins" in str(fault["cause"])
    assert ward.named("round_closed")[0]["contributors"] == ["node-00", "node-01", "node-03"]
    assert '"fail"' not in ward.nodes["node-02"].log.getvalue()


def test_a_file_announced_longer_than_the_jobs_model_is_not_fetched(tmp_path: Path) -> None:
    """The first piece says how long the file is: nothing is laid out on disk for a length the job does not have."""
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    evil = Evil(ward, FILES["2^60 elements"], 2**50)
    trained(ward)
    assert evil.served > 1
    node = ward.nodes["node-02"]
    assert "A blob of 1125899906842624 bytes is announced" in node.log.getvalue()
    assert not list((node.place / "blobs" / "partial").iterdir())
    assert ward.named("round_closed")[0]["contributors"] == ["node-00", "node-01", "node-03"]


def test_a_file_that_lies_is_no_first_model_of_a_job_either(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    file = tmp_path / "line.safetensors"
    file.write_bytes(FILES["2^60 elements"])

    async def script(_: object) -> None:
        await ward.start_nodes()
        with pytest.raises(BadInput, match="not a model"):
            ward.submit(file, purpose="training", length=0)
        await ward.stop_nodes()

    ward.play(script)
