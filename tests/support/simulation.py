"""A whole federation in one process under one seed: what happens, when, and what must hold whatever happens.

`simulate(seed)` founds a federation of three to five nodes, lets a person submit one or two jobs to it. The network and
the disks do their worst until it is calm; then every job must end, and one more be done with everybody. What differs
from the daemons is the link, the clock, the journal and what is below the files. Services, shell, codec, phases, vault,
blobs, logs and auditor are the product's own. Two runs of a seed do the same. Judging: oracles.
"""

import asyncio
import os
import tempfile
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from secagg.daemon.vault import KeyRing
from secagg.errors import SecaggError
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import BROKER, KEYSERVER
from secagg.wire.codec import encode
from support.federation import names_of
from support.simulation_adversary import MaliciousAggregator, of_revoked
from support.simulation_clock import Chance, Crash, Stuck, VirtualLoop
from support.simulation_disk import watched
from support.simulation_ends import heedless
from support.simulation_founding import Founded, founded
from support.simulation_known import Known, colluders_of
from support.simulation_memory import remembered
from support.simulation_network import SimulatedNetwork, Span, Weather
from support.simulation_oracles import audit, believed, inspect
from support.simulation_persons import Persons, place_of_another
from support.simulation_plan import LAST, drawn, shelf, turned
from support.simulation_roles import AggregatorMachine, KeyserverMachine, NodeMachine
from support.simulation_submitting import Submitting
from support.simulation_trustees import ALL_PLACES, TRUSTEES, EntrustingNode, TrusteeMachine, entrusted, short_keys
from support.simulation_watch import Watch
from support.simulation_world import PLACES, Crashes, World

CUSTODY = "custody.bin"
MALICE = 0.3
"""Share of seeds whose aggregator means harm."""

PATIENCE = 600.0
"""Virtual seconds after which everything must have ended, once it is calm."""

HARM = 40.0
"""Virtual seconds that an aggregator that means harm has once it is calm: nobody owes it that anything ends."""

FORGOTTEN = 8.0
"""Virtual seconds after which an aggregator that heard a node no longer takes it for here."""


