"""`secagg demo`: see the protocol work on this machine.

Data goes to standard output, progress to standard error; the bundle that is left behind can be audited again.
"""

from pathlib import Path

import click

from secagg.daemon.options import current, options
from secagg.daemon.writing import say


@click.group(name="demo")
@options
def demo() -> None:
    """Run a federation on this machine and look at what each party sees."""


@demo.command()
@click.option("--drop", "drops", multiple=True, default=("hungary@Unmask",), show_default=True, metavar="NODE@STEP")
@click.option("--no-drop", is_flag=True, help="Everybody stays to the end.")
@click.option("--cheat", is_flag=True, help="Let the aggregator publish another sum; the audit then exits 65.")
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("secagg-demo-bundle"), show_default=True)
@options
def sums(drops: tuple[str, ...], no_drop: bool, cheat: bool, bundle: Path) -> None:
    """Sum the moments of four hospitals in one process: every message, one drop-out, the log, the audit."""
    import shutil
    import tempfile
    import time

    from secagg.crypto.rng import system_rng
    from secagg.demo import show
    from secagg.demo.sums import run

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="secagg-demo-") as scratch:
        story = run(Path(scratch) / "bundle", {} if no_drop else show.parse_drops(drops), cheat, system_rng)
        show.keep_bundle(Path(scratch) / "bundle", bundle, shutil.copytree, shutil.rmtree)
    seconds = time.perf_counter() - began
    if current().format == "table":
        show.tables(story, bundle, seconds, current().color)
    else:
        say(show.document(story, bundle, seconds))
    show.judge(story.report, bundle)


@demo.command()
@click.option("--engine", type=click.Choice(["masks", "paillier"]), default="masks", show_default=True)
@click.option(
    "--kill", metavar="NAME@STEP", help="Who dies, where; hungary@MaskedInput, with paillier registry@Decrypt."
)
@click.option("--no-kill", is_flag=True, help="Nobody dies.")
@click.option("--cheat", is_flag=True, help="Put an aggregator that lies in the place of the honest one; exit 65.")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1, 50))
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("secagg-demo-bundle"), show_default=True)
@options
def heart(engine: str, kill: str | None, no_kill: bool, cheat: bool, rounds: int, bundle: Path) -> None:
    """Train one model at four hospitals, every role a process; kill one of them on the way; audit everything."""
    import shutil
    import signal
    import tempfile
    import time

    from secagg.demo import ending, show
    from secagg.demo.heart import HOSPITALS, play
    from secagg.demo.live import Screen
    from secagg.errors import UsageError

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    given = current()
    if cheat and engine != "masks":
        raise UsageError("The aggregator that cheats is of engine masks.", "Leave --engine or --cheat out.")
    died = None if no_kill else show.parse_kill(kill, engine)
    trustees = show.TRUSTEES if engine == "paillier" else ()
    show.require_replaceable(bundle)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="secagg-demo-") as scratch:
        with Screen(HOSPITALS, rounds, given.color, given.verbosity < 0, trustees) as screen:
            story = play(died, cheat, rounds, Path(scratch) / "bundle", screen, trustees)
        show.keep_bundle(Path(scratch) / "bundle", bundle, shutil.copytree, shutil.rmtree)
    seconds = time.perf_counter() - began
    if given.format == "table":
        ending.tables(story, bundle, seconds, given.color)
    else:
        say(ending.document(story, bundle, seconds))
    ending.judge(story, bundle)
