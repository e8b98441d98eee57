"""The room's own rules: one way to randomness, nothing of it without the extra. Powers: tests/attacks, row 30."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOM = sorted((ROOT / "secagg" / "crypto" / "paillier").glob("*.py"))


def names(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return found


def test_the_room_is_found() -> None:
    assert {"powers.py", "keys.py", "encrypt.py", "threshold.py", "partial.py"} <= {path.name for path in ROOM}


@pytest.mark.parametrize("path", ROOM, ids=lambda path: path.name)
def test_no_generator_but_ours(path: Path) -> None:
    banned = {"random_state", "mpz_random", "mpz_urandomb", "mpz_rrandomb", "urandom", "system_rng"}
    assert names(path).isdisjoint(banned)


def test_everything_else_imports_without_gmpy2_and_phe() -> None:
    program = """
import sys
for name in ("gmpy2", "phe"):
    sys.modules[name] = None
import secagg.crypto.seal, secagg.crypto.shamir, secagg.protocol.engines, secagg.rehearsal.run, secagg.bench.command
import secagg.bench.masks, secagg.auditor.bundle
"""
    subprocess.run([sys.executable, "-c", program], check=True)
