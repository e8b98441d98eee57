"""The federation while it works: hospitals by steps, who is waited for and until when, who died and who is back.

Rules: progress goes to standard error, a live table on a terminal and plain lines elsewhere. It shows what the
aggregator tells everybody who watches, and never anything that depends on data.
Leaves to others: what happens (heart.py), the tables at the end (ending.py).
"""

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from secagg.daemon import clock
from secagg.daemon.drawing import console, marked
from secagg.daemon.writing import plained
from secagg.events import rounds as told
from secagg.events.kinds import rewritten
from secagg.events.line import Event
from secagg.ids import STEPS

ENTRUSTED = ("EncryptedInput", "Attend", "Witness", "Decrypt")
"""The steps of engine paillier: the hospitals' one, then the trustees'."""

_STYLE = {"sent": "green", "dropped": "bold red", "refused": "bold yellow", "killed": "bold red"}


class Screen:
    """What people see; a context manager."""

    def __init__(
        self, hospitals: tuple[str, ...], rounds: int, color: bool, quiet: bool = False,
        trustees: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._hospitals, self._rounds, self._everybody = hospitals, rounds, (*hospitals, *trustees)
        self._steps = ENTRUSTED if trustees else STEPS
        self._console = console(stderr=True, no_color=not color, quiet=quiet, soft_wrap=True)
        self._cells: dict[str, dict[str, str]] = {name: {} for name in self._everybody}
        self._title, self._step, self._need, self._until = "founding", "", 0, 0
        self._awaited: list[str] = []
        self._missing = self._here = 0
        self._history: dict[str, str] = dict.fromkeys(self._everybody, "")
        self.dead: list[str] = []
        self._live = Live(console=self._console, refresh_per_second=8, transient=False)
        self._shown = False

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print one line of progress."""
        self._console.print(f"[dim]·[/] {text}")

    def show(self, event: Event | None) -> None:
        """Take one event of the aggregator, or a tick of the clock; its texts stand in markup, so they are marked."""
        if event is not None:
            self._take(rewritten(event, lambda value: plained(value, marked)))
        if self._console.is_terminal:
            if not self._shown:
                self._live.start()
                self._shown = True
            self._live.update(self._page())

    def died(self, name: str, step: str) -> None:
        """Show that a hospital's process was killed."""
        self.dead.append(name)
        self._cells[name][step] = "killed"
        self.say(f"[bold red]{name} is dead[/]: SIGKILL in the middle of step {step}")

    def revived(self, name: str) -> None:
        """Show that a hospital's process runs again."""
        self.dead.remove(name)
        self.say(f"[bold green]{name} is started again[/]: it takes up what it had saved")

    def _take(self, event: Event) -> None:
        match event:
            case told.RoundStarted():
                self._cells = {name: {} for name in self._everybody}
                attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self._title = f"{event.job}, round {event.round}{attempt}"
            case told.Step():
                self._on_step(event)
            case told.Waiting():
                self._step, self._need = event.step, event.need
                self._awaited, self._until = list(event.for_whom), event.until
                self._missing, self._here = event.missing, 0
            case told.Progress():
                self._on_progress(event)
            case told.RoundClosed():
                self._on_closed(event)
            case told.RoundAborted():
                reason = f"{event.step}: {event.reason}"
                self.say(f"[bold red]{event.job} round {event.round} aborted[/] in {reason}")
            case told.JobFailed():
                self.say(f"[bold red]{event.job} failed[/]: {event.reason}")

    def _on_step(self, event: told.Step) -> None:
        name = str(event.institution)
        if name in self._cells and event.step:
            self._cells[name][event.step] = event.state
        if event.step == self._step:
            self._awaited = [other for other in self._awaited if other != name]
            self._missing = len(self._awaited)
        if event.state != "sent":
            self.say(f"{name} {event.state} in {event.step}: {event.reason}")

    def _on_progress(self, event: told.Progress) -> None:
        """Take how many uploads have come; whose is told when all have."""
        if event.step == self._step:
            self._awaited, self._missing, self._here = [], event.total - event.count, event.count

    def _on_closed(self, event: told.RoundClosed) -> None:
        out = {entry.member: entry.step for entry in event.dropped}
        for name in self._hospitals:
            self._history[name] += "●" if name in event.contributors and name not in out else "○"
        for name in self._everybody[len(self._hospitals) :]:
            self._history[name] += "●" if self._cells[name].get("Decrypt") == "sent" else "○"
        without = "".join(f", without {m} since {s}" for m, s in out.items())
        if not self._console.is_terminal or out:
            self.say(f"{event.job} round {event.round}: {len(event.contributors)} contributors{without}")
        self._awaited, self._missing = [], 0

    def _page(self) -> Group:
        grid = Table(title=self._title, title_justify="left")
        grid.add_column("institution")
        for step in self._steps:
            grid.add_column(step, justify="center")
        grid.add_column("rounds so far")
        for name, cells in self._cells.items():
            row = [f"[{_STYLE.get(cells[s], '')}]{cells[s]}[/]" if cells.get(s) else "" for s in self._steps]
            grid.add_row(f"[strike]{name}[/]" if name in self.dead else name, *row, self._history[name])
        return Group(grid, Text(self._waits()))

    def _waits(self) -> str:
        """Say who is waited for, for what, how many are needed, until when."""
        if not self._missing:
            return ""
        left = max(0, self._until - clock.wall())
        until = f", {left // 60:02d}:{left % 60:02d} left" if self._until else ""
        here = self._here or sum(cells.get(self._step) == "sent" for cells in self._cells.values())
        if self._step == "presence":
            here = self._need - self._missing
        names = ", ".join(self._awaited) or f"{self._missing} more"
        return f"{self._step}: {here} here, need {self._need}, waiting for {names}{until}"
