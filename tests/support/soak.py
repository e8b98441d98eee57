"""Many seeds of the simulator: `make soak SEEDS=0-1000 [ENGINE=paillier] [BUG=name|all] [WORKERS=2] [TRACE=1]`.

Progress lies in `.soak/`, one file per code, engine and bug, one line per block of seeds. So a run that was stopped
goes on; changed code starts anew. A seed that fails is printed with the command that replays it; one seed with TRACE=1
prints its whole history. At the end: what was done to the federations, and a digest of (commit, seeds, violations).
Exit status 0 if every seed held; with BUG, if every planted bug was found.
"""

import argparse
import gc
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parents[2]
# Other copies of this project may be installed; this one is tried.
sys.path[:0] = [str(HERE), str(HERE / "tests")]

from support.simulation import simulate  # noqa: E402 - the path comes first
from support.simulation_bugs import BUGS, planted  # noqa: E402
from support.simulation_founding import founded  # noqa: E402
from support.simulation_trustees import entrusted  # noqa: E402

BLOCK = 25
"""Seeds per line of progress: a stopped run loses at most so many of each worker."""

FORGET = 5
"""Seeds after which what is forgotten is cleared away."""

CODE = ("secagg", "keyserver", "node", "aggregator", "tests/support")
PLACE = HERE / ".soak"
MASKS = "masks"


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the seeds from `first` to `first + size - 1`."""

    first: int
    size: int
    violations: dict[int, list[str]]
    count: dict[str, int]
    histories: str
    seconds: float


@contextmanager
def clearing(seed: int) -> Iterator[None]:
    """Look for what is forgotten after some seeds, not in the midst of one: it is a twentieth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if seed % FORGET == 0:
            gc.collect()


def tricks_of(bug: str) -> tuple[str, ...] | None:
    """Return what the aggregator tries while a bug is looked for: what is drawn, unless the bug names it."""
    return BUGS[bug].tricks or None if bug else None


def run_block(bug: str, engine: str, seeds: range) -> Block:
    """Run some seeds of an engine with a bug, or with none."""
    violations: dict[int, list[str]] = {}
    count: Counter[str] = Counter()
    histories = sha256()
    began = time.process_time()
    for seed in seeds:
        try:
            with planted(bug), clearing(seed):
                outcome = simulate(seed, engine=engine, tricks=tricks_of(bug))
        except Exception as error:
            violations[seed] = [f"simulator: {error!r}"]
            continue
        count.update(outcome.count)
        count[f"seed with {outcome.count['crash']:2} crashes"] += 1
        histories.update(outcome.digest.encode())
        if outcome.violations:
            violations[seed] = sorted(set(outcome.violations))
            if bug:
                break  # it is found
    return Block(seeds[0], len(seeds), violations, dict(count), histories.hexdigest(), time.process_time() - began)


def commit() -> str:
    """Return the commit that is tried, marked when the code is another one."""
    head = _git("rev-parse", "HEAD").strip()
    return f"{head}-changed" if _git("status", "--porcelain", "--", *CODE).strip() else head


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=HERE, capture_output=True, text=True, check=False).stdout


