"""`secagg keyserver`, `token`, `member`, `roster` and `node join` as a person types them, over a real broker."""

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from secagg.cli import main
from secagg.daemon.admin import call
from secagg.daemon.enrolment import KEYS

SECAGG = [sys.executable, "-c", "from secagg.cli import main; main()"]


def secagg(*line: str, given: str = "") -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, line, input=given)


def succeed(*line: str, given: str = "") -> str:
    result = secagg(*line, given=given)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@contextmanager
def started(*line: str) -> Iterator[subprocess.Popen[str]]:
    """A daemon, from its `ready` line to SIGTERM."""
    with subprocess.Popen([*SECAGG, *line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready ")
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def begun(path: Path) -> dict[str, str]:
    """Found a federation in `path` and return what `init` printed."""
    path.chmod(0o700)
    (path / "pass").write_text("phrase\n")
    (path / "pass").chmod(0o600)
    key = succeed("broker", "init", "--state-dir", str(path / "broker")).strip()
    told: dict[str, str] = json.loads(
        succeed(
            "keyserver", "init", "--state-dir", str(path / "ks"), "--federation", "hearts", "--passphrase-file",
            str(path / "pass"), "--broker-key", key, "--config-out", str(path / "keyserver.toml"), "--format", "json",
        )
    )  # fmt: skip
    return told


def write_broker(path: Path, told: dict[str, str]) -> str:
    file = path / "broker.toml"
    file.write_text(
        f'[broker]\nport = 0\nstate_dir = "broker"\n[federation]\nname = "hearts"\n'
        f'root_fingerprint = "{told["root_fingerprint"]}"\nkeyserver_curve_key = "{told["keyserver_curve_key"]}"\n'
    )
    return str(file)


def point_at(path: Path, places: dict[str, str]) -> str:
    """Write the broker's real addresses into keyserver.toml."""
    file = path / "keyserver.toml"
    where = f'"{places["control"]}"\nbulk = "{places["bulk"]}"\nenrol = "{places["enrol"]}"'
    file.write_text(file.read_text().replace('"tcp://127.0.0.1:7700"', where))
    return str(file)


@pytest.mark.processes
def test_an_institution_joins_over_a_real_broker(tmp_path: Path) -> None:
    told = begun(tmp_path)
    ready = tmp_path / "places.json"
    with started("broker", "serve", "--config", write_broker(tmp_path, told), "--ready", str(ready)):
        config = ["--config", point_at(tmp_path, json.loads(ready.read_text()))]
        with started("keyserver", "serve", *config):
            token = succeed("token", "create", "--institution", "charite", *config)
            state, out = tmp_path / "node", tmp_path / "node.toml"
            line = ["node", "join", "-", "--state-dir", str(state), "--passphrase-file", str(tmp_path / "pass")]
            line += ["--config-out", str(out)]
            asked = secagg(*line, "--no-wait", given=token)
            assert (asked.exit_code, out.exists()) == (75, False)
            assert "it waits for the operator's approval" in asked.stderr
            words = json.loads(succeed("member", "show", "charite", "--format", "json", *config))["words"]
            assert " ".join(words) in asked.stderr
            wrong = secagg("member", "approve", "charite", "--words", "zebra,acorn", *config)
            assert (wrong.exit_code, "E-WORDS" in wrong.stderr) == (65, True)
            succeed("member", "approve", "charite", *config, given=f"{words[1]} {words[4]}\n")
            words_of_policy = ("--changing-sets", "--no-exact-counts")
            assert succeed(*line, *words_of_policy, given=token).strip() == str(out)
            assert "charite (node)" in succeed("roster", "verify", "--root", told["root_fingerprint"], *config)
            other = secagg("roster", "verify", "--root", "sha256:" + "0" * 64, *config)
            assert (other.exit_code, "E-ROOT" in other.stderr) == (65, True)
            thief = [*line[:4], str(tmp_path / "thief"), *line[5:7], "--config-out", str(tmp_path / "thief.toml")]
            used = secagg(*thief, "--no-wait", given=token)
            assert (used.exit_code, "E-TOKEN-USED" in used.stderr) == (77, True)
            assert token.strip() not in succeed("token", "list", "--format", "jsonl", *config)
        # Nothing is lost over a restart.
        with started("keyserver", "serve", *config):
            assert call(tmp_path / "ks" / "admin.sock", {"command": "status"})["members"] == 1
            assert "revoked charite" in succeed("member", "revoke", "charite", "--reason", "test", "--yes", *config)
    written = tomllib.loads(out.read_text())
    assert written["node"]["name"] == "charite"
    assert written["federation"] == {"name": "hearts", "root_fingerprint": told["root_fingerprint"]}
    assert written["policy"] == {"changing_sets": True, "exact_counts": False}
    assert (state / KEYS).stat().st_mode & 0o777 == 0o600


def test_a_federation_is_founded_once(tmp_path: Path) -> None:
    told = begun(tmp_path)
    assert (tmp_path / "ks" / "root.key").stat().st_mode & 0o777 == 0o600
    assert tomllib.loads((tmp_path / "keyserver.toml").read_text())["federation"]["root_fingerprint"] == told[
        "root_fingerprint"
    ]  # fmt: skip
    again = secagg(
        "keyserver", "init", "--state-dir", str(tmp_path / "ks"), "--federation", "hearts", "--passphrase-file",
        str(tmp_path / "pass"), "--config-out", str(tmp_path / "other.toml"),
    )  # fmt: skip
    assert again.exit_code == 78
    assert "was founded" in again.stderr
    assert not (tmp_path / "other.toml").exists()


def refused(path: Path, *line: str) -> str:
    result = secagg(*line, "--config", str(path / "keyserver.toml"))
    assert result.exit_code != 0
    assert len(result.stderr.splitlines()) == 2
    return f"{result.exit_code} {result.stderr}"


def test_serve_says_what_is_wrong_with_its_files(tmp_path: Path) -> None:
    told = begun(tmp_path)
    file = tmp_path / "keyserver.toml"
    whole = file.read_text()
    file.write_text(whole.replace(told["root_fingerprint"], "sha256:" + "0" * 64))
    assert refused(tmp_path, "keyserver", "serve").startswith("78 error[E-ROOT]")
    file.write_text(whole + "\ncoluders = 1\n")
    assert "limits.coluders is unknown.\n  Did you mean colluders?" in refused(tmp_path, "keyserver", "serve")
    file.write_text(whole)
    (tmp_path / "ks" / "keys").chmod(0o644)
    assert "has mode 0644" in refused(tmp_path, "keyserver", "serve")
    (tmp_path / "ks" / "keys").chmod(0o600)
    (tmp_path / "pass").write_text("another\n")
    assert "do not open with this passphrase" in refused(tmp_path, "keyserver", "serve")
    assert refused(tmp_path, "token", "list").startswith("69 error[E-PEER]")


def test_a_damaged_token_is_bad_input(tmp_path: Path) -> None:
    line = ["node", "join", "-", "--state-dir", str(tmp_path / "state"), "--passphrase-file", str(tmp_path / "pass")]
    begun(tmp_path)
    result = secagg(*line, "--config-out", str(tmp_path / "node.toml"), given="sa1_broken")
    assert (result.exit_code, "E-TOKEN" in result.stderr) == (64, True)
    assert secagg(*line, given="").exit_code == 64
    assert secagg("node", "join", "sa1_on-the-command-line", *line[3:]).exit_code == 64
    assert not (tmp_path / "state").exists()
