"""`secagg audit`: make, read and verify a bundle, offline.

Exit codes: 0 all checks hold, 65 a violation, 66 the bundle is incomplete, 64 bad input.
"""

from pathlib import Path

import click

from secagg.daemon.options import options
from secagg.daemon.writing import say


@click.group(name="audit")
@options
def audit() -> None:
    """Check afterwards, offline, that every round was done by the rules."""


@audit.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--root", help="The root fingerprint you were told over another channel (sha256:…).")
@click.option("--strict", is_flag=True, help="Refuse a check that does not apply.")
@click.option("--evidence", type=click.Path(path_type=Path), help="Judge this evidence that an aggregator lied.")
@options
def verify(bundle: Path | None, root: str | None, strict: bool, evidence: Path | None) -> None:
    """Run every check on BUNDLE and print one line each; with --evidence, judge that and nothing else.

    Evidence is a file that a node kept when its check of a sum failed. It exits with 0 when that proves the lie, and
    with 65 when not; with BUNDLE its key must be one of that federation's aggregators.
    """
    from secagg.auditor.accusing import judge
    from secagg.auditor.verify import verify as run
    from secagg.daemon.printing import show
    from secagg.errors import BundleIncomplete, UsageError, VerificationFailed

    if evidence is not None:
        proven = judge(evidence, bundle, root)
        show(proven, lines=[f"PROVEN {proven.aggregator} ({proven.key}) lied in {proven.round}: {proven.cause}"])
        return
    if bundle is None:
        raise UsageError("There is nothing to verify.", "Name a bundle, or --evidence FILE.")
    report = run(bundle, root)
    lines = [f"{line.number:>2}  {line.status:<10}  {line.title}: {line.detail}" for line in report.checks]
    show(report, lines=[*lines, f"{report.verdict} {report.passed}/{report.total}"])
    unmet = next((line for line in report.checks if line.status == "n/a" and strict), None)
    first = next((line for line in report.checks if line.status in ("fail", "incomplete")), unmet)
    if report.verdict == "INCOMPLETE" and first is not None:
        raise BundleIncomplete(f"Check {first.number}: {first.detail}", "Ask for a complete export.")
    if first is not None:
        raise VerificationFailed(f"Check {first.number}: {first.detail}", "Keep the bundle: it is the evidence.")


@audit.command()
@click.option("--keyserver", type=click.Path(path_type=Path), help="State directory of the key server.")
@click.option("--aggregator", type=click.Path(path_type=Path), help="State directory of the aggregator.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to make, or to fill.")
@options
def export(keyserver: Path | None, aggregator: Path | None, output: Path) -> None:
    """Copy what auditors need into a bundle, also while both daemons run.

    Where the two run on different machines, export the aggregator's half first and then, into the same bundle, the
    key server's.
    """
    from secagg.auditor.export import export as run
    from secagg.daemon.printing import show

    done = run(output, keyserver, aggregator)
    for name in done.missing:
        say(f"not kept any more: {name}", err=True)
    show(done, lines=[f"{output}: {done.directory} entries of the directory, {done.rounds} of the rounds"])


@audit.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@options
def log(bundle: Path) -> None:
    """Print every statement of both logs, one line each."""
    from secagg.auditor.bundle import Bundle
    from secagg.auditor.evidence import Evidence

    for entry in Evidence(Bundle(bundle)).entries:
        say(f"{entry.log} {entry.index} {entry.leaf.decode()}")


@audit.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("round_number", type=click.IntRange(1), metavar="ROUND")
@click.option("--job", help="The job, when the log holds several.")
@options
def show(bundle: Path, round_number: int, job: str | None) -> None:
    """Print what happened in one round: proposals, drop-outs, contributors, opening, result."""
    from secagg.auditor.bundle import Bundle
    from secagg.auditor.evidence import Evidence
    from secagg.auditor.story import tell

    for line in tell(Evidence(Bundle(bundle)), round_number, job):
        say(line)
