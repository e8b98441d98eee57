"""A federation of real processes whose nodes sum numbers with numpy: each one's is a power of two.

Every job has a task of its own, whose data is another edition and whose vector ends with another value. For the nodes'
ledgers bind an input to one set of members. A node is started again with a drill or another policy by `restart`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secagg.demo.founding import AGGREGATOR, Federation
from secagg.events.line import OfJob
from secagg.events.rounds import JobDone, JobFailed
from secagg.log.durable import read_entries
from secagg.log.statements import AnyStatement, parse_statement

NODES = tuple(f"node-{index}" for index in range(4))

TASK = '''
import numpy as np

class Number:
    """This institution's number, seven times, and a mark of the task if it has one."""

    def __init__(self, mark=()):
        self.mark = mark

    def vector(self, data, round):
        return np.append(np.full(7, float(data.read_text())), self.mark)
'''


@contextmanager
def founded(*tasks: str, name: str = "numbers") -> Iterator[Federation]:
    """Found a federation of four nodes that know these tasks; the aggregator runs, the nodes do not yet."""
    with Federation(name) as federation:
        federation.open()
        federation.enrol({AGGREGATOR: "aggregator"} | dict.fromkeys(NODES, "node"))
        for index, node in enumerate(NODES):
            home = federation.home(node)
            (home / "task.py").write_text(TASK)
            (home / "data.txt").write_text(str(2.0**index))
            for mark, task in enumerate(tasks):
                written = f'\n[tasks.{task}]\ntask = "task.py:Number"\ndata = "data.txt"\nedition = "{task}"\n'
                federation.configure(node, f"{written}options = {{ mark = {mark} }}\n")
        yield federation


def start(federation: Federation, **drills: str) -> None:
    """Start all nodes, some with a drill (`node_1="STEP@1@job"`)."""
    for name in NODES:
        federation.start_node(name, drills.get(name.replace("-", "_"), ""))
    for name in NODES:
        federation.await_node(name)


def restart(federation: Federation, name: str, drill: str = "") -> None:
    """Start a node again; one that still runs is ended first."""
    federation.processes.stop(name)
    known = federation.processes.log(name).stat().st_size
    federation.start_node(name, drill)
    federation.processes.await_line(name, b"ready ", known)


def run_job(federation: Federation, task: str, step_timeout: str = "2s") -> list[dict[str, Any]]:
    """Run the sum job of a task to its end and return what the aggregator told of it."""
    events = federation.watch()
    job = f'[job]\nname = "{task}"\ntask = "{task}"\npurpose = "sum"\nlength = 8\n'
    federation.submit(f'{job}[cohort]\nstep_timeout = "{step_timeout}"\nrejoin_timeout = "5s"\n')
    told = []
    for event in events:
        if isinstance(event, OfJob) and event.job == task:
            told.append(event.shown())
            if isinstance(event, JobDone | JobFailed):
                return told
    raise AssertionError("the aggregator stopped")


def result(federation: Federation, task: str) -> list[float]:
    """Return the published sum of a job."""
    values: list[float] = federation.ask_aggregator({"command": "job-result", "name": task})["values"]
    return values[:7]


def without(*names: str) -> list[float]:
    """Return the sum of everybody's numbers but these."""
    return [float(sum(2**i for i, name in enumerate(NODES) if name not in names))] * 7


def statements(bundle: Path) -> list[AnyStatement]:
    """Return everything the round log of a bundle states."""
    return [parse_statement(leaf)[0] for leaf in read_entries(bundle / "rounds")[0]]
