"""Four hospitals train one model together, each of them a process of its own, and one of them is killed on the way.

How to read it: `play` is the whole story in order. Two jobs run: the sums for standardisation, then the training, which
uses them. What people see on the way is told to a `Screen`; what is left at the end is a `Story`.
Rules: every number shown was read where its owner keeps it: reports in the hospitals' directories, uploads in the
aggregator's, traffic from the daemons. The demonstration plays all of them, which is why it may read everything.
Leaves to others: processes and enrolment (founding.py), the pictures (live.py, ending.py), what hospitals compute
(sites/heart/task.py, copied into each hospital's directory and loaded there).
"""

import json
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from secagg.daemon.admin import SOCKET, ask
from secagg.daemon.requests import Link
from secagg.daemon.writing import plained
from secagg.demo.entrusting import Fate, Trustees
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.demo.live import Screen
from secagg.demo.seen import Report, Seen, audit, look, upload_bytes
from secagg.errors import PeerUnavailable, SecaggError
from secagg.events.kinds import rewritten
from secagg.events.line import Event
from secagg.events.rounds import JobDone, JobFailed, Model, RoundAborted, RoundClosed

HOSPITALS = ("cleveland", "hungary", "long-beach", "switzerland")
MOMENTS, RISK = "heart-moments", "heart-risk"
KILL_ROUND = 5
PARAMETERS = 140
EXAMPLES = 212
"""W, the bound of a hospital's weight: the most patients that one of them trains on."""

_REPORTS = 20.0
"""Seconds that the hospitals have to write their reports after the last round."""

Scores = dict[str, tuple[float, float]]
"""AUC by hospital: mean and spread over the ten splits."""

_POLICY = """
[policy]
exact_counts = true
engines = ["{engine}"]
allow_trials = true

[tasks.heart-moments]
task = "task.py:MomentsTask"
data = "{data}"

[tasks.heart-risk]
task = "task.py:HeartRisk"
data = "{data}"
"""

_SUM = f"""
[job]
name = "{MOMENTS}"
task = "{MOMENTS}"
purpose = "sum"
length = 150
[cohort]
step_timeout = "{{step}}"
# Four nodes that import torch at once, on a machine with two cores: the first round waits for all of them.
rejoin_timeout = "120s"
[engine]
name = "{{engine}}"
"""

_TRAINING = f"""
[job]
name = "{RISK}"
task = "{RISK}"
rounds = {{rounds}}
uses = ["{MOMENTS}"]
[cohort]
step_timeout = "{{step}}"
rejoin_timeout = "20s"
max_examples = {EXAMPLES}
[engine]
name = "{{engine}}"
bits = 16
clip = 1.0
[[metrics]]
name = "loss"
max = 16.0
"""


@dataclass
class Story:
    """What is left at the end."""

    rounds: int
    engine: str = "masks"
    killed: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    """Those of them that contributed to a later round."""
    dropped: list[str] = field(default_factory=list)
    closed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    examples: dict[int, float] = field(default_factory=dict)
    failed: str = ""
    alone: Scores = field(default_factory=dict)
    federated: Scores = field(default_factory=dict)
    centralised: Scores = field(default_factory=dict)
    seen: Seen | None = None
    sent: dict[str, int] = field(default_factory=dict)
    upload_bytes: int = 0
    report: Report | None = None
    fingerprint: str = ""


