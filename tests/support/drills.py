"""Kill -9 and SIGSTOP against every role of a real federation, over and over, until the count is full.

`python tests/support/drills.py --kills 500` founds a federation of key server, broker, aggregator and four nodes, runs
jobs one after the other, and lets every process die. They die at the named crash points of their own loop
(secagg.daemon.drill), each in turn, and at any moment (kill -9 from outside). Meanwhile others are frozen (SIGSTOP) and
thawed. Whoever died is started again. Every job must publish the sum of the fault-free run, bit by bit, with every node
in it once. At the end the auditor verifies everything that was logged. Counts lie in a file, so that an interrupted run
goes on.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secagg.daemon.admin import SOCKET, call
from secagg.daemon.drill import VARIABLE
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.demo.processes import SECAGG
from secagg.errors import PeerUnavailable, SecaggError
from support.federations import TASK

KEYSERVER, BROKER = "keyserver", "broker"
COMMAND = SECAGG
NODES = tuple(f"node-{index}" for index in range(4))
LENGTH = 12_000
"""Values of a vector: 32 KB, eight chunks of the smallest size, so that an upload has a middle."""

TASKS = 25
JOB_LIMIT = 240.0
"""Seconds that a job may take, whatever dies in it."""

_BOTH = ("before-save", "after-save")
_ROUND = ("AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask")
_STEPS = ("Propose", "MemberKeys", "DeliverShares", "Freeze", "Open")

POINTS: dict[str, tuple[str, ...]] = {
    AGGREGATOR: (
        *(f"{where}/round.{kind}@{count}" for kind in _ROUND for where, count in zip(_BOTH, (2, 4), strict=True)),
        *(f"{where}/{what}" for where in _BOTH for what in
          ("chunk@5", "work.take@2", "work.unmask@1", "work.log@2", "work.model@1", "work.forget@1", "present@3",
           "command.job-submit@1", "timer.tick@2")),
        "chunk-data/*@3", "chunk-data/*@20",
    ),
    "node": (
        *(f"{where}/round.{kind}@1" for kind in _STEPS for where in _BOTH),
        *(f"{where}/{what}" for where in _BOTH for what in
          ("announce@1", "work.update@1", "work.mask@1", "ack-chunk@1", "ack-chunk@5", "result@1", "work.result@1",
           "piece@1", "work.erase@1", "start@1", "timer.present@2")),
    ),
    BROKER: ("relay/control@10", "relay/control@60", "relay/bulk@1", "relay/bulk@9", "relay/bulk@30"),
    KEYSERVER: tuple(f"{where}/{what}" for where in _BOTH for what in ("timer.remind@1", "roster@1", "start@1")),
}  # fmt: skip
"""Every line of the crash table that a round passes; enrolment has a drill of its own (`ENROLMENT`)."""

ENROLMENT = tuple(f"{where}/{what}@1" for where in _BOTH for what in
                  ("command.token.create", "enrol", "command.member.approve", "work.publish"))  # fmt: skip


def free_ports(count: int = 3) -> int:
    """Return the first of some ports of loopback in a row that nobody uses."""
    chance = random.Random(os.getpid() ^ time.monotonic_ns())
    while True:
        base = chance.randrange(20_000, 60_000)
        with suppress(OSError):
            for port in range(base, base + count):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
            return base


@dataclass
class Counts:
    """What was done so far; kept in a file."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.kills.total()

    def save(self, path: Path | None) -> None:
        if path:
            draft = path.with_suffix(".new")
            draft.write_text(json.dumps(self.__dict__))
            draft.replace(path)

    @classmethod
    def load(cls, path: Path | None) -> "Counts":
        if path is None or not path.exists():
            return cls()
        kept = json.loads(path.read_text())
        counters = {name: Counter(kept[name]) for name in ("kills", "points", "stops")}
        return cls(kept["jobs"], **counters, repeated=kept["repeated"], wrong=kept["wrong"])


