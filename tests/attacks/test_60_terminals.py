"""Row 60: what members write is shown at operators' terminals and never obeyed.

A daemon answers every command with texts of a peer in every place. They hold escape sequences, markup, marks that turn
the direction of writing, lines of their own. Tables, records, JSON, live pictures, errors, logs and the audit write
them as what they are.
"""

import asyncio
import io
import json
import threading
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from click.testing import CliRunner

from aggregator import requests as of_aggregator
from keyserver import requests as of_keyserver
from keyserver.trustee import requests as of_trustee
from node import requests as of_node
from secagg.cli import main
from secagg.daemon import broker, logs
from secagg.daemon.admin import SOCKET, Admin
from secagg.daemon.requests import Link
from secagg.daemon.writing import plain
from secagg.demo import ending
from secagg.demo.heart import HOSPITALS, RISK, Story
from secagg.demo.live import Screen
from secagg.demo.seen import Line, Report
from secagg.errors import BadInput
from secagg.events import rounds as told
from secagg.events.kinds import rewritten
from secagg.events.line import Event
from secagg.log.statements import DropOut
from secagg.rehearsal.federation import START_OF_TIME
from support.bundles import AGGREGATOR, append, write_bundle

LINE = "FAKE all is well"
TEXT = f"\x1b[2J\x1b]0;mine\x07[red]\u202e\u200b\u3164\x9b31m\r\n{LINE}"
SHOWN = plain(TEXT)
OUT = (told.Dropped("north", "Unmask", "why"),)
EVENTS: list[Event] = [
    told.Step("risk", 1, 1, "Unmask", "sent", "north", "why"),
    told.Waiting("risk", 1, 1, "Unmask", ("north", "south"), missing=2, need=2, since=5, until=5),
    told.RoundAborted("risk", 1, 1, "Unmask", "why", OUT, lost=False),
    told.JobFailed("risk", "why", "input.same", "how"),
]
ASKED: dict[str, Any] = {
    "aggregator": of_aggregator.Asked | Link, "node": of_node.Asked | Link, "keyserver": of_keyserver.Asked | Link,
    "trustee": of_trustee.Status | Link, "broker": broker.Status,
}  # fmt: skip
"""What each role is asked."""

COMMANDS = [
    "member list", "member show north", "token list", "keyserver status", "aggregator status", "job list",
    "job show risk", "job watch risk", "node status", "trustee status", "broker status", "node ledger show",
    "node allow risk --yes", "node unchecked accept risk.1", "token create --institution north",
]  # fmt: skip


def hostile(value: Any) -> Any:
    """Return a value with the hostile text behind every text in it."""
    match value:
        case str():
            return value + TEXT
        case dict():
            return {name: hostile(inner) for name, inner in value.items()}
        case list():
            return [hostile(inner) for inner in value]
        case _:
            return value


def filled(found: msgspec.inspect.Type) -> Any:
    """Return an answer of a type, as JSON: every field there, the hostile text as every text and every name."""
    match found:
        case msgspec.inspect.StrType():
            return TEXT
        case msgspec.inspect.LiteralType():
            return max(map(str, found.values))  # a job that still waits, so that it can be watched
        case msgspec.inspect.DictType():
            return {TEXT: filled(found.value_type)}
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return [filled(found.item_type)]
        case msgspec.inspect.UnionType():
            return filled(found.types[0])
        case msgspec.inspect.Metadata():
            return filled(found.type)
        case msgspec.inspect.StructType():
            tag = {found.tag_field: found.tag} if found.tag_field else {}
            return tag | {field.encode_name: filled(field.type) for field in found.fields}
    return {msgspec.inspect.IntType: 5, msgspec.inspect.FloatType: 0.5, msgspec.inspect.BoolType: True}[type(found)]


