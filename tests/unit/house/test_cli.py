"""The command: what `--help` leaves unimported, how an error reaches a person, where global options may stand."""

import errno
import json
import subprocess
import sys
from importlib import metadata

import click
import pytest
from click.testing import CliRunner, Result

from secagg import cli, errors
from secagg.daemon.options import Options, current, explain, options

HEAVY = ("numpy", "torch", "zmq", "rich", "cryptography", "sqlite3")
CODES = {
    errors.UsageError: 64,
    errors.BadInput: 64,
    errors.VerificationFailed: 65,
    errors.BundleIncomplete: 66,
    errors.PeerUnavailable: 69,
    errors.TryLater: 75,
    errors.ProtocolViolation: 76,
    errors.NotAuthorised: 77,
    errors.BadConfiguration: 78,
}


def group(error: errors.SecaggError | OSError | None = None) -> click.Group:
    """The real group class and options, with nouns that show the options or raise `error`."""

    class Fixed(cli.Nouns):
        list_commands = click.Group.list_commands
        get_command = click.Group.get_command

    @click.group(cls=Fixed)
    @options
    def main() -> None: ...

    @main.command()
    @options
    def show() -> None:
        if error is not None:
            raise error
        config, kind, verbosity, color = current()
        click.echo(json.dumps([str(config), kind, verbosity, color]))

    return main


def run(*line: str, error: errors.SecaggError | OSError | None = None) -> Result:
    return CliRunner().invoke(group(error), line)


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
from secagg.cli import main
try:
    main(["--help"])
except SystemExit as stop:
    assert stop.code == 0, stop.code
found = sorted(set({HEAVY!r}) & set(sys.modules))
print("imported:", found)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert "Exit codes:" in done.stdout


def test_help_lists_every_noun_with_its_purpose() -> None:
    text = CliRunner().invoke(cli.main, ["--help"]).stdout
    for noun in metadata.entry_points(group=cli.GROUP).names:
        assert f"  {noun} " in text
        assert cli.HELP[noun][:20] in text


@pytest.mark.parametrize("noun", sorted(metadata.entry_points(group=cli.GROUP).names) or ["--version"])
def test_every_noun_loads(noun: str) -> None:
    result = CliRunner().invoke(cli.main, [noun, "--help"])
    assert (result.exit_code, result.stderr) == (0, "")


def test_version_is_the_distributions() -> None:
    assert CliRunner().invoke(cli.main, ["--version"]).stdout == f"secagg {metadata.version('secagg')}\n"


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_error_is_cause_remedy_and_exit_code(kind: type[errors.SecaggError], code: int) -> None:
    result = run("show", error=kind("The port is taken.", "Choose another one.", code="E-EXAMPLE"))
    assert result.exit_code == code
    assert result.stderr == "error[E-EXAMPLE]: The port is taken.\n  Choose another one.\n"
    assert result.stdout == ""


def test_a_full_disk_is_told_as_one_whoever_met_it() -> None:
    result = run("show", error=OSError(errno.ENOSPC, "No space left on device", "log/tile"))
    remedy = "Free space on the disk of the state directory."
    assert result.exit_code == 75
    assert result.stderr == f"error[E-DISK]: No space left on device: log/tile\n  {remedy}\n"


def test_another_fault_of_the_system_stays_a_bug() -> None:
    result = run("show", error=OSError(errno.ENOENT, "No such file"))
    assert (result.exit_code, type(result.exception)) == (1, FileNotFoundError)


def test_an_error_without_remedy_is_one_line() -> None:
    assert explain(errors.TryLater("Four of six are here.")) == ("error[E-LATER]: Four of six are here.",)


@pytest.mark.parametrize("line", [["bogus"], ["--bogus"], ["show", "--bogus"], ["--format", "xml", "show"]])
def test_a_line_that_is_not_understood_is_64(line: list[str]) -> None:
    result = run(*line)
    assert result.exit_code == 64
    assert "Error:" in result.stderr


def test_no_noun_shows_the_help() -> None:
    result = run()
    assert result.exit_code == 64
    assert result.stderr == run("--help").stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["show"], ["None", "table", 0, True]),
        (["--format", "json", "show"], ["None", "json", 0, True]),
        (["show", "--format", "json"], ["None", "json", 0, True]),
        (["--format", "json", "show", "--format", "jsonl"], ["None", "jsonl", 0, True]),
        (["--config", "a.toml", "show"], ["a.toml", "table", 0, True]),
        (["show", "--config", "b.toml", "--no-color"], ["b.toml", "table", 0, False]),
        (["-q", "show"], ["None", "table", -1, True]),
        (["show", "-vv"], ["None", "table", 2, True]),
        (["-v", "--no-color", "show", "--format", "json"], ["None", "json", 1, False]),
    ],
)
def test_global_options_stand_on_either_side_of_the_noun(line: list[str], expected: list[object]) -> None:
    result = run(*line)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == expected


def test_defaults_are_a_normal_terminal() -> None:
    assert Options() == (None, "table", 0, True)