def code() -> str:
    """Return the SHA-256 of all code that a seed's history depends on."""
    digest = sha256()
    for path in sorted(path for place in CODE for path in (HERE / place).rglob("*.py")):
        digest.update(f"{path.relative_to(HERE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Soak:
    """One range of seeds, with its progress."""

    def __init__(self, seeds: range, bug: str, workers: int, place: Path = PLACE, engine: str = MASKS) -> None:
        self.seeds, self.bug, self.workers, self.engine = seeds, bug, workers, engine
        place.mkdir(exist_ok=True)
        told = [code()[:16], *((engine,) if engine != MASKS else ()), *((bug,) if bug else ())]
        self._path = place / f"{'-'.join(told)}.jsonl"
        self.blocks: dict[tuple[int, int], Block] = {}

    def run(self, *, stop_at_first: bool = False) -> dict[int, list[str]]:
        """Run what is not done yet; return the violations by seed."""
        blocks = [self.seeds[at : at + BLOCK] for at in range(0, len(self.seeds), BLOCK)]
        self.blocks = {key: block for key, block in self._kept() if range(key[0], key[0] + key[1]) in blocks}
        left = [seeds for seeds in blocks if (seeds[0], len(seeds)) not in self.blocks]
        if len(left) < len(blocks):
            print(f"{len(blocks) - len(left)} of {len(blocks)} blocks were done before", flush=True)
        began = time.monotonic()
        if not (stop_at_first and self.violations()):
            for done, block in enumerate(self._results(left), 1):
                self._keep(block)
                self._tell(block, done, len(left), time.monotonic() - began)
                if stop_at_first and block.violations:
                    break
        return self.violations()

    def violations(self) -> dict[int, list[str]]:
        """Return the violations by seed, in order."""
        found = {seed: lines for block in self.blocks.values() for seed, lines in block.violations.items()}
        return dict(sorted(found.items()))

    def _results(self, left: list[range]) -> Iterator[Block]:
        if self.workers == 1 or len(left) < 2:
            yield from map(partial(run_block, self.bug, self.engine), left)
            return
        for nodes in (3, 4, 5):
            founded(nodes) if self.engine == MASKS else entrusted(nodes)
        # Fresh processes now and then: what one of them hoards cannot slow the run down for ever.
        with multiprocessing.get_context("fork").Pool(self.workers, maxtasksperchild=40) as pool:
            run = pool.imap if self.bug else pool.imap_unordered
            yield from run(partial(run_block, self.bug, self.engine), left)

    def _kept(self) -> Iterable[tuple[tuple[int, int], Block]]:
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                # A run that was killed may have left half a line: its seeds are run again.
                with suppress(msgspec.MsgspecError):
                    block = msgspec.json.decode(line, type=Block)
                    yield (block.first, block.size), block

    def _keep(self, block: Block) -> None:
        self.blocks[block.first, block.size] = block
        with self._path.open("ab") as file:
            file.write(b"\n" + msgspec.json.encode(block) + b"\n")

    def _tell(self, block: Block, done: int, blocks: int, seconds: float) -> None:
        for seed, lines in sorted(block.violations.items()):
            print(f"seed {seed}: {lines[0]}\n    replay: {replay(seed, self.bug, self.engine)}", flush=True)
        if done % 8 == 0 or done == blocks:
            bad = len(self.violations())
            left = seconds / done * (blocks - done)
            print(
                f"{done * BLOCK} of {blocks * BLOCK} seeds in {seconds:.0f} s, {block.seconds / block.size:.2f} CPU s "
                f"per seed, {bad} with violations, {left / 60:.0f} min left", flush=True,
            )  # fmt: skip

    def digest(self) -> str:
        """Return the SHA-256 of commit, seeds and violations."""
        said = [commit(), self.bug, self.seeds.start, self.seeds.stop, sorted(self.violations().items())]
        said += [] if self.engine == MASKS else [self.engine]
        return sha256(msgspec.json.encode(said)).hexdigest()

    def report(self) -> str:
        """Return what was done to the federations, and the digest."""
        count: Counter[str] = Counter()
        histories = sha256()
        for key in sorted(self.blocks):
            count.update(self.blocks[key].count)
            histories.update(self.blocks[key].histories.encode())
        lines = [f"{number:10,} {what}" for what, number in sorted(count.items())]
        seconds = sum(block.seconds for block in self.blocks.values())
        return "\n".join(
            [
                *lines, f"commit     {commit()}", f"seeds      {self.seeds.start}-{self.seeds.stop}",
                f"time       {seconds / max(1, len(self.seeds)):.3f} CPU s per seed",
                f"histories  {histories.hexdigest()}", f"violations {len(self.violations())}",
                f"digest     {self.digest()}",
            ]
        )  # fmt: skip


def replay(seed: int, bug: str = "", engine: str = MASKS) -> str:
    """Return the command that runs one seed again and prints its history."""
    chosen = "" if engine == MASKS else f" ENGINE={engine}"
    return f"make soak SEEDS={seed} TRACE=1{chosen}" + (f" BUG={bug}" if bug else "")


def trace(seed: int, bug: str, engine: str = MASKS) -> int:
    """Print the history of one seed; return the exit status."""
    with planted(bug):
        outcome = simulate(seed, engine=engine, tricks=tricks_of(bug))
    print("\n".join((*outcome.trace, *outcome.violations, f"history {outcome.digest}")))
    return 1 if outcome.violations else 0


def hunt(seeds: range, names: Iterable[str], workers: int) -> int:
    """Look for planted bugs; print the first seed that finds each; return the exit status."""
    missed = 0
    for name in names:
        soak = Soak(seeds, name, workers, engine=BUGS[name].engine)
        found = soak.run(stop_at_first=True)
        if found:
            seed, lines = next(iter(found.items()))
            print(f"| {name} | {BUGS[name].what} | {seed} | {lines[0]} |", flush=True)
        else:
            missed += 1
            print(f"| {name} | {BUGS[name].what} | not found | |", flush=True)
    return 1 if missed else 0


def seeds_of(text: str) -> range:
    """Read `a-b` (b is not run) or one seed."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) if dash else int(first) + 1)


def main(arguments: list[str]) -> int:
    """Run as `make soak` says; return the exit status."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("seeds", type=seeds_of)
    parser.add_argument("--bug", default="", choices=("", "all", *BUGS))
    parser.add_argument("--engine", default=MASKS, choices=(MASKS, "paillier"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args(arguments)
    if given.trace:
        return trace(given.seeds[0], given.bug, BUGS[given.bug].engine if given.bug else given.engine)
    if given.bug:
        return hunt(given.seeds, BUGS if given.bug == "all" else (given.bug,), given.workers)
    soak = Soak(given.seeds, "", given.workers, engine=given.engine)
    violations = soak.run()
    print(soak.report())
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
