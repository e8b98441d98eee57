"""`secagg broker` as a process: key, configuration, readiness, a taken port, an end on SIGTERM."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from secagg.cli import main
from secagg.daemon import clock
from secagg.daemon.broker import init_broker
from secagg.errors import BadConfiguration
from secagg.transport.curve import Addresses, parse_key
from support.brokers import Authority, dialled, key_of, push_roster, run
from support.links import connected

SECAGG = [sys.executable, "-c", "from secagg.cli import main; main()"]


def write_config(path: Path, **changes: object) -> Path:
    values = {"listen": "127.0.0.1", "port": 0, "state_dir": "state"} | changes
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    federation = ["[federation]", 'name = "hearts"', f'root_fingerprint = "{Authority().fingerprint}"']
    key = f'keyserver_curve_key = "{key_of("keyserver").hex()}"'
    file = path / "broker.toml"
    file.write_text("\n".join(["[broker]", *lines, *federation, key]))
    return file


@contextmanager
def served(config: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    ready = config.parent / "ready.json"
    line = [*SECAGG, "broker", "serve", "--config", str(config), "--ready", str(ready)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready broker hearts tcp://127.0.0.1:")
            yield process, json.loads(ready.read_text())
        finally:
            process.kill()


@pytest.mark.processes
def test_it_serves_members_and_ends_on_sigterm(tmp_path: Path) -> None:
    authority = Authority(now=clock.wall())
    key = init_broker(tmp_path / "state")

    def status() -> dict[str, object]:
        shown = CliRunner().invoke(main, ["broker", "status", "--config", str(config), "--format", "json"])
        assert shown.exit_code == 0, shown.stderr
        found: dict[str, object] = json.loads(shown.stdout)
        return found

    async def use(places: Addresses) -> None:
        broker_key = parse_key(told["public_key"])
        assert await asyncio.to_thread(lambda: status()["waiting"]) == before["waiting"]
        async with dialled(places, "keyserver", "hungary", broker_key=broker_key) as (keyserver, hungary):
            await push_roster(keyserver, authority.roster("hungary"))
            await connected(hungary)
            shown = await asyncio.to_thread(status)
        assert (shown["roster"], shown["waiting"], shown["connected"]) == (1, None, ["hungary", "keyserver"])
        assert 0 < int(str(shown["memory"])) < int(str(shown["memory_limit"])) == 4096 * 2**20
        assert 0 < int(str(shown["descriptors"])) < int(str(shown["descriptor_limit"]))

    config = write_config(tmp_path)
    with served(config) as (process, told):
        assert parse_key(told["public_key"]) == key
        before = status()
        assert before["waiting"] == {"for": "keyserver", "what": "the first roster", "since": before["since"],
                                     "until": None}  # fmt: skip
        run(use(Addresses(told["control"], told["bulk"], told["enrol"])))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0
    events = [json.loads(line) for line in log.splitlines()]
    assert {"adopt_roster", "serve", "count"} <= {event["event"] for event in events}
    assert not any("dropped" in event for event in events)
    assert not (tmp_path / "ready.json").exists()
    assert (tmp_path / "state" / "roster.bin").exists()


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    line = ["broker", "init", "--state-dir", str(tmp_path / "state")]
    first, second = (CliRunner().invoke(main, line) for _ in range(2))
    assert first.exit_code == 0
    assert parse_key(first.stdout.strip()) == init_broker(tmp_path / "state")
    assert second.stdout == first.stdout
    assert json.loads(CliRunner().invoke(main, [*line, "--format", "json"]).stdout) == {
        "public_key": first.stdout.strip()
    }
    file = tmp_path / "state" / "curve.key"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    init_broker(tmp_path / "state")
    (tmp_path / "state" / "curve.key").chmod(0o644)
    with pytest.raises(BadConfiguration, match="mode 0644"):
        init_broker(tmp_path / "state")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"prot": 7}, "broker.prot is unknown. Did you mean port?"),
        ({"port": 70_000}, "broker.port"),
        ({"key_file": "nowhere"}, "There is no key at"),
        ({"state_dir": "other"}, "Run `secagg broker init"),
    ],
)
def test_what_cannot_be_served_says_so(tmp_path: Path, changes: dict[str, object], cause: str) -> None:
    init_broker(tmp_path / "state")
    result = subprocess.run(
        [*SECAGG, "broker", "serve", "--config", str(write_config(tmp_path, **changes))],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (result.returncode, result.stdout) == (78, "")
    assert cause in " ".join(result.stderr.split())


@pytest.mark.processes
def test_a_taken_port_says_so(tmp_path: Path) -> None:
    init_broker(tmp_path / "state")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = write_config(tmp_path, port=port)
        line = [*SECAGG, "broker", "serve", "--config", str(config)]
        result = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert result.returncode == 78
    assert "error[E-PORT]: The control address tcp://127.0.0.1:" in result.stderr
    assert "set another [broker] port" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_configuration_it_says_so() -> None:
    result = CliRunner().invoke(main, ["broker", "serve"])
    assert result.exit_code == 64
