"""What a node does beside its loop: load the institution's task, train or sum, mask, evaluate. No turn, no journal.

Rules: a task is made once per job and sees its own data only. What leaves a function is finite and fits the job, or an
error names what does not. Clear words are values on their way to the mask: they are never written.
Leaves to others: when each happens (node.rounds, node.jobs), training itself (node.training).
Source: docs/architecture.md "The path of an update".
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from node.config import OwnTask
from node.inputs import Mark
from node.summing import run_vector
from node.task import RoundContext, SumTask, Task, declared, load_task, on_data, require_data
from secagg.crypto.rng import Rng
from secagg.daemon.blobs import Blobs
from secagg.daemon.inputs import InputKeys
from secagg.daemon.participant import WHOLE
from secagg.errors import BadInput, Refused, SecaggError
from secagg.ids import NO_DIGEST, RoundId
from secagg.learning import algorithms
from secagg.learning.digest import architecture_digest, model_digest, state_digest
from secagg.learning.layout import Arrays, decode_model, encode_model, of_arrays
from secagg.protocol import engines, server_step, sketch
from secagg.protocol.engine import MemberSide
from secagg.protocol.lanes import Contribution, Quantised, Ready, encode_sum
from secagg.protocol.manifest import JobSpec, Manifest, Published
from secagg.protocol.ranges import check_declared
from secagg.protocol.round.asked import Named
from secagg.wire.codec import decode

Sums = Mapping[str, npt.NDArray[np.float64]]
"""What earlier sum jobs of the federation published, by job."""


WORKERS = 2
"""Threads that mask or encrypt one contribution."""


def member_of(engine: str) -> MemberSide:
    """Return what an engine has for a node."""
    return engines.load(engine).member


class Stepped(Struct, frozen=True):
    """A result (its blob) taken in: the next model (blob, and two digests of its values), or zeros for a sum. The
    second digest is of values with their zeros unsigned, which `train` cannot tell apart. Then what the algorithm keeps
    (blob, digest), or zeros."""

    published: bytes
    model: bytes
    digest: bytes
    given: bytes = NO_DIGEST
    state: bytes = NO_DIGEST
    state_digest: bytes = NO_DIGEST


class Computed(NamedTuple):
    """What a task gives in a round, and what the ledger keeps of its values."""

    contribution: Contribution
    mark: Mark


class Work:
    """The institution's tasks, and everything that takes longer than a turn may."""

    def __init__(self, tasks: Mapping[str, OwnTask], blobs: Blobs, rng: Rng, tables: Path, keys: InputKeys) -> None:
        """`tables` is a directory for what an engine computes once for a key; `keys` are the ledger's."""
        self._tasks, self._blobs, self._rng, self._tables, self._keys = tasks, blobs, rng, tables, keys
        self._made: dict[str, Any] = {}
        self._turn = Lock()
        self._last: tuple[object, Computed] | None = None
        self._making = Lock()
        self._warm: bytearray | None = None
        self._ahead: tuple[str, object] | None = None
        self._protected = ""

    def require(self, spec: JobSpec) -> OwnTask:
        """Return the configured task of a job.

        Raises: Refused when there is none.
        """
        if spec.task not in self._tasks:
            raise Refused(
                f"This institution has no task {spec.task}.", f"Add [tasks.{spec.task}] to node.toml.",
                rule="task.unknown",
            )  # fmt: skip
        return self._tasks[spec.task]

    def load(self, name: str) -> None:
        """Import a configured task, so that its faults show when the node starts and not in a round.

        Raises: BadInput.
        """
        own = self._tasks[name]
        load_task(own.spec, own.options)

    def check(self, spec: JobSpec, model: bytes, digest: bytes) -> None:
        """Hold model and task against a job: for training every value of the model, then the shape of every tensor.

        `digest` is what the values must have: pinned by the signed job at first, later this node's own. Reads no data.
        Raises: Refused (`job.model`) when the model is another one, or (`lanes.…`) when the job's metrics are not those
        that the task declares. BadInput naming the first tensor that differs, or holds a value that is not finite (a
        signed job may pin such a model too).
        """
        if spec.purpose == "training":
            self._check_model(spec, model, digest)
        task = self._task(spec)
        if spec.purpose == "training":
            from node.training import check_shapes

            arrays = self._arrays(model)
            check_shapes(task, arrays)
            _require_finite(arrays)
            own = declared(task)
            if own is not None:
                check_declared(spec, own)

    def _check_model(self, spec: JobSpec, blob: bytes, digest: bytes) -> None:
        try:
            arrays = self._arrays(blob)
            layout = of_arrays(arrays)
            found = (layout.size, architecture_digest(layout), model_digest(arrays))
        except SecaggError:
            found = (0, b"", b"")
        if found != (spec.size, spec.architecture, digest):
            raise Refused(
                f"The model of {spec.name} is not the one that the signed job pins.",
                "Ask the operator: somebody changed it on the way.", rule="job.model",
            )  # fmt: skip

    def update(self, manifest: Manifest, spec: JobSpec, model: bytes, sums: Sums) -> Computed:
        """Train or sum, and return what this node contributes; a repeated attempt at a round gets the same words.

        One at a time: a task may keep what it likes on itself, and an attempt may be repeated while it still trains.
        Raises: FailedOnData saying what is wrong with data or values; BadInput or Refused for what was wrong before.
        """
        key = (manifest.round.opening, manifest.model)
        with self._turn:
            if self._last is None or self._last[0] != key:
                self._last = None
                self._last = (key, self._update(manifest, spec, model, sums))
            return self._last[1]

    def forget(self) -> None:
        """Let go of the last update: its round is over, and no attempt at it will come."""
        self._last = self._ahead = None

    def _update(self, manifest: Manifest, spec: JobSpec, model: bytes, sums: Sums) -> Computed:
        task, data = self._task(spec), self.require(spec).data
        arrays = self._arrays(model) if spec.purpose == "training" else {}
        require_data(data)
        rule = server_step.algorithm_of(spec).local()
        context = RoundContext(spec.name, manifest.round.round, dict(sums), rule)
        with on_data():
            if spec.purpose == "sum":
                return self._summed(manifest, run_vector(task, data, context))
            return self._trained(manifest, task, arrays, data, context)

    def _summed(self, manifest: Manifest, vector: npt.NDArray[np.float64]) -> Computed:
        # Zero has two signs, and they are one value to everybody who reads the sum.
        mark = Mark(vector=self._keys.vector((vector + 0.0).tobytes()))
        return Computed(Ready(encode_sum(manifest, vector)), mark)

    def _trained(
        self, manifest: Manifest, task: Any, arrays: Arrays, data: Path, context: RoundContext
    ) -> Computed:  # fmt: skip
        from node.training import run_training

        trained = run_training(task, arrays, data, context)
        mark = Mark(sketch=sketch.encode(sketch.sketch(trained.delta, self._keys.sketch)))
        vectors = algorithms.algorithm_of(manifest.algorithm).contribute(trained.delta)
        given = Quantised(manifest, vectors, trained.num_examples, trained.metrics, self._rng)
        return Computed(given, mark)

    def prepare(self, engine: str, label: str, phase: object, name: str) -> None:
        """Make what masking or encrypting in this phase needs beside the clear words; it stays in memory, used once."""
        with self._making:
            if self._protected == label:
                return
            self._ahead = None
            with ThreadPoolExecutor(WORKERS) as workers:
                made = member_of(engine).prepare(phase, name, self._rng, self._tables, workers)
            self._ahead = (label, made)

    def protect(self, engine: str, label: str, given: Contribution, phase: object, name: str) -> Named:
        """Mask or encrypt a contribution and keep the upload as a blob; return what its header says.

        What is being prepared for this round is waited for, since it is most of the work.
        Raises: FailedOnData on NaN; TryLater when the disk is full.
        """
        with self._making, ThreadPoolExecutor(WORKERS) as workers:
            ahead, self._ahead, self._protected = self._ahead, None, label
            made = ahead[1] if ahead and ahead[0] == label else None
            with on_data():
                data, done = member_of(engine).protect(
                    phase, name, given, self._rng, self._tables, workers, self._warm, made
                )
            # What is masked or encrypted is no secret, and the next round's takes its place.
            self._warm = data if isinstance(data, bytearray) else None
            self._blobs.put_as(done.upload, data)
        return done

    def step(self, spec: JobSpec, model: bytes, state: bytes, published: bytes, about: RoundId) -> Stepped:
        """Take the published result of round `about` in: the next model and state of a training job.

        Raises: ProtocolViolation when the result does not hold together.
        """
        sums = server_step.sums_of(spec, decode(Published, self._blobs.get(published), WHOLE), about)
        if spec.purpose == "sum":
            return Stepped(published, model, bytes(32))
        kept = self._arrays(state) if state != NO_DIGEST else {}
        following, after = server_step.next_model(spec, self._arrays(model), kept, sums)
        given = model_digest({name: array + array.dtype.type(0) for name, array in following.items()})
        blob = self._blobs.put(encode_model(after)) if after else NO_DIGEST
        made = self._blobs.put(encode_model(following))
        return Stepped(published, made, model_digest(following), given, blob, state_digest(after))

    def evaluate(self, spec: JobSpec, model: bytes, sums: Sums) -> dict[str, float]:
        """Evaluate the job's model on the institution's own held-out data; the result stays here.

        Raises: BadInput.
        """
        from node.training import run_evaluation

        context = RoundContext(spec.name, spec.rounds, dict(sums))
        with self._turn:
            return run_evaluation(self._task(spec), self._arrays(model), self.require(spec).data, context)

    def sums(self, spec: JobSpec, published: bytes) -> npt.NDArray[np.float64]:
        """Return the vector (float64, 1-D) that a sum job published last."""
        # Which round it is of was judged when it was taken in.
        found = decode(Published, self._blobs.get(published), WHOLE)
        return server_step.sums_of(spec, found, found.round).update

    def _task(self, spec: JobSpec) -> Any:
        own = self.require(spec)
        if spec.name not in self._made:
            self._made = {spec.name: load_task(own.spec, own.options)}
        task = self._made[spec.name]
        wanted = Task if spec.purpose == "training" else SumTask
        if not isinstance(task, wanted):
            raise BadInput(
                f"Task {spec.task} is of the wrong kind for job {spec.name}, which is a {spec.purpose}.",
                "Name a class with model, train and evaluate for training, or with vector for a sum.", code="E-TASK",
            )  # fmt: skip
        return task

    def _arrays(self, blob: bytes) -> Arrays:
        return decode_model(self._blobs.get(blob))


def _require_finite(arrays: Arrays) -> None:
    for name, array in sorted(arrays.items()):
        bad = np.count_nonzero(~np.isfinite(array))
        if bad:
            raise BadInput(
                f"The model is not finite: {bad} values, the first in tensor {name}.",
                "Ask the operator for another first model.", code="E-NAN",
            )  # fmt: skip
