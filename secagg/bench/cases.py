"""The cases of `make bench`, each a command line of `secagg bench` that anybody can repeat by itself.

How to read it: a name, the arguments, and what a quick run (QUICK=1) measures instead; without that a quick run leaves
the case out. Leaves to others: running (suite.py), tables (report.py), plots (plots.py), what is asked (targets.py).
"""

from collections.abc import Iterator

from msgspec import Struct


class Entry(Struct, frozen=True):
    """One case; `quick` is what a quick run measures instead."""

    name: str
    line: str
    quick: str = ""

    @property
    def command(self) -> str:
        """Return the command that measures the case."""
        return command(self.line)


def command(line: str) -> str:
    """Return what a person types to measure these arguments."""
    return f"secagg bench {line}"


def client_and_server() -> Iterator[Entry]:
    """Yield the cases that figures are asked for, and those that the curves are drawn through."""
    yield Entry("50-1e7", "--nodes 50 --params 10000000 --repeat 9", "--nodes 50 --params 1000000")
    yield Entry("50-1e7-threads", "--nodes 50 --params 10000000 --repeat 9 --threads 2")
    yield Entry("20-1e6", "--nodes 20 --params 1000000 --repeat 9", "--nodes 20 --params 100000 --repeat 3")
    yield Entry("50-1e6", "--nodes 50 --params 1000000 --repeat 7", "--nodes 50 --params 100000 --repeat 3")
    yield Entry("50-1e6-threads", "--nodes 50 --params 1000000 --repeat 9 --threads 2")
    for percent in (10, 20, 30):
        line = f"--params 1000000 --dropout 0.{percent // 10} --repeat 5"
        quick = "--nodes 20 --params 100000 --dropout 0.2" if percent == 20 else ""
        yield Entry(f"50-1e6-{percent}%", f"--nodes 50 {line}", quick)
    yield Entry("100-1e6-20%", "--nodes 100 --params 1000000 --dropout 0.2 --repeat 3")
    yield Entry("32-1e6", "--nodes 32 --params 1000000 --repeat 3", "--nodes 32 --params 1000000")
    for nodes in (5, 10, 100):
        yield Entry(f"{nodes}-1e6", f"--nodes {nodes} --params 1000000 --repeat 5")
    for power in (4, 5, 7):
        yield Entry(f"20-1e{power}", f"--nodes 20 --params {10**power} --repeat {3 if power == 7 else 9}")
    yield Entry("handicap", "--nodes 50 --params 10000000 --handicap")


def sparse() -> Iterator[Entry]:
    """Yield the cases of the sparse graph, and the complete one beside it."""
    graph = "--graph sparse --gamma 0.05"
    yield Entry(
        "256-1e6-sparse", f"--nodes 256 --params 1000000 {graph} --delta 0.05",
        f"--nodes 40 --params 100000 {graph} --delta 0.05",
    )  # fmt: skip
    for nodes in (100, 200, 400, 1000):
        line = f"--nodes {nodes} --params 100000 --dropout 0.1"
        yield Entry(f"{nodes}-1e5-sparse", f"{line} {graph} --delta 0.1")
    for nodes in (50, 100, 200):
        yield Entry(f"{nodes}-1e5-complete", f"--nodes {nodes} --params 100000 --dropout 0.1")


def whole() -> Iterator[Entry]:
    """Yield the rounds in which every member is real, in one process."""
    yield Entry("whole-50", "--whole --nodes 50 --params 1000000 --dropout 0.2", "--whole --nodes 10 --params 100000")
    yield Entry("whole-1e8", "--whole --nodes 10 --params 100000000")


def paillier() -> Iterator[Entry]:
    """Yield the cases of Paillier's cryptography."""
    line = "--engine paillier --nodes 10 --params 100000"
    for bits in (2048, 3072):
        for profile in ("provable", "fast"):
            quick = "--engine paillier --nodes 3 --params 5000 --key-bits 2048 --profile fast"
            yield Entry(
                f"paillier-{bits}-{profile}", f"{line} --key-bits {bits} --profile {profile} --s 1",
                quick if (bits, profile) == (2048, "fast") else "",
            )  # fmt: skip
        yield Entry(f"paillier-{bits}-s2", f"{line} --key-bits {bits} --profile provable --s 2")


def entrusted() -> Iterator[Entry]:
    """Yield whole rounds that trustees open."""
    line = "--engine paillier --whole --nodes 10 --params 100000"
    for bits in (2048, 3072):
        for profile in ("provable", "fast"):
            yield Entry(f"entrusted-{bits}-{profile}", f"{line} --key-bits {bits} --profile {profile}")


ENTRIES = (*client_and_server(), *sparse(), *whole(), *paillier(), *entrusted())
COMMANDS = {entry.name: entry.command for entry in ENTRIES}
