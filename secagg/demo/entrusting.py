"""Trustees for a federation on this machine: enrolled as real ones, a ceremony of files, a daemon for each.

How to read it: `entrust` enrols trustees, lets each hand out a card, holds the ceremony, lets each accept, and puts the
custody together that jobs name; `publish_key` logs the ceremony; `start_trustee` runs one, `kill_trustee` ends one as a
power cut would.
Rules: every step is the command that people type, each trustee in its own directory; the sealed shares are removed once
they were accepted. Leaves to others: the federation (founding.py), jobs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secagg.daemon.admin import SOCKET, call
from secagg.demo.founding import Federation

KEY_BITS = 2048
"""The floor: a key for a demonstration, made in a second or two."""


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
    federation.processes.serve(name, "trustee", "serve", "--config", str(trustee_config(federation, name)))


def kill_trustee(federation: Federation, name: str) -> None:
    """End a trustee as a power cut would."""
    federation.processes.kill(name)


def ask_trustee(federation: Federation, name: str) -> dict[str, Any]:
    """Return what a trustee says of itself."""
    found = call(federation.home(name) / "state" / SOCKET, {"command": "status"})
    return dict(found)


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
