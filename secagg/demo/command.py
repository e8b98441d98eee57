"""`secagg demo`: see the protocol work on this machine.

Data goes to standard output, progress to standard error; the bundle that is left behind can be audited again.
"""

from pathlib import Path

import click

from secagg.daemon.options import current, options


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
    from secagg.errors import VerificationFailed

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="secagg-demo-") as scratch:
        story = run(Path(scratch) / "bundle", {} if no_drop else show.parse_drops(drops), cheat, system_rng)
        show.keep_bundle(Path(scratch) / "bundle", bundle, shutil.copytree, shutil.rmtree)
    seconds = time.perf_counter() - began
    if current().format == "table":
        show.tables(story, bundle, seconds, current().color)
    else:
        click.echo(show.document(story, bundle, seconds))
    if story.report is None or story.report.verdict != "PASS":
        first = next(line for line in story.report.checks if line.status != "pass") if story.report else None
        detail = f"check {first.number}: {first.detail}" if first else "no report"
        raise VerificationFailed(f"The audit found {detail}", f"Keep {bundle}: it is the evidence.")
