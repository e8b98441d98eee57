"""A ward for attacks on the ledger of inputs: jobs over any members, data under any name, ledgers that outlive it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from aggregator import bounds
from node.config import OwnTask
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.learning.layout import encode_model
from secagg.protocol.masks import aggregator as masks
from secagg.protocol.paillier import aggregator as paillier
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.federation import Federation, found
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from support.aggregating import CHUNK
from support.federation import counted_rng, job, names_of
from support.memory import MemoryInputs
from support.nodes import Ward

TORCH = Path(__file__).resolve().parent / "torch_tasks.py"
Script = Callable[[Ward], Awaitable[None]]


def line(bias: float = 0.0) -> bytes:
    """Return a first model of the task `Line`."""
    return encode_model({"weight": np.zeros((1, 1), np.float32), "bias": np.full(1, bias, np.float32)})


def another(count: int, stranger: str = "", seed: bytes = b"seed", name: str = "fed") -> Federation:
    """Return a federation like that of `make`, but for the name or for one member that has another key."""
    names, drawn = names_of(count), [0]
    draw = counted_rng(seed)

    def rng(size: int) -> bytes:
        drawn[0] += 1
        own = stranger and drawn[0] == names.index(stranger) + 1
        return sha256(draw(size)) if own else draw(size)

    made: Rng = rng
    return found(names, job(names, chunk_bytes=4096, federation=name), made)


def play(ward: Ward, script: Script) -> Ward:
    """Run a federation of real nodes while `script` makes things happen."""

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await script(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


@contextmanager
def heedless() -> Iterator[None]:
    """Let aggregators wait for nobody and freeze whoever uploaded, whatever inputs are bound to."""
    with pytest.MonkeyPatch.context() as patch:
        for engine in (masks, paillier):
            patch.setattr(engine, "left_out", lambda *given: {})
        patch.setattr(bounds, "need", lambda *given: bounds.Need())
        yield


def sharing(ward: Ward, earlier: Ward) -> Ward:
    """Let the institutions of a ward keep the ledgers that they had in an earlier one, and the data."""
    for name, node in ward.nodes.items():
        before = earlier.nodes[name]
        node.ledger = MemoryInputs(sha256(name.encode()), ward.federation.members[name].public, before.ledger)
        node.data, node.tasks = before.data, dict(before.tasks)
    return ward


def trains(ward: Ward, rate: float = 0.1, tasks: Sequence[str] = ("task",)) -> None:
    """Give every node two points of its own and a task that finds a line through them, under these names."""
    for index, node in enumerate(ward.nodes.values()):
        node.data.write_text(f"1 {3 + index}\n2 {5 + index * index}\n")
        node.tasks |= {
            name: OwnTask(name, f"{TORCH}:Line", node.data, {"rate": rate * (1 + at)})
            for at, name in enumerate(tasks)
        }


def submit(ward: Ward, name: str, task: str = "task", **fields: Any) -> Any:
    """Submit a job; `members`, `without`, `model` (bytes), `custody`, and what its file has may be given."""
    members, model, without = fields.pop("members", ()), fields.pop("model", None), fields.pop("without", ())
    cohort = {"step_timeout": "3s", "members": tuple(members), **fields.pop("cohort", {})}
    engine, custody = {"chunk": CHUNK, **fields.pop("engine", {})}, str(fields.pop("custody", ""))
    parts: dict[str, Any] = {part: fields.pop(part) for part in ("metrics", "algorithm") if part in fields}
    purpose = "training" if model is not None else "sum"
    made = {"name": name, "task": task, "purpose": purpose, "length": 0 if model is not None else 7, **fields}
    file = {"job": made, "cohort": cohort, "engine": engine, **parts}
    path = ward.state / f"{name}.safetensors"
    if model is not None:
        path.write_bytes(model)
    asked = {"command": "job-submit", "file": file, "model": str(path) if model is not None else ""}
    return ward.daemon.command(asked | {"without": list(without), "custody": custody})


def refused(ward: Ward, job: str) -> dict[str, set[str]]:
    """Return by which rules each node refused a job."""
    return {
        name: rules
        for name, node in ward.nodes.items()
        if (rules := {event["rule"] for event in node.named("refuse") if event["job"] == job})
    }


def closed(ward: Ward, job: str) -> list[list[str]]:
    """Return the contributors of every round of a job that has a sum."""
    return [event["contributors"] for event in ward.named("round_closed") if event["job"] == job]


def everyone(names: Sequence[str], rule: str) -> dict[str, set[str]]:
    """Return what `refused` gives when each of these refuses by this rule."""
    return {name: {rule} for name in names}


def lost(ward: Ward, kinds: dict[str, set[str]], **of: object) -> None:
    """Let messages of these kinds to these nodes, or from them, be unheard: of every round, or of `job` and `round`.

    They arrive as messages of a round that is not, so that they are acknowledged and hold nothing up behind them.
    """
    whole = ward.network._fate

    def fate(to: str, message: Received) -> Sequence[Received]:
        if message.kind == "round":
            header = decode(RoundHeader, message.header)
            whom = kinds.get(header.kind, set())
            if whom & {to, message.sender} and all(getattr(header.round, field) == of[field] for field in of):
                gone = encode(replace(header, round=replace(header.round, round=2**30)))
                return (Received(message.sender, message.kind, message.id, gone, message.body),)
        return whole(to, message)

    ward.network._fate = fate
