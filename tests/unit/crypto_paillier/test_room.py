"""The room's own rules: one function for secret exponents, one way to randomness, nothing of it without the extra."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOM = sorted((ROOT / "secagg" / "crypto" / "paillier").glob("*.py"))
POWERS = {"powmod", "powmod_sec", "powmod_exp_list", "powmod_base_list"}


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


def test_powers_are_taken_in_one_file() -> None:
    """Row 30: a power elsewhere could have a secret exponent and a time that tells it."""
    assert [path.name for path in ROOM if names(path) & (POWERS | {"pow"})] == ["powers.py"]


def test_secret_powers_take_constant_time() -> None:
    tree = ast.parse((ROOT / "secagg" / "crypto" / "paillier" / "powers.py").read_text())
    used = {
        function.name: {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)} & POWERS
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
    }
    assert {name: sorted(calls) for name, calls in used.items() if calls} == {
        "public_power": ["powmod"],
        "secret_power": ["powmod_sec"],
        "blinding": ["powmod_sec"],
        "secret_powers": ["powmod_sec"],
    }


@pytest.mark.parametrize("path", ROOM, ids=lambda path: path.name)
def test_no_generator_but_ours(path: Path) -> None:
    banned = {"random_state", "mpz_random", "mpz_urandomb", "mpz_rrandomb", "urandom", "system_rng"}
    assert names(path).isdisjoint(banned)


def test_secret_exponents_go_through_the_secret_functions() -> None:
    """What is called with a share, a prime, an order or a nonce is `secret_power` or `secret_powers`."""
    secret = {"exponent", "nonce", "order", "beta", "secret"}
    for path in ROOM:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "public_power":
                told = {node.id for node in ast.walk(call.args[1]) if isinstance(node, ast.Name)}
                assert told.isdisjoint(secret), (path.name, call.lineno)


def test_everything_else_imports_without_gmpy2_and_phe() -> None:
    program = """
import sys
for name in ("gmpy2", "phe"):
    sys.modules[name] = None
import secagg.crypto.seal, secagg.crypto.shamir, secagg.protocol.engines, secagg.protocol.run, secagg.bench.command
import secagg.bench.masks, secagg.auditor.bundle
"""
    subprocess.run([sys.executable, "-c", program], check=True)
