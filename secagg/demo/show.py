"""What the demonstration prints: tables for people, one JSON object for programs.

Leaves to others: playing it (sums.py).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from secagg.daemon import drawing
from secagg.daemon.drawing import marked
from secagg.demo.entrusting import STEPS as ENTRUSTED_STEPS
from secagg.demo.seen import Report, chi_square
from secagg.demo.sums import HOSPITALS, Story, means
from secagg.errors import BadInput, UsageError, VerificationFailed
from secagg.ids import STEPS
from secagg.protocol.round.phases import Closed

MARKER = "root.txt"
_STYLE = {"sent": "green", "silent": "bold red", "gone": "dim"}


TRUSTEES = ("ethics", "registry", "university")
"""Who opens the sums of engine paillier, two of three."""

_DIES = {"masks": "hungary@MaskedInput", "paillier": "registry@Decrypt"}


def parse_kill(given: str | None, engine: str) -> tuple[str, str]:
    """Return who is killed before which step: a hospital, or with engine paillier a trustee.

    Raises: UsageError naming who and which steps there are.
    """
    if engine == "masks":
        return next(iter(parse_drops((given or _DIES[engine],)).items()))
    name, _, step = (given or _DIES[engine]).partition("@")
    if name not in TRUSTEES or step not in ENTRUSTED_STEPS:
        raise UsageError(
            f"{given} is not TRUSTEE@STEP.", f"Trustees: {', '.join(TRUSTEES)}; steps: {', '.join(ENTRUSTED_STEPS)}."
        )
    return name, step


def parse_drops(given: tuple[str, ...]) -> dict[str, str]:
    """Return the step before which each named hospital falls silent.

    Raises: UsageError naming the hospitals or the steps there are.
    """
    drops = {}
    for entry in given:
        name, _, step = entry.partition("@")
        if name not in HOSPITALS or step not in STEPS:
            raise UsageError(f"{entry} is not NODE@STEP.", f"Nodes: {', '.join(HOSPITALS)}; steps: {', '.join(STEPS)}.")
        drops[name] = step
    return drops


def require_replaceable(wanted: Path) -> None:
    """Check that a bundle may be put here: nothing is there, or an earlier bundle.

    Raises: BadInput when something that is no bundle is in the way.
    """
    if wanted.exists() and not (wanted / MARKER).is_file():
        raise BadInput(f"{wanted} exists and is no bundle.", "Name another directory with --bundle.")


def keep_bundle(made: Path, wanted: Path, copy: Callable[..., Any], remove: Callable[..., Any]) -> None:
    """Put the bundle where it was asked for; replace an earlier bundle, nothing else. Raises: BadInput."""
    require_replaceable(wanted)
    if wanted.exists():
        remove(wanted)
    copy(made, wanted)


def judge(report: Report | None, bundle: Path) -> None:
    """End as the audit did. Raises: VerificationFailed naming the first check that does not hold."""
    if report is not None and report.verdict == "PASS":
        return
    first = next(line for line in report.checks if line.status != "pass") if report else None
    detail = f"check {first.number}: {first.detail}" if first else "no report"
    raise VerificationFailed(f"The audit found {detail}", f"Keep {bundle}: it is the evidence.")


def document(story: Story, bundle: Path, seconds: float) -> str:
    """Return the JSON object of the demonstration."""
    closed = isinstance(story.end, Closed)
    return json.dumps(
        {
            "nodes": len(HOSPITALS),
            "dropped": [f"{out.member}@{out.step}" for out in story.end.out],
            "contributors": list(story.end.published.contributors) if isinstance(story.end, Closed) else [],
            "exact": bool(story.sums is not None and np.array_equal(story.sums.update, story.reference)),
            "refused": story.refused,
            "upload_bytes": story.upload_bytes,
            "audit": story.report.verdict if story.report else "NONE",
            "completed": closed,
            "bundle": str(bundle),
            "seconds": round(seconds, 3),
        }
    )


def tables(story: Story, bundle: Path, seconds: float, color: bool) -> None:
    """Print the round, the sums, what the aggregator saw, and the audit."""
    console = drawing.console(no_color=not color)
    _round(console, story)
    if story.sums is not None:
        _sums(console, story)
        _seen(console, story)
        console.print(
            f"\nAsked again for the same data without {HOSPITALS[-1]}, every node refused by rule "
            f"[bold]{story.refused or 'nothing'}[/]: the difference of the two sums would be that hospital's data.\n"
        )
    if story.report is not None:
        for line in story.report.checks:
            told = f"{line.number:>2}  {line.status:<10}  {marked(line.title)}: {marked(line.detail)}"
            console.print(told, soft_wrap=True)
        console.print(f"[bold]{story.report.verdict} {story.report.passed}/{story.report.total}[/]")
    console.print(f"\nIn one process, {seconds:.1f} s. Audit it yourself: secagg audit verify {bundle}", soft_wrap=True)


def _round(console: Console, story: Story) -> None:
    grid = Grid(title="One round, engine masks: who sent what")
    grid.add_column("hospital")
    for step in STEPS:
        grid.add_column(step)
    for name, told in story.steps.items():
        grid.add_row(name, *(f"[{_STYLE[told[step]]}]{told[step]}[/]" if step in told else "" for step in STEPS))
    console.print(grid)
    if not isinstance(story.end, Closed):
        console.print(f"[bold red]Aborted:[/] {marked(story.end.reason)}. No sum was released.")


def _sums(console: Console, story: Story) -> None:
    if story.sums is None or not isinstance(story.end, Closed):
        return
    patients, sick = story.sums.update[:2]
    title = f"Learnt by everybody: {int(patients)} patients of {len(story.end.published.contributors)} hospitals"
    grid = Grid(title=f"{title}, {int(sick)} with heart disease")
    for column in ("measurement", "measured", "mean", "standard deviation"):
        grid.add_column(column, justify="right")
    for name, count, mean, deviation in means(story.sums):
        grid.add_row(name, str(count), f"{mean:.2f}", f"{deviation:.2f}")
    console.print(grid)
    exact = np.array_equal(story.sums.update, story.reference)
    console.print("Equal to the sum in the clear, bit for bit." if exact else "[bold red]Not the sum in the clear.[/]")


def _seen(console: Console, story: Story) -> None:
    # 17 words are few bytes: 16 classes keep about nine in each.
    name = next(iter(story.masked))
    grid = Grid(title=f"What the aggregator saw of {name}")
    for column in ("", "first four words", "chi-square"):
        grid.add_column(column)
    for label, data in (("clear", story.clear[name]), ("masked", story.masked[name])):
        words = "\n".join(data[at : at + 8].hex() for at in range(8, 40, 8))
        grid.add_row(label, words, f"{chi_square(data):.0f}")
    console.print(grid)
    console.print("Chi-square of the bytes in 16 classes: about 15 is what uniform noise gives.")