def poisoned(role: str, command: str) -> Any:
    """Return what a daemon of this role may answer to a command, with the hostile text in every place of it."""
    kind = {request.__struct_config__.tag: request for request in get_args(ASKED[role]) or (ASKED[role],)}[command]
    if kind is of_aggregator.SubmitJob:
        raise BadInput(f"no {command}{TEXT}", f"ask{TEXT}")
    return filled(msgspec.inspect.type_info(kind.answered_by()))


def poisoned_event(event: Event) -> Event:
    """Return an event with the hostile text in everything but what kind it is, of which job, and one of a few."""
    kept = ("event", "job", "state")
    return rewritten(event, lambda shown: hostile(shown) | {name: shown[name] for name in kept if name in shown})


class Daemon:
    """A daemon in a thread, which answers as it was told to."""

    def __init__(self, place: Path, role: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.admin = Admin(place / SOCKET, lambda request: poisoned(role, str(request["command"])))
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        await self.admin.open()
        self.ready.set()
        while not self.over.is_set():
            if self.admin.watchers:
                for event in EVENTS:
                    self.admin.publish(poisoned_event(event))
            await asyncio.sleep(0.01)
        await self.admin.close()

    def __enter__(self) -> "Daemon":
        self.ready, self.over = threading.Event(), threading.Event()
        self.thread.start()
        self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(10)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration of each role, all of one state directory, in which the daemon answers."""
    (tmp_path / "s").mkdir(mode=0o700)
    ends = '[broker]\naddress = "tcp://127.0.0.1:1"\ncurve_key = "' + "00" * 32 + '"\n[federation]\nname = "fed"\n'
    ends += 'root_fingerprint = "sha256:00"\n'
    for role, more in {"aggregator": "", "node": "", "trustee": 'organisation = "north"\n'}.items():
        own = f'[{role}]\nname = "north"\nstate_dir = "s"\n{more}'
        (tmp_path / f"{role}.toml").write_text(own + ends)
    broker = '[broker]\nstate_dir = "s"\n[federation]\nname = "fed"\nroot_fingerprint = "sha256:00"\n'
    (tmp_path / "broker.toml").write_text(broker + f'keyserver_curve_key = "{"00" * 32}"\n')
    return tmp_path


def role_of(line: str) -> str:
    """Return which daemon a command asks."""
    noun = line.split(maxsplit=1)[0]
    return {"job": "aggregator", "member": "keyserver", "token": "keyserver"}.get(noun, noun)


def run(place: Path, line: str, format: str) -> Any:
    noun = line.split(maxsplit=1)[0]
    given = ["--state-dir", str(place / "s")] if noun in ("member", "token", "keyserver") else []
    given = given or ["--config", str(place / f"{role_of(line)}.toml")]
    return CliRunner().invoke(main, [*line.split(), *given, "--format", format])


def judge(text: str) -> None:
    """Hold that nothing raw is in what a terminal gets, and that nobody added a line to it."""
    for line in text.splitlines():
        assert plain(line) == line
        assert not line.lstrip().startswith(LINE)
    assert "\r" not in text
    assert "\x85" not in text


@pytest.mark.parametrize("format", ["table", "json", "jsonl"])
@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_shows_what_a_peer_wrote_and_obeys_nothing(line: str, format: str, place: Path) -> None:
    with Daemon(place / "s", role_of(line)):
        done = run(place, line, format)
    assert done.exit_code in (0, 75), done.output
    judge(done.stdout)
    judge(done.stderr)
    assert LINE in done.stdout + done.stderr
    for row in done.stdout.splitlines() if format != "table" else ():
        json.loads(row)


def test_an_error_of_a_daemon_is_shown_as_it_is(place: Path) -> None:
    with Daemon(place / "s", "aggregator"):
        done = run(place, "job submit " + str(_job(place)), "table")
    assert done.exit_code == 64
    judge(done.stderr)
    assert done.stderr.splitlines() == [f"error[E-INPUT]: no job-submit{SHOWN}", f"  ask{SHOWN}"]


def _job(place: Path) -> Path:
    path = place / "job.toml"
    path.write_text('[job]\nname = "risk"\ntask = "risk"\npurpose = "sum"\nlength = 7\n')
    return path


@pytest.mark.parametrize("command", ["log", "show"])
def test_the_audit_shows_what_stands_in_a_log(command: str, tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    left = DropOut(
        federation="fed", time=START_OF_TIME, job="job", round=1, attempt=1, group=0, member="node-01", step="Unmask",
        reason=f"\x7f{TEXT}",
    )  # fmt: skip
    append(tmp_path, "rounds", left, AGGREGATOR, federation.aggregator, federation.aggregator)
    done = CliRunner().invoke(main, ["audit", command, str(tmp_path), *(["1"] if command == "show" else [])])
    assert done.exit_code == 0
    judge(done.stdout)
    assert LINE in done.stdout
    if command == "log":
        for line in done.stdout.splitlines():
            json.loads(line.split(maxsplit=2)[2])


def test_an_audit_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "checkpoint").write_text(f"fed/rounds{TEXT}\n1\n")
    for format in ("table", "json"):
        done = CliRunner().invoke(main, ["audit", "verify", str(tmp_path), "--format", format])
        assert done.exit_code
        judge(done.stdout + done.stderr)


# What is drawn -------------------------------------------------------------------------------------------------------

DRAWN: list[Event] = [
    told.RoundStarted(RISK, 1, 1, ("cleveland",)),
    told.Waiting(RISK, 1, 1, "Unmask", ("hungary",), missing=1, need=3, since=0, until=0),
    told.Step(RISK, 1, 1, "Unmask", "refused", "x", "w"),
    told.RoundClosed(RISK, 1, 1, ("x",), (told.Dropped("y", "", ""),), seconds=1),
    told.RoundAborted(RISK, 1, 1, "Unmask", "why", (), lost=False),
    told.JobFailed(RISK, "why", "", ""),
]


def test_the_live_table_takes_no_text_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    drawn.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", drawn)
    monkeypatch.setenv("TERM", "dumb")
    with Screen(("cleveland", "hungary"), 3, color=False) as screen:
        for event in DRAWN:
            screen.show(poisoned_event(event))
    text = drawn.getvalue()
    for raw in ("\x1b]0", "\x07", "\u202e", "\u200b", "\x9b"):
        assert raw not in text
    assert text.count("[red]") >= 4
    assert not any(line.startswith(LINE) for line in text.splitlines())


def test_the_end_of_a_demonstration_takes_no_text_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    scores = dict.fromkeys(HOSPITALS, (0.8, 0.02))
    report = Report("FAIL", 0, 1, (Line(1, f"tiles{TEXT}", "fail", f"entry{TEXT}"),))
    story = Story(10, alone=scores, federated=scores, centralised=scores, report=report, failed=f"why{TEXT}")
    story.sent = dict.fromkeys(HOSPITALS, 2048)
    ending.tables(story, Path("b"), 1.0, color=False)
    shown = capsys.readouterr().out
    assert shown.count("[red]") == 2
    for raw in ("\x1b]0", "\x07", "\u202e", "\u200b", "\x9b", "\r"):
        assert raw not in shown
    assert not any(line.startswith(LINE) for line in shown.splitlines())


# What is logged ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [True, False])
def test_a_log_line_is_one_line(terminal: bool) -> None:
    out = io.StringIO()
    out.isatty = lambda: terminal  # type: ignore[method-assign]
    log = logs.configure("node", "north", color=False, file=out)
    log.warning("refuse", cause=f"why{TEXT}", members=[f"north{TEXT}"])
    try:
        raise ValueError(TEXT)
    except ValueError as error:
        log.error("fail", exc_info=error)
    text = out.getvalue()
    for raw in ("\x1b[2J", "\x1b]0", "\x07", "\u202e", "\u200b", "\u3164", "\x9b", "\r"):
        assert raw not in text
    assert len(text.splitlines()[0]) > len(SHOWN)
    assert LINE in text.splitlines()[0]
