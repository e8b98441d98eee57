"""What a person sees while the dealer works: a bar on a terminal, plain lines elsewhere, both on standard error.

A search for a prime has no end that could be foretold. The bar shows how likely it was that it would have ended by now.
Leaves to others: what is done (secagg.protocol.ceremony.dealing).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from secagg.crypto.paillier.primes import Watch
from secagg.daemon.drawing import console

STAGES = {
    "prime": "searching two primes", "statement": "proving the key", "commitments": "committing to the shares",
    "checks": "checking key and shares",
}  # fmt: skip


@contextmanager
def progress(tell: Callable[[str], None], *, color: bool = True) -> Iterator[Watch]:
    """Show what `dealing.hold` says to whoever watches; `tell` takes the lines when there is no terminal."""
    screen = console(stderr=True, no_color=not color)
    if not screen.is_terminal:
        yield _lines(tell)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
    with Progress(*columns, TimeElapsedColumn(), console=screen, transient=True) as bar:
        task = bar.add_task(STAGES["prime"], total=1.0)

        def watch(what: str, done: float) -> None:
            bar.update(task, description=STAGES[what], completed=done)

        yield watch


def _lines(tell: Callable[[str], None]) -> Watch:
    told: set[str] = set()

    def watch(what: str, done: float) -> None:
        if what not in told:
            told.add(what)
            tell(f"{STAGES[what]} …")

    return watch
