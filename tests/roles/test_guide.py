"""The operator's guide as a script: what it shows is what happens."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "operators-guide.md"


def free_base() -> int:
    """Return a port whose two followers are free as well."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            base: int = first.getsockname()[1]
        try:
            with socket.socket() as second, socket.socket() as third:
                second.bind(("127.0.0.1", base + 1))
                third.bind(("127.0.0.1", base + 2))
        except OSError:
            continue
        return base


@pytest.mark.processes
def test_the_guides_scripts_sum_three_institutions_with_both_engines_and_pass_the_audit(tmp_path: Path) -> None:
    scripts = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert len(scripts) == 2
    script = "".join(scripts)
    place = tmp_path / "g"
    place.mkdir(mode=0o700)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    line = ["bash", "-eu", "-o", "pipefail", "-c", script.replace("7700", str(free_base()))]
    log = tmp_path / "log"
    with log.open("wb") as said:
        run = subprocess.Popen(
            line, cwd=place, env=os.environ | {"PATH": path}, stdout=said, stderr=said, start_new_session=True
        )
        try:
            assert run.wait(110) == 0, log.read_text()[-4000:]
        finally:
            os.killpg(run.pid, signal.SIGTERM)
    assert json.loads((place / "result" / "sum.json").read_text())["values"] == [360.0, 144.0]
    assert json.loads((place / "sealed" / "sum.json").read_text())["values"] == [360.0, 144.0]
    assert log.read_text().count("PASS 6/6") == 2