def play(
    kill: tuple[str, str] | None, cheat: bool, rounds: int, bundle: Path, screen: Screen,
    trustees: tuple[str, ...] = (),
) -> Story:  # fmt: skip
    """Play the demonstration; write its bundle into `bundle`, which does not exist yet.

    `kill` is (hospital or trustee, step): it dies there in the fifth training round, or the middle one if there are
    fewer. With `trustees`, two of whom open every sum, the engine is paillier.
    Raises: SecaggError when a process fails.
    """
    story = Story(rounds, "paillier" if trustees else "masks")
    # The federation is left first: it ends what works beside, which then needs no waiting for.
    with ThreadPoolExecutor(2) as beside, Federation("heart") as federation:
        screen.say("founding the federation: key server, broker, aggregator, four hospitals")
        model = federation.place / "first.safetensors"
        making = beside.submit(federation.run, "node", "model", _task(federation.place), "-o", str(model))
        federation.open()
        federation.enrol({AGGREGATOR: "aggregator"} | dict.fromkeys(HOSPITALS, "node"))
        screen.say(f"enrolled {len(HOSPITALS)} hospitals, root {federation.fingerprint[:23]}…")
        federation.start_aggregator(cheat)
        for name in HOSPITALS:
            _settle_in(federation, name, story.engine)
            federation.start_node(name, _drill(kill, name, rounds))
        holders = Trustees(federation, trustees, Fate(*kill, RISK, _late(rounds)) if kill and trustees else None)
        holders.open(screen)
        for name in HOSPITALS:
            federation.await_node(name)
        engine = {"engine": story.engine, "step": "20s" if trustees else "3s"}
        _follow(federation, story, screen, holders, _SUM.format(**engine), None)
        making.result()
        baselines = Baselines(federation, beside, rounds)
        if not story.failed:
            job = _TRAINING.format(rounds=rounds, **engine)
            _follow(federation, story, screen, holders, job, model, baselines.start)
        _gather(federation, story, screen, baselines, bundle)
    return story


def _task(place: Path) -> str:
    """Copy the task to where the operator makes the first model, and name it."""
    path = place / "operator"
    path.mkdir(mode=0o700)
    shutil.copy(str(_site("task.py")), path / "task.py")
    return f"{path / 'task.py'}:HeartRisk"


def _site(name: str) -> Path:
    return Path(str(resources.files("secagg.demo").joinpath(f"sites/heart/{name}")))


def _settle_in(federation: Federation, name: str, engine: str) -> None:
    """Give a hospital its own data, its own copy of the code, its policy."""
    home = federation.home(name)
    for file in (f"{name}.csv", "task.py", "clear.py"):
        shutil.copy(str(_site(file)), home / file)
    federation.configure(name, _POLICY.format(data=f"{name}.csv", engine=engine))


def _drill(kill: tuple[str, str] | None, name: str, rounds: int) -> str:
    if kill is None or kill[0] != name:
        return ""
    return f"{kill[1]}@{_late(rounds)}@{RISK}"


