"""Rounds of a real federation through bad links, and what must hold of each: an exact sum or a logged abort, in time.

`python tests/support/weather.py --rounds 100` runs them through the proxy (resets, closes, doubled bytes, 2 s delays,
black holes). The members' links lose, double, delay and reorder messages as well.
"""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secagg.demo.founding import AGGREGATOR, Federation
from secagg.demo.processes import SECAGG
from secagg.events.line import OfJob
from secagg.events.rounds import JobDone, JobFailed, RoundAborted, RoundClosed, RoundStarted
from support import drills
from support.drills import NODES
from support.proxy import Draw, Proxy, drawn

STEP = 8.0
"""Seconds of a step."""

STEPS = 5
SLACK = 6.0
"""Seconds for what is no step: logging, the sum, a restart of nothing, a busy machine."""

ATTEMPTS = 3
TASKS = 120


class Weather:
    """A federation behind a proxy, and what became of its rounds."""

    def __init__(self, federation: Federation, proxy: Proxy) -> None:
        self.federation, self.proxy = federation, proxy
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0
        self._jobs = 0

    def round(self) -> None:
        """Run one job of one round to its end and judge it."""
        name = f"job-{self._jobs}"
        self._jobs += 1
        events = self.federation.watch()
        job = f'[job]\nname = "{name}"\ntask = "task-{self._jobs}"\npurpose = "sum"\nlength = {drills.LENGTH}\n'
        self.federation.submit(
            f'{job}[cohort]\nstep_timeout = "{STEP:.0f}s"\nround_timeout = "60s"\n[engine]\nchunk = 4096\n'
        )
        begun: dict[int, float] = {}
        for event in events:
            if not isinstance(event, OfJob) or event.job != name:
                continue
            self._time(event, begun)
            if isinstance(event, JobDone | JobFailed):
                break
        events.close()
        self._judge(name, self.federation.ask_aggregator({"command": "job-show", "name": name}))

    def _time(self, event: OfJob, begun: dict[int, float]) -> None:
        now = time.monotonic()
        if isinstance(event, RoundStarted):
            begun[event.attempt] = now
        elif isinstance(event, RoundClosed | RoundAborted):
            took = now - begun[event.attempt]
            self.slowest = max(self.slowest, took)
            if took > STEPS * STEP + SLACK:
                self.wrong.append(f"{event.job} attempt {event.attempt} took {took:.1f} s")

    def _judge(self, name: str, shown: dict[str, Any]) -> None:
        """Hold a result against its own contributors; an abort must be logged with a reason."""
        if shown["state"] == "done":
            (ended,) = [found for found in shown["ended"] if not found["lost"]]
            values = self.federation.ask_aggregator({"command": "job-result", "name": name})["values"]
            wanted = float(sum(2 ** NODES.index(member) for member in ended["contributors"]))
            self.ended["with everybody" if len(ended["contributors"]) == len(NODES) else "with drop-outs"] += 1
            if values != [wanted] * drills.LENGTH:
                self.wrong.append(f"{name}: {sorted(set(values))} of {ended['contributors']}")
        else:
            self.ended["aborted"] += 1
            sys.stdout.write(f"{name}: {shown['reason']}\n")
            if not shown["reason"]:
                self.wrong.append(f"{name} failed without a reason")


@contextmanager
def founded(draw: Draw, rate: float = 0.0, seed: int = 1) -> Iterator[Weather]:
    """Found a federation whose aggregator and nodes dial the proxy; their links are faulty at `rate`."""
    with drills.founded("drill-weather", TASKS) as federation:
        own, broker = drills.free_ports(), federation.port
        ports = {own + door: broker + door for door in range(3)}
        with Proxy(ports, draw) as proxy:
            for index, name in enumerate((AGGREGATOR, *NODES)):
                config = federation.config(name)
                config.write_text(config.read_text().replace(f":{broker}", f":{own}"))
                noun = ("aggregator", "serve") if name == AGGREGATOR else ("node", "run")
                faulty = (sys.executable, str(Path(__file__).with_name("faulty.py")), str(seed + index), str(rate))
                command = faulty if rate else SECAGG
                federation.processes.serve(name, *noun, "--config", str(config), command=command)
            while federation.ask_aggregator({"command": "status"})["roster"] is None:
                time.sleep(0.1)
            yield Weather(federation, proxy)


def main(arguments: list[str]) -> int:
    """Run the rounds; return 1 when one was wrong or hung."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.02)
    given = parser.parse_args(arguments)
    # The children are sessions of their own: whoever ends this program ends them too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    with founded(drawn(given.seed), given.rate, given.seed) as weather:
        for number in range(1, given.rounds + 1):
            weather.round()
            sys.stdout.write(f"round {number}: {dict(weather.ended)}, {len(weather.wrong)} wrong, "
                             f"{time.monotonic() - begun:.0f} s\n")  # fmt: skip
            sys.stdout.flush()
        verdict = drills.audited(weather.federation)
    met = ", ".join(f"{kind} {count}" for kind, count in sorted(weather.proxy.met.items()))
    lines = [
        f"rounds    {given.rounds}: " + ", ".join(f"{count} {how}" for how, count in sorted(weather.ended.items())),
        f"proxy     {weather.proxy.met.total()} connections broken: {met}",
        f"messages  each lost, doubled or late with probability {given.rate} at both ends",
        f"slowest   {weather.slowest:.1f} s of {STEPS * STEP:.0f} s",
        f"wrong     {len(weather.wrong)}",
        f"audit     {verdict or 'PASS'}",
        f"time      {time.monotonic() - begun:.0f} s",
    ]
    sys.stdout.write("\n".join([*lines, *weather.wrong]) + "\n")
    return 1 if weather.wrong or verdict else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