@dataclass(frozen=True)
class Outcome:
    """What became of one seed."""

    seed: int
    violations: tuple[str, ...]
    jobs: Counter[str]
    count: Counter[str]
    seconds: float
    trace: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Return the SHA-256 of everything that happened, in order."""
        return sha256("\n".join(self.trace).encode()).hexdigest()


class Simulation:
    """One seed."""

    def __init__(
        self, seed: int, place: Path, focus: str, engine: str = "masks", tricks: tuple[str, ...] | None = None
    ) -> None:
        self.seed, self.place, self.engine = seed, place, engine
        self.trustees = TRUSTEES if engine == "paillier" else ()
        self.chance = Chance(seed, "world")
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._unhandled)
        self.malice = Chance(seed, "malice").happens(MALICE) if tricks is None else bool(tricks)
        # With five, t falls with a seat; with three there is nobody whose leaving is not noticed.
        self.names = names_of(self.chance.choose((3, 4, 5, 5) if self.malice else (3, 3, 4, 5)))
        self.weather = Weather.drawn(Chance(seed, "weather"), (*self.names, AGGREGATOR, KEYSERVER, *self.trustees))
        places = ALL_PLACES if self.trustees else PLACES
        crashes = Crashes(Chance(seed, "crashes"), self.loop, self.weather.calm, focus, places)
        self.world = World(self.loop, crashes)
        # A ciphertext takes milliseconds where a masked word takes none.
        lengths = (7, 7, 7, 7, 7, 60, 60, 300) if self.trustees else (7, 7, 1500, 4000)
        self.plan = drawn(Chance(seed, "plan"), self.names, lengths, malice=self.malice)
        if not self.malice:
            self.plan = turned(self.plan, Chance(seed, "turns"))
        colluders = colluders_of(len(self.names))
        self.known = Known(self.world, self.plan, colluders)
        self.watch = watch = Watch(self.world, self.known, colluders, malice=self.malice)
        self.world.restarted = watch.restarted
        self.world.network = SimulatedNetwork(
            self.loop, Chance(seed, "network"), self.weather, watch.sent, self.world.count
        )
        self._found()
        aggregator = self.world.machines[AGGREGATOR]
        if isinstance(aggregator, MaliciousAggregator):
            aggregator.tricks = set(tricks or (*aggregator.tricks, *of_revoked(self.plan)))

    def _unhandled(self, loop: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Crash):
            self.world.violate("fail", f"the loop met {context['message']}: {error!r}")

    def _found(self) -> None:
        held = entrusted(len(self.names)) if self.trustees else None
        self.given = given = held.given if held else founded(len(self.names))
        KeyserverMachine(self.world, self.place / KEYSERVER, self.seed, given)
        aggregator = MaliciousAggregator if self.malice else AggregatorMachine
        aggregator(self.world, AGGREGATOR, self.place / AGGREGATOR, self.seed, given)
        for index, name in enumerate(self.names):
            data = self.place / f"{name}-data"
            data.mkdir()
            for source in self.plan.sources():
                (data / f"{source}.json").write_bytes(self.plan.data(index))
            self._seat(name, self.place / name, given)
        if held:
            (self.place / CUSTODY).write_bytes(encode(held.custody))
            for name in self.trustees:
                TrusteeMachine(self.world, name, self.place / name, self.seed, held)
        for machine in self.world.machines.values():
            self.loop.call_later(self.chance.between(0, 3), machine.begin)
        names = tuple(self.world.machines)
        for _ in range(self.chance.choose((0, 0, 1, 3))):
            self._fill(self.chance.choose(names))
        for _ in range(self.chance.choose((0, 0, 0, 2))):
            self._set_clock(self.chance.choose(names))

    def _seat(self, name: str, root: Path, given: Founded) -> NodeMachine:
        kind = EntrustingNode if self.trustees else NodeMachine
        return kind(self.world, name, root, self.seed, given, self.plan)

    def _again(self, name: str, ring: KeyRing) -> None:
        """Put another machine, enrolled under a name that was revoked, in the place of the first."""
        self.watch.replaced(name)
        given = replace(self.given, rings={**self.given.rings, name: ring})
        node = self._seat(name, place_of_another(self.place / name), given)
        node.seat = f"{name}/again"
        self.disks.append(node.disk)
        node.begin()

    def _fill(self, name: str) -> None:
        start = self.chance.between(0, self.weather.calm)
        span, machine = Span(start, min(self.weather.calm, start + self.chance.between(0.5, 8)), name), name

        def switch(full: bool) -> None:
            self.world.note(machine, "disk is full" if full else "disk has space")
            self.world.count["disk full"] += full
            self.world.machines[machine].fill(full)

        self.loop.call_later(span.start, switch, True)
        self.loop.call_later(span.stop, switch, False)

    def _set_clock(self, machine: str) -> None:
        """Let somebody set a clock, forward or back, by seconds or days."""
        seconds = self.chance.choose((-86_400, -60, 60, 3600))

        def jump() -> None:
            self.world.note(machine, f"clock jumps by {seconds} s")
            self.world.count["clock jump"] += 1
            self.world.machines[machine].skew += seconds

        self.loop.call_later(self.chance.between(0, self.weather.calm), jump)

    # The end ----------------------------------------------------------------------------------------------------------

    def _submit_last(self) -> None:
        """Submit the last job once no member is away whom the aggregator still takes for here, and none still checks.

        Who is away is not waited for, and no upload leaves before a verdict, for which is asked ever more rarely.
        """
        members = [machine for name in (*self.names, *self.trustees) if not (machine := self.world.machines[name]).gone]
        if self.persons.over and all(member.alive and not member.journal.scan("spot/") for member in members):
            self.jobs.submit(LAST)
        else:
            self.loop.call_later(FORGOTTEN, self._submit_last)

    def _quiet(self) -> bool:
        """Say whether nobody has anything left to do."""
        machines = [machine for machine in self.world.machines.values() if not machine.gone]
        return all(
            machine.alive
            and not [message for message in machine.journal.unacknowledged() if message.to != BROKER]
            and not (isinstance(machine, NodeMachine) and self._busy(machine))
            and not (isinstance(machine, TrusteeMachine) and machine.phases())
            for machine in machines
        )

    @staticmethod
    def _busy(node: NodeMachine) -> bool:
        shown = node.ask(command="status")
        return shown is None or shown["phase"] is not None or shown["next_round"] != (shown["rounds"] or 0) + 1

    # The run ----------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Let everything happen; return what became of it."""
        custody = self.place / CUSTODY if self.trustees else None
        self.jobs = Submitting(self.world, self.plan, self.place, self.seed, self.engine, custody)
        self.jobs.begin()
        first_over = partial(self.jobs.over, ("a",))
        self.persons = Persons(self.world, self.plan, self.known, self.seed, self._again, first_over)
        self.persons.begin()
        for name in self.plan.early[1:]:
            if self.plan.edition or (self.plan.revoke and self.malice):
                self.persons.then = partial(self.jobs.submit, name)
            else:
                self.jobs.soon(name)
        self.disks = [machine.disk for machine in self.world.machines.values()]
        aggregator = self.world.machines[AGGREGATOR]
        lies = heedless(aggregator) if isinstance(aggregator, MaliciousAggregator) else nullcontext()
        with remembered(), short_keys(), watched(self.disks), lies:
            try:
                self.loop.run_until_complete(self._main())
            except Stuck as error:
                if not self.malice:
                    self.world.violate("job", str(error))
            jobs = self._judged()
        world = self.world
        return Outcome(self.seed, tuple(world.violations), jobs, world.count, self.loop.now, tuple(world.trace))

    def _judged(self) -> Counter[str]:
        """Judge what is left; return how jobs ended."""
        try:
            jobs = believed(self.world, self.plan) if self.malice else inspect(self.world, self.plan)
            self.known.judge()
        except SecaggError as error:
            self.world.violate("log", f"what is left cannot be read: {error.code}")
            return Counter()
        if not self.malice:
            audit(self.world, self.place)
        return jobs

    async def _main(self) -> None:
        end = self.weather.calm + PATIENCE
        await self._until(lambda: self.jobs.over(self.plan.early), self.weather.calm)
        self.world.crashes.left = 0
        if self.malice:
            await self._until(lambda: self.jobs.over(self.plan.early), self.weather.calm + HARM)
            await asyncio.sleep(5)  # what was published last is still being checked
        else:
            await self._calmed(end)
        for machine in self.world.machines.values():
            if machine.alive:
                machine.daemon.stop()
                await machine._serving

    async def _calmed(self, end: float) -> None:
        """Let every job end with nothing in the way any more, and one more begin."""
        self.loop.call_later(max(0.0, self.weather.calm - self.loop.now), self._submit_last)
        await self._until(lambda: self.jobs.over((*self.plan.early, LAST)), end)
        await self._until(self._quiet, end)
        await asyncio.sleep(5)  # work beside the loop, such as erasing keys, comes to its end
        await self._until(self._quiet, end)  # a word that was late by 20 s may have been answered just now
        shown = self.world.machines[AGGREGATOR].ask(command="job-show", name=self.jobs.newest(LAST))
        if not shown or shown["state"] != "done":
            self.world.violate("job", f"with nothing in the way the last job ends as {shown and shown['state']}")
        elif [len(ended["contributors"]) for ended in shown["ended"]] != [self._left()]:
            self.world.violate("job", f"with nothing in the way the last job is of {shown['ended']}")

    def _left(self) -> int:
        """Return how many institutions have a seat."""
        return sum(isinstance(one, NodeMachine) and not one.gone for one in self.world.machines.values())

    async def _until(self, done: Any, end: float) -> None:
        while self.loop.now < end and not (self.loop.now > 8 and done()):
            await asyncio.sleep(1)


def simulate(seed: int, focus: str = "", engine: str = "masks", tricks: tuple[str, ...] | None = None) -> Outcome:
    """Run one seed; with a focus, most of its 40 crashes are at that place of the crash table.

    With engine `paillier` three trustees open the sums. `tricks` are those of an aggregator that means harm, drawn
    unless given; with none of them it is an honest one.
    """
    place = Path(tempfile.mkdtemp(prefix="secagg-simulation-", dir=shelf()))
    simulation = Simulation(seed, place, focus, engine, tricks)
    try:
        return simulation.run()
    finally:
        for machine in simulation.world.machines.values():
            machine._let_go()
        simulation.loop.close()
        _remove(place)


def _remove(place: Path) -> None:
    """Remove a directory; `shutil.rmtree` guards against links that somebody puts there meanwhile."""
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(Path(entry.path))
            else:
                os.unlink(entry.path)  # noqa: PTH108 - a path object for every file of every seed
    place.rmdir()
