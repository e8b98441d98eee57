"""What a seed's federation computes: which jobs, over which data of each node, and what must come out.

A job sums or trains. A data source is a file of each node. A second job may read the first one's, under another task
name, or over fewer members. Or it begins from a model that the first job made, its zeros signed. It is one input all
the same. What comes out is known: a sum names its contributors and its round, a trained model the members it is of.
Leaves to others: when persons submit and allow (simulation), what an input is (simulation_known).
"""

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from node.config import OwnTask
from secagg.learning.layout import decode_model, encode_model
from secagg.protocol import server_step
from secagg.protocol.manifest import JobSpec, Published, default_colluders
from secagg.wire.codec import decode
from support.simulation_clock import Chance

CODE = '''
import json
import numpy as np
from node.task import Trained


class Number:
    """A power of two of its own for every node, job and round; the second value counts how often it was asked."""

    def vector(self, data, round):
        known = json.loads(data.read_text())
        count = data.with_suffix(".count")
        asked = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(asked))
        length, place = known["jobs"][round.job.partition("-")[0]]
        values = np.full(length, 2.0 ** (place + known["index"] + known["nodes"] * (round.round - 1)))
        values[1] = asked
        return values


class Learner:
    """Adds a number of its own, its sign by value and round, and has as many examples as a power of two of its own."""

    def model(self):
        import torch

        made = torch.nn.Module()
        made.values = torch.nn.Parameter(torch.zeros(LENGTH))
        return made

    def train(self, model, data, round):
        import torch

        known = json.loads(data.read_text())
        turn = known["later"] + (1 if known["steady"] else round.round)
        signs = torch.tensor([1.0 if place % (turn + 1) else -1.0 for place in range(LENGTH)])
        with torch.no_grad():
            model.values += signs * (known["index"] + 1) / 8
        return Trained(2 ** known["index"], {})

    def evaluate(self, model, data):
        return {}
'''
PARAMETERS = 24
"""Values of every model: the first has both zeros and numbers, so that zeros can be signed."""

WHOLE = 2**40
STEP = 14
"""Bits between the numbers of two jobs: as many as nodes and rounds need."""

LAST = "last"

NEXT_YEAR = "next year"
"""What an operator writes as the edition when other data lies in the file of a source."""

LATER = 3
"""How many rounds on next year's data seem to be: no update is as one of this year's."""


@dataclass(frozen=True)
class Planned:
    """One job: what it computes over which source; nobody in `cohort` means everybody."""

    name: str
    purpose: str
    source: str
    place: int
    length: int
    rounds: int = 1
    cohort: tuple[str, ...] = ()
    model: str = "fresh"
    """The first model of a training job: fresh, or that of job a: `made`, or `signed`, with its zeros signed."""


@dataclass(frozen=True)
class Plan:
    """All jobs of a seed, the policy of its institutions, and what persons allow of job b."""

    names: tuple[str, ...]
    jobs: dict[str, Planned]
    changing_sets: bool
    allow: str
    """What persons allow of job b: `no`, `job` or `overlap`."""

    steady: bool = False
    """Whether every round of training gives the same update: an input that only looks new."""

    revoke: str = ""
    """Whom a person revokes, once something was opened."""

    hurried: bool = False
    """Whether that is done as soon as there is a job, before its first round; by an honest aggregator: in a round."""

    enrols_again: bool = False
    """Whether another machine is then enrolled under that name."""

    edition: str = ""
    """What the operators of job b's members write as the edition of its source, once job a is over."""

    @property
    def early(self) -> tuple[str, ...]:
        """Return the jobs before the last one."""
        return tuple(name for name in self.jobs if name != LAST)

    def members(self, job: str) -> tuple[str, ...]:
        """Return the cohort of a job."""
        return self.jobs[job].cohort or self.names

    def data(self, index: int, *, next_year: bool = False) -> bytes:
        """Return what lies in every source of a node; next year other numbers are learned from it."""
        jobs = {job.name: (job.length, job.place) for job in self.jobs.values()}
        told: dict[str, object] = {"nodes": len(self.names), "jobs": jobs, "index": index, "steady": self.steady}
        told["later"] = LATER if next_year else 0
        return json.dumps(told).encode()

    def tasks(self, place: Path, editions: Mapping[str, str]) -> dict[str, OwnTask]:
        """Return the tasks of a node whose data lies at `place`; `editions` are those of its sources."""
        found = {}
        for job in self.jobs.values():
            kind = "Learner" if job.purpose == "training" else "Number"
            name, edition = f"task-{job.name}", editions.get(job.source, "")
            found[name] = OwnTask(name, f"{written()}:{kind}", place / f"{job.source}.json", {}, edition)
        return found

    def sources(self) -> set[str]:
        """Return every source."""
        return {job.source for job in self.jobs.values()}

    def file(self, job: Planned) -> dict[str, Any]:
        """Return the parts of the job's file that say what is computed."""
        part: dict[str, Any] = {"name": job.name, "task": f"task-{job.name}", "purpose": job.purpose}
        part |= {"rounds": job.rounds} if job.purpose == "training" else {"rounds": job.rounds, "length": job.length}
        cohort: dict[str, Any] = {"members": list(job.cohort)} if job.cohort else {}
        if job.purpose == "training":
            cohort["max_examples"] = 2 ** len(self.names)
        return {"job": part, "cohort": cohort}

    def wrong(self, spec: JobSpec, round_: int, contributors: Sequence[str], data: bytes) -> str:
        """Return in words what a published result is that it should not be, "" when nothing."""
        job = self.jobs[original(spec.name)]
        published = decode(Published, data, WHOLE)
        if len({group.name for group in published.groups}) < len(published.groups):
            return "a result with a lane group twice"
        sums = server_step.sums_of(spec, published, published.round)
        indexes = [self.names.index(name) for name in contributors]
        if job.purpose == "training":
            examples = sum(2**index for index in indexes)
            mean = sum(2**index * (index + 1) / 8 for index in indexes) / examples
            found = sums.update * spec.weight_bound / examples
            turn = (LATER if self.edition and job.name == "b" else 0) + (1 if self.steady else round_)
            signs = np.array([1.0 if place % (turn + 1) else -1.0 for place in range(job.length)])
            if sums.scalars["examples"] != examples or np.abs(found - mean * signs).max() > 0.02:
                return f"{sums.scalars}, {found[:1]}; its contributors make {examples} and {mean}"
            return ""
        wanted = sum(2.0 ** (job.place + index + len(self.names) * (round_ - 1)) for index in indexes)
        rest = [*sums.update[:1], *sums.update[2:]]
        if len(sums.update) != job.length or any(value != wanted for value in rest):
            return f"{sums.update[:1]}, its contributors make {wanted}"
        return ""


