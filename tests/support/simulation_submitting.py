"""The person who submits the jobs of a seed, reads how they end, and submits again what waited in vain.

A job whose first round waited in vain for somebody says so with the command that gets on. So does one of whose members
somebody was revoked. It is submitted again when its number allows it, sometimes without those who stayed away.
Rules: what is submitted again is the same job under the name that the aggregator gives it (`a-2`). The last one is
never submitted without somebody.
Leaves to others: what jobs compute (simulation_plan), allowing and revoking (simulation_persons).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aggregator.bounds import FIRST, LEFT
from secagg.protocol.manifest import default_colluders
from secagg.rehearsal.federation import AGGREGATOR
from support.simulation_clock import Chance
from support.simulation_plan import LAST, Plan, Planned, fresh, original, signed_zeros
from support.simulation_world import World

CHUNK = 4096
OFTEN = 4
"""How often a job is submitted at most."""

LOOKS = 2.0
"""Virtual seconds between two looks at a job."""

WITHOUT = 0.4
"""How often a job goes on without those who stayed away."""

_AWAY = re.compile(r"--without (\S+?)(?=[ .])")


class Submitting:
    """Every job that a person submits."""

    def __init__(self, world: World, plan: Plan, place: Path, seed: int, engine: str, custody: Path | None) -> None:
        self._world, self._plan, self._place, self._engine, self._custody = world, plan, place, engine, custody
        self._chance = Chance(seed, "person")
        self._step, self._round = self._chance.choose(("3s", "6s")), self._chance.choose(("20s", "60s"))
        self._rejoin = self._chance.choose(("0s", "10s"))

    def begin(self) -> None:
        """Submit the first job in a while."""
        self._later(self._chance.between(3, 8), "a")

    def soon(self, name: str) -> None:
        """Submit a job in a while."""
        self._later(self._chance.between(3, 30), name)

    def submit(self, name: str) -> None:
        """Submit a job, and again until the aggregator says that it has it; then look how it ends."""
        shown = self._shown()
        newest = newest_of(name, shown) if shown is not None else None
        if shown is not None and newest is None:
            self._ask(name, ())
        elif newest and self._again(newest):
            self._ask(name, self._without(name, newest))
        elif newest and newest["state"] in ("done", "failed"):
            return
        self._later(LOOKS if newest else 1.0, name)

    def over(self, names: tuple[str, ...]) -> bool:
        """Say whether every one of these jobs is over, and not submitted again."""
        newest = [newest_of(name, self._shown() or ()) for name in names]
        return all(job and job["state"] in ("done", "failed") and not self._again(job) for job in newest)

    def newest(self, name: str) -> str:
        """Return the name under which a job was submitted last."""
        found = newest_of(name, self._shown() or ())
        return str(found["name"]) if found else name

    def _later(self, seconds: float, name: str) -> None:
        self._world.loop.call_later(seconds, self.submit, name)

    def _shown(self) -> Any:
        return self._world.machines[AGGREGATOR].ask(command="job-list")

    def _again(self, job: Mapping[str, Any]) -> bool:
        """Say whether a job that ended is to be submitted again."""
        return job["state"] == "failed" and job["rule"] in (FIRST, LEFT) and number_of(job["name"]) < OFTEN

    def _without(self, name: str, job: Mapping[str, Any]) -> tuple[str, ...]:
        """Return whom a job is submitted without, going by what it says of those who stayed away."""
        away = tuple(_AWAY.findall(job["remedy"]))
        least = max(default_colluders(len(self._plan.names)) + 2, 3)
        possible = name != LAST and len(job["cohort"]) - len(away) >= least
        return away if possible and self._chance.happens(WITHOUT) else ()

    def _ask(self, name: str, without: tuple[str, ...]) -> None:
        job = self._plan.jobs[name]
        file = self._plan.file(replace(job, cohort=self._left(job)))
        cohort = {"step_timeout": self._step, "round_timeout": self._round, "rejoin_timeout": self._rejoin}
        file |= {"cohort": {**file["cohort"], **cohort}, "engine": {"name": self._engine, "chunk": CHUNK}}
        given: dict[str, object] = {"without": list(without)}
        if self._custody:
            given["custody"] = str(self._custody)
        if job.purpose == "training":
            given["model"] = str(self._model(job))
        if self._world.machines[AGGREGATOR].ask(command="job-submit", file=file, **given) is not None:
            self._world.count["job submitted"] += 1
            self._world.count["job submitted without somebody"] += bool(without)

    def _left(self, job: Planned) -> tuple[str, ...]:
        """Return the cohort of a job without who was revoked: everybody where too few are left of it."""
        left = tuple(name for name in job.cohort if not self._world.machines[name].gone)
        return left if len(left) >= max(default_colluders(len(self._plan.names)) + 2, 3) else ()

    def _model(self, job: Planned) -> Path:
        """Return where the first model of a job lies: a fresh one, or what job a has made so far."""
        path = self._place / f"{job.name}.safetensors"
        if not path.exists():
            made = self._world.machines[AGGREGATOR].ask(command="job-result", name=self.newest("a"))
            data = Path(made["path"]).read_bytes() if job.model != "fresh" and made else fresh()
            path.write_bytes(signed_zeros(data) if job.model == "signed" else data)
        return path


def newest_of(name: str, shown: Any) -> Any:
    """Return what is shown of the newest job of this name, under whatever number; None when there is none."""
    return max((job for job in shown if original(job["name"]) == name), key=lambda job: job["number"], default=None)


def number_of(name: str) -> int:
    """Return the how manieth time a job of this name was submitted."""
    return int(name.partition("-")[2] or "1")
