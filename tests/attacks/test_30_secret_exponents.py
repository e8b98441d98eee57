"""Row 30: the time of a power tells its exponent. Every secret one goes through two functions of one file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import gmpy2
import pytest

from secagg.crypto.paillier.powers import blinding, secret_power, secret_powers
from support.paillier_keys import seeded, small

ROOT = Path(__file__).resolve().parents[2]
HOME = "secagg/crypto/paillier/powers.py"
SOURCES = sorted(path for room in ("secagg", "node", "aggregator", "keyserver") for path in (ROOT / room).rglob("*.py"))
POWERS = {"powmod", "powmod_sec", "powmod_exp_list", "powmod_base_list", "powmod_exp"}
SECRET = {"exponent", "nonce", "order", "orders", "_orders", "beta", "secret", "share", "primes", "private"}
"""What a secret number is called in the rooms that hold one."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def words(tree: ast.AST) -> set[str]:
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in names:
                yield node


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_the_sources_are_found() -> None:
    assert {HOME, "secagg/protocol/paillier/decrypting.py"} <= {name_of(path) for path in SOURCES}


def test_modular_powers_are_taken_in_one_file() -> None:
    assert [name_of(path) for path in SOURCES if words(parsed(path)) & POWERS] == [HOME]


def test_nobody_takes_a_modular_power_with_pow() -> None:
    found = {name_of(path) for path in SOURCES for call in calls(parsed(path), "pow") if len(call.args) > 2}
    # Shamir's coordinates are public, and so are their inverses.
    assert found == {"secagg/crypto/shamir.py"}


def test_a_public_power_is_never_given_a_secret() -> None:
    for path in SOURCES:
        for call in calls(parsed(path), "public_power"):
            told = words(call.args[1]) if len(call.args) > 1 else set()
            assert told.isdisjoint(SECRET), (name_of(path), call.lineno)


def test_the_secret_functions_take_constant_time_powers() -> None:
    used = {
        function.name: words(function) & POWERS
        for function in parsed(ROOT / HOME).body
        if isinstance(function, ast.FunctionDef)
    }
    assert {name: powers for name, powers in used.items() if powers} == {
        "public_power": {"powmod"}, "secret_power": {"powmod_sec"}, "blinding": {"powmod_sec"},
        "secret_powers": {"powmod_sec"},
    }  # fmt: skip


MODULUS = int(small().public.n)


@pytest.mark.parametrize("exponent", [1, 3, 65_537, MODULUS >> 7])
def test_secret_powers_are_powers(exponent: int) -> None:
    rng = seeded("row 30")
    draw = blinding(exponent, MODULUS, rng)
    bases = [gmpy2.mpz(base) for base in (2, 3, MODULUS - 2)]
    wanted = [pow(int(base), exponent, MODULUS) for base in bases]
    assert [secret_power(base, exponent, MODULUS) for base in bases] == wanted
    assert secret_powers(bases, exponent, MODULUS, draw) == wanted


def test_the_constant_time_routine_is_the_one_that_runs() -> None:
    """It takes odd moduli and positive exponents only; the fast one takes others, and would answer."""
    for base, exponent, modulus in ((3, 5, 16), (3, 0, 15), (3, -1, 7)):
        with pytest.raises(ValueError, match=r"odd|positive|even"):
            secret_power(base, exponent, modulus)


def test_a_base_is_blinded_anew() -> None:
    """The second function's exponent lives longer than one use: what is raised is never what was given."""
    drawn = []
    inner = blinding(65_537, MODULUS, seeded("blinding"))

    def draw() -> tuple[gmpy2.mpz, gmpy2.mpz]:
        drawn.append(inner())
        return drawn[-1]

    base = gmpy2.mpz(5)
    for _ in range(2):
        assert secret_powers([base], 65_537, MODULUS, draw) == [pow(5, 65_537, MODULUS)]
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]
    assert all(unit != 1 for unit, _ in drawn)
