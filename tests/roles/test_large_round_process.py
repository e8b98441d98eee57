"""A round of engine paillier at the size that costs are stated for, every role a process: what each of them computes.

Ten nodes train 10^5 parameters under a key of 3072 bits that two of three trustees open. Left out of every other run;
`pytest -s tests/roles/test_large_round_process.py` prints the seconds of CPU that docs/performance.md shows.
"""

import os
import time
from pathlib import Path

import pytest

from secagg.auditor.verify import verify
from secagg.demo.entrusting import entrust, publish_key, start_trustee
from secagg.demo.founding import AGGREGATOR, Federation
from secagg.events.rounds import JobDone, JobFailed
from secagg.log.statements import Opening, Result
from support.federations import statements

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(1800)]
NODES = tuple(f"node-{index}" for index in range(10))
TRUSTEES = ("ana", "ben", "cyd")
SETTINGS = """
[tasks.wide]
task = "task.py:Wide"
data = "data.txt"
[policy]
engines = ["paillier"]
allow_trials = true
exact_counts = true
"""
TASK = '''
import torch

from node.task import Trained

class Wide:
    """A hundred thousand parameters that training moves by as much as the data say."""

    def model(self):
        torch.manual_seed(1)
        return torch.nn.Linear(99_999, 1)

    def train(self, model, data, round):
        with torch.no_grad():
            for one in model.parameters():
                one += float(data.read_text())
        return Trained(10)

    def evaluate(self, model, data):
        return {}
'''
JOB = """
[job]
name = "wide"
task = "wide"
[cohort]
step_timeout = "10m"
max_examples = 10
[engine]
name = "paillier"
bits = 16
clip = 1.0
"""


def spent(pid: int) -> float:
    """Return the seconds of CPU of a process and its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def settle(federation: Federation) -> None:
    """Start everybody and have the key dealt."""
    federation.open()
    federation.enrol({AGGREGATOR: "aggregator"} | dict.fromkeys(NODES, "node"))
    for index, name in enumerate(NODES):
        (federation.home(name) / "task.py").write_text(TASK)
        (federation.home(name) / "data.txt").write_text(str((index - 4) / 16))
        federation.configure(name, SETTINGS)
    federation.start_aggregator()
    entrust(federation, TRUSTEES, 2, 3072)
    publish_key(federation)
    for name in NODES:
        federation.start_node(name)
    for name in TRUSTEES:
        start_trustee(federation, name)
    for name in NODES:
        federation.await_node(name)


def test_ten_nodes_and_a_hundred_thousand_parameters(tmp_path: Path) -> None:
    with Federation("large") as federation:
        settle(federation)
        model = tmp_path / "first.safetensors"
        federation.run("node", "model", f"{federation.home(NODES[0]) / 'task.py'}:Wide", "-o", str(model))
        everybody = (*NODES, *TRUSTEES, AGGREGATOR)
        before = {name: spent(federation.processes.pid(name)) for name in everybody}
        events, began = federation.watch(), time.monotonic()
        federation.submit(JOB, model, federation.place / "custody.bin")
        ended = next(type(event) for event in events if isinstance(event, JobDone | JobFailed))
        wall = time.monotonic() - began
        took = {name: spent(federation.processes.pid(name)) - before[name] for name in everybody}
        assert ended is JobDone
        federation.export(tmp_path / "bundle")
    began = time.process_time()
    assert {line.status for line in verify(tmp_path / "bundle").checks} == {"pass"}
    audit = time.process_time() - began
    said = statements(tmp_path / "bundle")
    (result,) = (one for one in said if isinstance(one, Result))
    (opening,) = (one for one in said if isinstance(one, Opening))
    assert len(result.contributors) == len(NODES)
    assert len({answer.member for answer in opening.answers}) == 2
    print(f"\nwall {wall:.1f} s, audit {audit:.1f} s; CPU seconds of each:")
    for kind, names in (("node", NODES), ("trustee", TRUSTEES), ("aggregator", (AGGREGATOR,))):
        each = sorted(took[name] for name in names)
        print(f"{kind:>11} {each[0]:.2f} to {each[-1]:.2f}")