class Drill:
    """One federation under attack."""

    def __init__(self, federation: Federation, counts: Counts, seed: int) -> None:
        self.federation, self.counts = federation, counts
        self.chance = random.Random(seed)
        self._armed: dict[str, str] = {}
        self._frozen: dict[str, float] = {}
        # Every point once, in an order of this seed, before any comes a second time.
        self._queues: dict[str, list[str]] = {}

    # Processes -------------------------------------------------------------------------------------------------------

    def begin(self, name: str, point: str = "") -> None:
        """Start a role, with a crash point armed if one is named."""
        children = self.federation.processes
        children.environment[name] = {VARIABLE: point} if point else {}
        self._armed[name] = point
        children.start(name, *self._line(name))

    def _line(self, name: str) -> tuple[str, ...]:
        place = self.federation.place
        if name == BROKER:
            places = place / BROKER / "places.json"
            return ("broker", "serve", "--config", str(place / BROKER / "broker.toml"), "--ready", str(places))
        if name == KEYSERVER:
            return ("keyserver", "serve", "--config", str(place / KEYSERVER / "keyserver.toml"))
        noun = ("aggregator", "serve") if name == AGGREGATOR else ("node", "run")
        return (*noun, "--config", str(self.federation.config(name)))

    def point(self, name: str) -> str:
        """Return the next crash point for a role."""
        role = "node" if name in NODES else name
        if not self._queues.get(role):
            found = sorted(POINTS[role], key=lambda text: (self.counts.points[f"{role} {text}"], self.chance.random()))
            self._queues[role] = found
        return self._queues[role].pop(0)

    def kill(self, name: str) -> None:
        """Kill a role from outside, whatever it is doing."""
        self._thaw(name)
        with suppress(ProcessLookupError):
            os.kill(self.federation.processes.pid(name), signal.SIGKILL)

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a role for some seconds."""
        if name not in self._frozen and self.federation.processes.alive(name):
            os.kill(self.federation.processes.pid(name), signal.SIGSTOP)
            self._frozen[name] = time.monotonic() + seconds
            self.counts.stops[role_of(name)] += 1

    def _thaw(self, name: str) -> None:
        if self._frozen.pop(name, None) is not None:
            with suppress(ProcessLookupError):
                os.kill(self.federation.processes.pid(name), signal.SIGCONT)

    def tend(self, more: int) -> int:
        """Thaw who was frozen long enough, start who died; return how many deaths there were.

        The first `more` of them are started with their next crash point armed, the others without.
        """
        for name, until in list(self._frozen.items()):
            if time.monotonic() >= until:
                self._thaw(name)
        died = 0
        for name in (BROKER, KEYSERVER, AGGREGATOR, *NODES):
            if self.federation.processes.alive(name):
                continue
            code = self.federation.processes.code(name)
            if code != -signal.SIGKILL:
                raise AssertionError(f"{self.federation.processes.failure(name)}")
            died += 1
            self._frozen.pop(name, None)
            self.counts.kills[role_of(name)] += 1
            if self._armed[name]:
                self.counts.points[f"{role_of(name)} {self._armed[name]}"] += 1
            self.begin(name, self.point(name) if died <= more else "")
        return died

    # Jobs ------------------------------------------------------------------------------------------------------------

    def ask(self, role: str, /, **request: object) -> Any:
        """Ask a role that may be dead; None when it does not answer."""
        home = self.federation.place / role / "state" / SOCKET
        try:
            return call(home, dict(request), timeout=2.0)
        except (PeerUnavailable, ValueError):
            return None
        except SecaggError as error:
            return error if error.code in ("E-JOB", "E-LATER") else None

    def job(self, kills: int, again: int | None = None) -> None:
        """Run one job in which about this many processes die, and judge it.

        At most `again` of them, by default all but the first ones, are started again with a crash point.
        """
        name = f"job-{self.counts.jobs}"
        left = kills if again is None else again
        victims = self.chance.sample((AGGREGATOR, BROKER, *NODES, KEYSERVER), k=min(kills, 4))
        begun, submitted = time.monotonic(), False
        while True:
            left -= self.tend(max(0, left))
            shown = self.ask(AGGREGATOR, command="job-show", name=name)
            if not submitted and isinstance(shown, SecaggError):
                self.ask(AGGREGATOR, command="job-submit", file=self._file(name))
            if isinstance(shown, dict):
                if not submitted:
                    submitted = True
                    self._strike(victims)
                if shown["state"] in ("done", "failed"):
                    break
                if again is None and self.chance.random() < 0.03 and left > 0:
                    self.kill(self.chance.choice((AGGREGATOR, BROKER, *NODES)))
            if time.monotonic() - begun > JOB_LIMIT:
                raise AssertionError(f"{name} hangs: {shown}")
            time.sleep(0.1)
        self._judge(name, shown)
        self.counts.jobs += 1

    def _strike(self, victims: list[str]) -> None:
        """Let the chosen die now, or freeze; when they are started again, they carry a crash point."""
        for name in victims:
            if self.chance.random() < 0.25:
                self.freeze(name, self.chance.choice((0.3, 1.0, 3.0, 9.0)))
            else:
                self.kill(name)

    def _file(self, name: str) -> dict[str, object]:
        task = f"task-{self.counts.jobs % TASKS}"
        return {
            "job": {"name": name, "task": task, "purpose": "sum", "length": LENGTH},
            "cohort": {"step_timeout": "60s", "round_timeout": "200s", "rejoin_timeout": "60s"},
            "engine": {"chunk": 4096},
        }

    def _judge(self, name: str, shown: dict[str, Any]) -> None:
        """Compare with the fault-free run: every node's power of two, once, in one published round."""
        wanted = [float(2 ** len(NODES) - 1)] * LENGTH
        while (result := self.ask(AGGREGATOR, command="job-result", name=name)) is None:
            self.tend(0)
            time.sleep(0.1)
        published = [ended for ended in shown["ended"] if not ended["lost"]]
        values = result["values"] if isinstance(result, dict) else []
        if shown["state"] != "done" or values != wanted or len(published) != 1:
            found = f"{name}: {sorted(set(values))}, {shown['state']} {shown['reason']} {shown['ended']}"
            sys.stdout.write(f"WRONG {found}\n")
            shutil.copytree(self.federation.place / "logs", Path(tempfile.mkdtemp(prefix=f"{name}-")) / "logs")
            self.counts.wrong.append(found)
        self.counts.repeated += sum(ended["attempt"] - 1 for ended in published)

    def quiet(self) -> None:
        """Start everybody without a crash point and wait until the aggregator sees all nodes."""
        for name in list(self._frozen):
            self._thaw(name)
        end = time.monotonic() + JOB_LIMIT
        for name in (BROKER, KEYSERVER, AGGREGATOR, *NODES):
            if self._armed[name] or not self.federation.processes.alive(name):
                self.kill(name)
                self.federation.processes.stop(name)
                self.begin(name)
        while True:
            shown = self.ask(AGGREGATOR, command="status")
            if isinstance(shown, dict) and shown["members"] and all(shown["members"].values()):
                return
            assert time.monotonic() < end, f"after the drill not everybody is back: {shown}"
            time.sleep(0.1)


