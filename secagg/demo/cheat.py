"""An aggregator that cheats, as a program of its own: `python -m secagg.demo.cheat --config aggregator.toml`.

It is the honest aggregator's process but for the sum, which is off in one word before the result is logged and
published. So log, result and models agree with each other and only the uploads tell otherwise. No role carries a switch
that makes it cheat: this program is the one place of the product that builds a role from the outside.
Leaves to others: the lie itself (lying.py), finding it (secagg.auditor).
"""

import sys
from collections.abc import Callable

import click

from aggregator.process import serve
from aggregator.service import AggregatorService
from aggregator.uploads import Uploads
from secagg.daemon.options import configuration, current, explain, options
from secagg.daemon.writing import say
from secagg.demo.lying import one_more
from secagg.errors import SecaggError
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.phases import Common


class CheatingUploads(Uploads):
    """Uploads whose clear sum is not theirs."""

    def clear(self, phase: Common, file: Callable[[str], bytes], asked: Effect | None = None) -> Event:
        """Return the clear sum with one word changed, after its canaries were checked."""
        opened = super().clear(phase, file, asked)
        one_more(opened.groups)  # type: ignore[attr-defined]  # the event of every engine has them
        return opened


class CheatingService(AggregatorService):
    """An aggregator that lies about every sum."""

    uploads = CheatingUploads


@click.command()
@options
def main() -> None:
    """Serve as an aggregator that publishes sums its uploads do not give. For demonstrations."""
    given = current()
    try:
        serve(configuration("aggregator.toml"), verbosity=given.verbosity, color=given.color, service=CheatingService)
    except SecaggError as error:
        say(*explain(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
