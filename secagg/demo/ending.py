"""What the federation was worth, and what everybody saw: tables for people, one JSON object for programs.

Rules: gains and losses are shown as they are, with their spread. Leaves to others: playing (heart.py).
"""

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from secagg.daemon import drawing
from secagg.daemon.drawing import marked
from secagg.demo import show
from secagg.demo.heart import HOSPITALS, PARAMETERS, RISK, Scores, Story
from secagg.demo.seen import Seen, chi_square
from secagg.errors import TryLater


def document(story: Story, bundle: Path, seconds: float) -> str:
    """Return the JSON object of the demonstration."""
    scores = {"alone": story.alone, "federated": story.federated, "centralised": story.centralised}
    return json.dumps(
        {
            "engine": story.engine,
            "rounds": len(story.closed),
            "nodes": len(HOSPITALS),
            "killed": story.killed,
            "recovered": story.recovered,
            "dropped": story.dropped,
            "auc": {kind: {name: round(pair[0], 4) for name, pair in of.items()} for kind, of in scores.items()},
            "spread": {kind: {name: round(pair[1], 4) for name, pair in of.items()} for kind, of in scores.items()},
            "upload_bytes": story.upload_bytes,
            "sent_bytes": story.sent,
            "chi_square": _noise(story.seen) if story.seen else {},
            "audit": story.report.verdict if story.report else "NONE",
            "bundle": str(bundle),
            "seconds": round(seconds, 1),
        }
    )


def tables(story: Story, bundle: Path, seconds: float, color: bool) -> None:
    """Print what came out, what the aggregator saw, what it cost, and the audit."""
    console = drawing.console(no_color=not color, soft_wrap=True)
    _scores(console, story)
    if story.seen:
        _seen(console, story.seen)
    _costs(console, story)
    _counts(console, story)
    if story.report:
        for line in story.report.checks:
            console.print(f"{line.number:>2}  {line.status:<10}  {marked(line.title)}: {marked(line.detail)}")
        console.print(f"[bold]{story.report.verdict} {story.report.passed}/{story.report.total}[/]")
    daemons = "Ten" if story.engine == "paillier" else "Seven"
    console.print(f"\n{daemons} daemons, {seconds:.0f} s. Audit it yourself:")
    console.print(f"  secagg audit verify {bundle} --root {story.fingerprint}")


def judge(story: Story, bundle: Path) -> None:
    """End as the audit did, and as the jobs did.

    Raises: VerificationFailed naming the first check that does not hold; TryLater when a job did not end.
    """
    show.judge(story.report, bundle)
    if story.failed:
        raise TryLater(f"A job failed: {story.failed}.", f"The log in {bundle} says who was missing where.")


def _scores(console: Console, story: Story) -> None:
    if not story.federated:
        console.print(f"[bold red]There is no model:[/] {marked(story.failed)}")
        return
    grid = Table(title="AUC on each hospital's own held-out patients, mean ± spread over ten splits")
    for column in ("hospital", "alone", "together", "centralised", "together − alone"):
        grid.add_column(column, justify="left" if column == "hospital" else "right")
    for name in HOSPITALS:
        gain = story.federated[name][0] - story.alone[name][0]
        noise = max(story.federated[name][1], story.alone[name][1])
        # More than its own spread counts as a gain or a loss; less is what another split would undo.
        style = "green" if gain > noise else "red" if gain < -noise else "dim"
        cells = [f"{of[name][0]:.3f} ± {of[name][1]:.3f}" for of in (story.alone, story.federated, story.centralised)]
        grid.add_row(name, *cells, f"[{style}]{gain:+.3f}[/]")
    means = [f"{_mean(of):.4f}" for of in (story.alone, story.federated, story.centralised)]
    grid.add_section()
    grid.add_row("mean", *means, f"{_mean(story.federated) - _mean(story.alone):+.3f}")
    console.print(grid)
    console.print(
        "Each hospital wrote its numbers into its own report file; this program plays all four and may read them.\n"
        "Centralised is what no hospital may do: the same training on all four files together.\n"
    )


def _noise(seen: Seen) -> dict[str, float]:
    return {"clear": round(chi_square(seen.clear), 1), "masked": round(chi_square(seen.masked), 1)}


def _mean(scores: Scores) -> float:
    return float(np.mean([found[0] for found in scores.values()]))


def _seen(console: Console, seen: Seen) -> None:
    grid = Table(title=f"One update of {seen.hospital}: the sums it contributed for the standardisation")
    for column in ("", "first four words", "chi-square"):
        grid.add_column(column)
    for label, data in (("as the hospital knows it", seen.clear), ("in the aggregator's files", seen.masked)):
        words = "\n".join(data[at : at + 8].hex() for at in range(0, 32, 8))
        grid.add_row(label, words, f"{chi_square(data):.0f}")
    console.print(grid)
    console.print(f"Chi-square of {len(seen.masked)} bytes in 16 classes: uniform noise gives 15, give or take 11.\n")


def _costs(console: Console, story: Story) -> None:
    sent = ", ".join(f"{name} {count / 1024:.0f} KiB" for name, count in story.sent.items())
    if story.upload_bytes:
        plain = f"its {PARAMETERS} parameters as float32 are {4 * PARAMETERS}"
        console.print(f"One upload of {RISK}: {story.upload_bytes} bytes; {plain}.")
    again = f" ({', '.join(story.restarted)}: since it was started again)" if story.restarted else ""
    console.print(f"Everything a node sent, keys, shares, uploads and signatures of all rounds: {sent}{again}.\n")


def _counts(console: Console, story: Story) -> None:
    """Say what `exact_counts = true` shows, with the numbers of this very run."""
    without = next((n for n, names in story.closed.items() if len(names) < len(HOSPITALS)), None)
    whole = next((n for n, names in story.closed.items() if len(names) == len(HOSPITALS)), None)
    console.print(
        "[bold]What these hospitals allow by exact_counts = true:[/] every round publishes how many patients its\n"
        "contributors trained on, exactly. One drop-out then tells the number of the hospital that dropped:"
    )
    if without is None or whole is None:
        console.print("here every round had the same contributors, so nothing can be subtracted.\n")
        return
    gone = ", ".join(name for name in HOSPITALS if name not in story.closed[without])
    all_of, rest = story.examples[whole], story.examples[without]
    told = f"round {whole}: {all_of:.0f}, round {without}: {rest:.0f}, so {gone} trains on {all_of - rest:.0f} patients"
    console.print(f"{told}.\nA policy without that line refuses such a job.\n")