def role_of(name: str) -> str:
    """Return the role of a process by its name."""
    return "node" if name in NODES else name


@contextmanager
def founded(name: str = "drill-numbers", tasks: int = TASKS, length: int = LENGTH) -> Iterator[Federation]:
    """Found the federation of a drill: four nodes, a broker that can be started again."""
    with Federation(name, free_ports()) as federation:
        federation.open()
        federation.enrol({AGGREGATOR: "aggregator"} | dict.fromkeys(NODES, "node"))
        task = TASK.replace("7", str(length))
        for index, node in enumerate(NODES):
            home = federation.home(node)
            (home / "task.py").write_text(task)
            (home / "data.txt").write_text(str(2.0**index))
            named = (f'[tasks.task-{number}]\ntask = "task.py:Number"\ndata = "data.txt"\n' for number in range(tasks))
            federation.configure(node, "\n[policy]\nmax_rounds_per_source = 1000000\n" + "".join(named))
        yield federation


def take_over(federation: Federation, counts: Counts, seed: int) -> Drill:
    """Return the drill of a founded federation, whose members run from now on."""
    drill = Drill(federation, counts, seed)
    drill._armed |= {BROKER: "", KEYSERVER: ""}
    for name in (AGGREGATOR, *NODES):
        drill.begin(name)
    drill.quiet()
    return drill


def main(arguments: list[str]) -> int:
    """Run until the count is full; return 1 when a result was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="A file with the counts so far; an interrupted run goes on.")
    given = parser.parse_args(arguments)
    # The children are sessions of their own: whoever ends this program ends them too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    counts = Counts.load(given.state)
    begun = time.monotonic()
    with founded() as federation:
        drill = take_over(federation, counts, given.seed + counts.jobs)
        first = counts.jobs
        while counts.total < given.kills:
            drill.job(min(6, given.kills - counts.total))
            counts.save(given.state)
            sys.stdout.write(f"job {counts.jobs}: {counts.total} kills, {counts.stops.total()} stops, "
                             f"{len(counts.wrong)} wrong, {time.monotonic() - begun:.0f} s\n")  # fmt: skip
            sys.stdout.flush()
        drill.quiet()
        verdict = audited(federation)
    report(counts, counts.jobs - first, verdict, time.monotonic() - begun)
    return 1 if counts.wrong or verdict else 0


def audited(federation: Federation) -> str:
    """Return what the auditor has against everything that was logged; nothing when it passes."""
    bundle = federation.place / "bundle"
    federation.export(bundle)
    try:
        federation.run("audit", "verify", str(bundle), "--root", federation.fingerprint)
    except SecaggError as error:
        return error.cause
    return ""


def report(counts: Counts, jobs: int, verdict: str, seconds: float) -> None:
    """Print what was done and what came of it."""
    lines = [
        f"kills     {counts.total}: " + ", ".join(f"{role} {count}" for role, count in sorted(counts.kills.items())),
        f"stops     {counts.stops.total()}: " + ", ".join(f"{r} {n}" for r, n in sorted(counts.stops.items())),
        f"points    {len(counts.points)} of {sum(map(len, POINTS.values()))} crash points, "
        f"{counts.points.total()} deaths at them",
        f"jobs      {counts.jobs} ({jobs} in this run), {counts.repeated} repeated attempts",
        f"wrong     {len(counts.wrong)} (lost, doubled or not bit-equal)",
        f"audit     {verdict or 'PASS'}",
        f"time      {seconds:.0f} s",
    ]
    sys.stdout.write("\n".join([*lines, *counts.wrong]) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
