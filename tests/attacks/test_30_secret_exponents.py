"""Row 30: the time of a power tells its exponent. Every secret one goes through two functions of one file."""

import ast
import ctypes
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import gmpy2
import pytest

from secagg.crypto.paillier.libcrypto import LIBRARY, Library
from secagg.crypto.paillier.powers import blinding, constant_time, secret_power, secret_powers
from support.paillier_keys import seeded, small

ROOT = Path(__file__).resolve().parents[2]
HOME = "secagg/crypto/paillier/powers.py"
LIBCRYPTO = "secagg/crypto/paillier/libcrypto.py"
SOURCES = sorted(path for room in ("secagg", "node", "aggregator", "keyserver") for path in (ROOT / room).rglob("*.py"))
POWERS = {"powmod", "powmod_sec", "powmod_exp_list", "powmod_base_list", "powmod_exp"}
SECRET = {"exponent", "nonce", "order", "orders", "_orders", "beta", "secret", "share", "primes", "private"}
"""What a secret number is called in the rooms that hold one."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def words(tree: ast.AST) -> set[str]:
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return found | {alias.name for node in imports for alias in node.names}


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


def test_openssl_is_called_for_constant_time_powers_only() -> None:
    """Its other powers take shorter ways for some exponents."""
    named = {(name_of(path), word) for path in SOURCES for word in re.findall(r"\bBN_\w*exp\w*", path.read_text())}
    assert named == {(LIBCRYPTO, "BN_mod_exp_mont_consttime")}


def test_nobody_takes_a_modular_power_with_pow() -> None:
    found = {name_of(path) for path in SOURCES for call in calls(parsed(path), "pow") if len(call.args) > 2}
    # Shamir's coordinates are public, and so are their inverses.
    assert found == {"secagg/crypto/shamir.py"}


def test_a_public_power_is_never_given_a_secret() -> None:
    for path in SOURCES:
        for call in calls(parsed(path), "public_power", "long_power"):
            told = words(call.args[1]) if len(call.args) > 1 else set()
            assert told.isdisjoint(SECRET), (name_of(path), call.lineno)


def test_the_secret_functions_take_constant_time_powers() -> None:
    used = {
        function.name: words(function) & {*POWERS, "constant_time"}
        for function in parsed(ROOT / HOME).body
        if isinstance(function, ast.FunctionDef)
    }
    assert {name: powers for name, powers in used.items() if powers} == {
        "public_power": {"powmod"}, "constant_time": {"powmod_sec"}, "secret_power": {"constant_time"},
        "secret_powers": {"constant_time"}, "products": {"powmod_base_list"},
    }  # fmt: skip


def test_products_are_reduced_as_first_powers() -> None:
    (call,) = calls(parsed(ROOT / HOME), "powmod_base_list")
    assert ast.literal_eval(call.args[1]) == 1


MODULUS = int(small().public.n)


@pytest.mark.parametrize("exponent", [1, 3, 65_537, MODULUS >> 7])
def test_secret_powers_are_powers(exponent: int) -> None:
    rng = seeded("row 30")
    draw = blinding(exponent, MODULUS, rng)
    bases = [gmpy2.mpz(base) for base in (2, 3, MODULUS - 2)]
    wanted = [pow(int(base), exponent, MODULUS) for base in bases]
    assert [secret_power(base, exponent, MODULUS) for base in bases] == wanted
    assert secret_powers(bases, exponent, MODULUS, draw) == wanted


@pytest.mark.parametrize("library", [LIBRARY, None], ids=["openssl", "gmp"])
@pytest.mark.parametrize("bits", [8, 64, 65, 1000, 2048, 3072, 4096])
def test_both_constant_time_routines_give_the_power(bits: int, library: Library | None) -> None:
    modulus = gmpy2.mpz.from_bytes(seeded(f"odd {bits}")(bits), "big") % (1 << bits) | 1 << (bits - 1) | 1
    bases = [gmpy2.mpz(base) for base in (0, 1, 2, modulus - 1, modulus // 3)]
    for exponent in (1, 2, modulus >> 1, modulus + 2):
        with constant_time(exponent, modulus, library) as raised:
            assert [raised(base) for base in bases] == [pow(int(base), int(exponent), int(modulus)) for base in bases]


def test_openssl_runs_exactly_where_the_interpreter_has_it_in_reach() -> None:
    """Powers neither fall back to GMP in silence nor come from a library without the routine."""
    spec = find_spec("_ssl")
    within = ctypes.CDLL(spec.origin if spec and spec.has_location else None)
    assert (LIBRARY is not None) is hasattr(within, "BN_mod_exp_mont_consttime")


@pytest.mark.parametrize("library", [LIBRARY, None], ids=["openssl", "gmp"])
def test_the_constant_time_routine_is_the_one_that_runs(library: Library | None) -> None:
    """It takes odd moduli and positive exponents only; the fast one takes others, and would answer."""
    for base, exponent, modulus in ((3, 5, 16), (3, 0, 15), (3, -1, 7)):
        with pytest.raises(ValueError, match=r"odd|positive|even"), constant_time(exponent, modulus, library):
            pass
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