def original(name: str) -> str:
    """Return the name under which a job was submitted first: whoever submits it again gets a number."""
    return name.partition("-")[0]


def drawn(chance: Chance, names: tuple[str, ...], lengths: Sequence[int], *, malice: bool) -> Plan:
    """Return the plan of a seed; where there is malice, there is more to be gained by a second job."""
    jobs = {"a": _first(chance, lengths)}
    if chance.happens(0.8 if malice else 0.5):
        jobs["b"] = _second(chance, names, lengths, jobs["a"])
    jobs[LAST] = Planned(LAST, "sum", "d-last", 2 * STEP, chance.choose(lengths))
    revoked = chance.choose(names) if malice and chance.happens(0.5) else ""
    if revoked:
        # What was summed with that member, and once more when it is gone, or another one under its name.
        jobs["b"] = replace(jobs["a"], name="b", place=STEP, rounds=1)
    return Plan(
        names, jobs, chance.happens(0.5), chance.choose(("no", "no", "job", "overlap")), chance.happens(0.3), revoked,
        chance.happens(0.4), chance.happens(0.6),
    )  # fmt: skip


def turned(plan: Plan, chance: Chance) -> Plan:
    """Return a plan in which persons may also revoke a member in the midst of a job, or declare next year's file.

    With three there is no federation left without one of them. The training on next year's file is over whom it likes:
    what was summed or trained on before binds nothing of it.
    """
    revokes, declares = chance.happens(0.15) and len(plan.names) > 3, chance.happens(0.15)
    if revokes:
        name, hurried, again = chance.choose(plan.names), chance.happens(0.6), chance.happens(0.5)
        return replace(plan, revoke=name, hurried=hurried, enrols_again=again)
    if not declares:
        return plan
    cohort, rounds = _fewer(chance, plan.names) if chance.happens(0.6) else (), chance.choose((1, 2))
    next_job = Planned("b", "training", plan.jobs["a"].source, STEP, PARAMETERS, rounds, cohort)
    jobs = {"a": plan.jobs["a"], "b": next_job, LAST: plan.jobs[LAST]}
    return replace(plan, jobs=jobs, allow="no", edition=NEXT_YEAR)


def _first(chance: Chance, lengths: Sequence[int]) -> Planned:
    if chance.happens(0.3):
        return Planned("a", "training", "d-a", 0, PARAMETERS, chance.choose((1, 2, 3)))
    return Planned("a", "sum", "d-a", 0, chance.choose(lengths), chance.choose((1, 1, 2)))


def _second(chance: Chance, names: tuple[str, ...], lengths: Sequence[int], first: Planned) -> Planned:
    training = chance.happens(0.8 if first.purpose == "training" else 0.1)
    source = first.source if chance.happens(0.5) else "d-b"
    cohort = _fewer(chance, names) if chance.happens(0.4) else ()
    if not training:
        return Planned("b", "sum", source, STEP, chance.choose(lengths), 1, cohort)
    model = chance.choose(("fresh", "made", "signed")) if first.purpose == "training" else "fresh"
    return Planned("b", "training", source, STEP, PARAMETERS, chance.choose((1, 2)), cohort, model)


def _fewer(chance: Chance, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return as many members as a job may have, without one or two of them."""
    least = max(default_colluders(len(names)) + 2, 3)
    left = list(names)
    for _ in range(chance.choose((1, 2))):
        if len(left) > least:
            left.pop(chance.below(len(left)))
    return tuple(left)


def model_of(values: Iterable[float]) -> bytes:
    """Return a model that holds these values."""
    return encode_model({"values": np.array(list(values), dtype=np.float32)})


def signed_zeros(data: bytes) -> bytes:
    """Return a model with -0.0 where it has 0.0: the same numbers in other bytes."""
    values = decode_model(data)["values"]
    return model_of(-0.0 if value == 0 else value for value in values)


@functools.cache
def fresh() -> bytes:
    """Return the first model of every job that does not begin with another job's: half of it zeros."""
    return model_of(0.0 if index % 2 else index / 4 for index in range(PARAMETERS))


@functools.cache
def written() -> Path:
    """Write the tasks' code, once per process."""
    place = Path(tempfile.mkdtemp(prefix="secagg-task-", dir=shelf()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    (place / "task.py").write_text(CODE.replace("LENGTH", str(PARAMETERS)))
    return place / "task.py"


def shelf() -> str | None:
    """Return where simulated disks lie: in memory when there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - private directories are made there