def _late(rounds: int) -> int:
    """Return the training round in which somebody dies."""
    return min(KILL_ROUND, -(-rounds // 2))


# The rounds ----------------------------------------------------------------------------------------------------------


def _follow(
    federation: Federation, story: Story, screen: Screen, holders: Trustees, job: str, model: Path | None,
    idle: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Submit a job and follow it to its end; a hospital that was killed is started again once its round is over.

    `idle` is called when everybody waits for one that is dead.
    """
    told: queue.Queue[Event | Silence] = queue.Queue()
    events = federation.watch()
    threading.Thread(target=_forward, args=(events, told), daemon=True).start()
    federation.submit(job, model, holders.custody)
    while True:
        event = _next(told)
        if isinstance(event, Silence):
            raise PeerUnavailable("The aggregator stopped in the middle of a job.", "Its log was shown above.")
        _note(event, story)
        screen.show(event)
        _mourn(federation, story, screen, event)
        story.killed += holders.follow(event, screen)
        if screen.dead:
            idle()
        if isinstance(event, JobFailed):
            story.failed = event.reason
        if isinstance(event, JobDone | JobFailed):
            return


class Silence:
    """The end of what the aggregator tells: it is gone."""


def _forward(events: Iterator[Event], told: "queue.Queue[Event | Silence]") -> None:
    for event in events:
        told.put(rewritten(event, plained))
    told.put(Silence())


def _next(told: "queue.Queue[Event | Silence]") -> Event | Silence | None:
    """Return what is told next, None when a moment passes without."""
    try:
        return told.get(timeout=0.1)
    except queue.Empty:
        return None


def _note(event: Event | None, story: Story) -> None:
    if isinstance(event, RoundClosed) and event.job == RISK:
        story.closed[event.round] = event.contributors
        story.dropped += [f"{out.member}@{out.step}" for out in event.dropped]
        again = [name for name in story.restarted if name in event.contributors]
        story.recovered += [name for name in again if name not in story.recovered]
    if isinstance(event, Model) and event.job == RISK:
        story.examples[event.round] = event.scalars["examples"]


def _mourn(federation: Federation, story: Story, screen: Screen, event: Event | None) -> None:
    """Show whose process is gone, and start it again after the round that it missed."""
    for name in HOSPITALS:
        if federation.processes.killed(name) and name not in screen.dead:
            step = federation.drills[name].partition("@")[0]
            story.killed.append(f"{name}@{step}")
            screen.died(name, step)
    over = isinstance(event, RoundClosed | RoundAborted) and event.job == RISK
    for name in [name for name in screen.dead if name in HOSPITALS] if over else ():
        federation.start_node(name)
        story.restarted.append(name)
        screen.revived(name)


class Baselines:
    """The same training without the federation: alone at every hospital, and once on all files together.

    It shares the machine with the federation, so it starts where nothing else happens.
    """

    def __init__(self, federation: Federation, beside: Executor, rounds: int) -> None:
        self._federation, self._beside, self._rounds = federation, beside, rounds
        self._under_way: list[Future[str]] = []

    def start(self) -> None:
        """Start the five trainings, two at a time; once."""
        if self._under_way:
            return
        rounds = ("--rounds", str(self._rounds))
        homes = [self._federation.home(name) for name in HOSPITALS]
        files = [str(home / f"{home.name}.csv") for home in homes]
        lines = [("--task", f"{homes[0] / 'task.py'}:HeartRisk", "--data", *files)]
        lines += [("--alone", "--task", RISK, "--config", str(self._federation.config(name))) for name in HOSPITALS]
        self._under_way = [
            self._beside.submit(self._federation.run, "node", "train", *rounds, *line) for line in lines
        ]  # fmt: skip

    def scores(self) -> tuple[Scores, Scores]:
        """Return how the hospitals do alone, and with pooled data. Raises: SecaggError when a training failed."""
        self.start()
        pooled, *own = (_scores(future.result()) for future in self._under_way)
        return {name: found[name] for name, found in zip(HOSPITALS, own, strict=True)}, pooled


# What is left --------------------------------------------------------------------------------------------------------


def _gather(
    federation: Federation, story: Story, screen: Screen, baselines: Baselines, bundle: Path
) -> None:  # fmt: skip
    """Read every party's own files, export the bundle, let the auditor judge it."""
    story.fingerprint = federation.fingerprint
    if not story.failed:
        screen.say("every hospital evaluates the model on its own held-out patients")
        story.federated = {name: _report(federation, name, story.rounds) for name in HOSPITALS}
    for name in HOSPITALS:
        link = ask(federation.home(name) / "state" / SOCKET, Link())
        story.sent[name] = link.sent_bytes
    screen.say("the same training without the federation: alone, and on pooled files")
    baselines.start()
    federation.export(bundle)
    story.alone, story.centralised = baselines.scores()
    uploads = federation.home(AGGREGATOR) / "state" / "audit" / "files"
    if not story.failed:
        story.seen = look(bundle, uploads, MOMENTS, HOSPITALS[0], _clear(federation, HOSPITALS[0]))
        story.upload_bytes = upload_bytes(bundle, uploads, RISK)
    screen.say("the auditor judges the bundle, with nothing but its files and the root's fingerprint")
    story.report = audit(bundle, federation.fingerprint)


def _report(federation: Federation, name: str, rounds: int) -> tuple[float, float]:
    """Return mean and spread of the AUC from a hospital's own report file, once it is that of the last round."""
    path, end = federation.home(name) / f"{name}.report.json", time.monotonic() + _REPORTS
    while time.monotonic() < end:
        found = json.loads(path.read_bytes()) if path.exists() else {}
        if (found.get("job"), found.get("round")) == (RISK, rounds):
            return float(found["auc"]["mean"]), float(found["auc"]["spread"])
        time.sleep(0.05)
    raise SecaggError(f"{name} wrote no report after the last round.", f"See {federation.processes.log(name)}.")


def _scores(printed: str) -> Scores:
    found = json.loads(printed)["metrics"]
    return {name: (values["auc"], values["auc-spread"]) for name, values in found.items()}


def _clear(federation: Federation, name: str) -> list[float]:
    """Let a hospital look at its own vector."""
    home = federation.home(name)
    printed = federation.run(str(home / "clear.py"), str(home / f"{name}.csv"), command=(sys.executable,))
    values: list[float] = json.loads(printed)
    return values
