"""Trustees for a federation on this machine: enrolled as real ones, a ceremony of files, a daemon for each.

How to read it: `entrust` enrols trustees, lets each hand out a card, holds the ceremony and lets each accept. It puts
the custody together that jobs name. `publish_key` logs the ceremony. `start_trustee` runs one, `kill_trustee` ends one
as a power cut would.
Rules: every step is the command that people type, each trustee in its own directory; the sealed shares are removed once
they were accepted. Leaves to others: the federation (founding.py), jobs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from secagg.daemon.admin import SOCKET, call
from secagg.demo.founding import Federation
from secagg.events.line import Event, OfRound
from secagg.events.rounds import RoundClosed, RoundStarted, Step

KEY_BITS = 2048
"""The floor: a key for a demonstration, made in a second or two."""


STEPS = ("Attend", "Witness", "Decrypt")
"""What a trustee does in a round, in order."""


class Screen(Protocol):
    """What a demonstration tells people."""

    def say(self, text: str) -> None:
        """Print one line of progress."""

    def died(self, name: str, step: str) -> None:
        """Show that a process was killed."""

    def revived(self, name: str) -> None:
        """Show that a process runs again."""


class Fate:
    """Who dies before which step of one round of a job, once, and comes back after the next round."""

    def __init__(self, name: str, step: str, job: str, round: int) -> None:
        self.name, self.step, self._job, self._round = name, step, job, round
        self._dead = self._back = False

    def due(self, event: Event | None) -> str:
        """Return `die` or `return` when the time for it has come with an event of the aggregator, else nothing."""
        if not isinstance(event, OfRound) or event.job != self._job:
            return ""
        if self._dead and not self._back and isinstance(event, RoundClosed) and event.round > self._round:
            self._back = True
            return "return"
        if self._dead or event.round != self._round or not self._before(event):
            return ""
        self._dead = True
        return "die"

    def _before(self, event: OfRound) -> bool:
        """Say whether what comes before the step has just happened."""
        if self.step == STEPS[0]:
            return isinstance(event, RoundStarted)
        said = (event.institution, event.step, event.state) if isinstance(event, Step) else None
        return said == (self.name, STEPS[STEPS.index(self.step) - 1], "sent")


class Trustees:
    """The trustees of a demonstration, of whom one may die."""

    def __init__(self, federation: Federation, names: tuple[str, ...], fate: Fate | None) -> None:
        self._federation, self._names, self._fate = federation, names, fate
        self.custody: Path | None = None

    def open(self, screen: Screen) -> None:
        """Found them, if there are any: enrolled, with shares of a key, running, the ceremony logged."""
        if not self._names:
            return
        threshold = len(self._names) // 2 + 1
        screen.say(f"a ceremony: {threshold} of {', '.join(self._names)} open every sum, nobody holds the key")
        self.custody = entrust(self._federation, self._names, threshold)
        publish_key(self._federation)
        for name in self._names:
            start_trustee(self._federation, name)

    def follow(self, event: Event | None, screen: Screen) -> list[str]:
        """Kill and start again whoever is to die; return NAME@STEP when somebody died."""
        fate, due = self._fate, self._fate.due(event) if self._fate else ""
        if fate and due == "return":
            self._federation.processes.start(fate.name, *_serving(self._federation, fate.name))
            screen.revived(fate.name)
        if fate is None or due != "die":
            return []
        kill_trustee(self._federation, fate.name)
        screen.died(fate.name, fate.step)
        return [f"{fate.name}@{fate.step}"]


def trustee_config(federation: Federation, name: str) -> Path:
    """Return a trustee's configuration file."""
    return federation.home(name) / "trustee.toml"


def entrust(federation: Federation, names: Sequence[str], threshold: int, bits: int = KEY_BITS) -> Path:
    """Enrol `names` as trustees, have a key of `bits` bits dealt to them, and return the custody that they accepted.

    Raises: SecaggError with what a command said when it failed.
    """
    federation.enrol(dict.fromkeys(names, "trustee"))
    cards = [federation.home(name) / "card" for name in names]
    _all(federation, "card", {name: ("-o", str(card)) for name, card in zip(names, cards, strict=True)})
    dealt = federation.place / "dealer"
    federation.run(
        "trustee", "ceremony", *map(str, cards), "--threshold", str(threshold), "--bits", str(bits),
        "-o", str(dealt), "--yes",
    )  # fmt: skip
    accepted = [federation.home(name) / "acceptance" for name in names]
    _all(
        federation, "accept",
        {
            name: (str(dealt / f"{name}.share"), "--yes", "-o", str(output))
            for name, output in zip(names, accepted, strict=True)
        },
    )  # fmt: skip
    custody = federation.place / "custody.bin"
    federation.run("trustee", "custody", *map(str, accepted), *_public(federation), "-o", str(custody))
    for name in names:
        (dealt / f"{name}.share").unlink()
    return custody


def publish_key(federation: Federation) -> None:
    """Have the key server state that the key was dealt. Raises: SecaggError with what the command said."""
    keyserver = federation.place / "keyserver" / "state"
    federation.run("trustee", "publish", *_public(federation), "--state-dir", str(keyserver))


def start_trustee(federation: Federation, name: str) -> None:
    """Start a trustee and wait until it is ready. Raises: SecaggError when it ended instead."""
    federation.processes.serve(name, *_serving(federation, name))


def kill_trustee(federation: Federation, name: str) -> None:
    """End a trustee as a power cut would."""
    federation.processes.kill(name)


def ask_trustee(federation: Federation, name: str) -> dict[str, Any]:
    """Return what a trustee says of itself."""
    found = call(federation.home(name) / "state" / SOCKET, {"command": "status"})
    return dict(found)


def _serving(federation: Federation, name: str) -> tuple[str, ...]:
    return ("trustee", "serve", "--config", str(trustee_config(federation, name)))


def _public(federation: Federation) -> tuple[str, ...]:
    dealt = federation.place / "dealer"
    return ("--key", str(dealt / "key.bin"), "--transcript", str(dealt / "transcript.json"))


def _all(federation: Federation, command: str, options: dict[str, tuple[str, ...]]) -> None:
    """Run a command of every trustee, side by side."""
    for name, given in options.items():
        line = ("trustee", command, *given, "--config", str(trustee_config(federation, name)))
        federation.processes.start(f"{name}-{command}", *line)
    for name in options:
        federation.processes.finish(f"{name}-{command}")
