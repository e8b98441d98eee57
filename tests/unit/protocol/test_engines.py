"""Every engine of the table is found by name, and another one is refused with those there are."""

import subprocess
import sys

import pytest

from secagg.errors import BadInput, Refused
from secagg.protocol.engine import Engine
from secagg.protocol.engines import ENGINES, ENTRUSTED, load, opener_of


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_every_side(engine: str) -> None:
    """That each has what is asked of it, in this form, is the type checker's to say."""
    found = load(engine)
    assert isinstance(found, Engine)
    assert found.sums.UPLOAD
    assert found.sums.OPENING


def test_engines_with_trustees_are_engines() -> None:
    assert set(ENGINES) >= ENTRUSTED == {"paillier"}


def test_another_engine_is_named_in_the_refusal() -> None:
    with pytest.raises(BadInput, match=r"no engine plain.*masks, paillier"):
        load("plain")


def test_what_an_engine_needs_and_is_not_installed_is_named() -> None:
    """Also to whoever meets the name in a message: nothing that a peer sends ends a process."""
    program = """
import sys
sys.modules["gmpy2"] = None
from secagg.errors import BadConfiguration
from secagg.protocol.engines import load
try:
    load("paillier")
except BadConfiguration as error:
    print(error.cause, error.remedy)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "gmpy2 is not installed. pip install 'secagg[paillier]'\n"


@pytest.mark.parametrize("name", ["masks", "lattice", ""])
def test_trustees_have_a_side_of_engines_with_trustees_only(name: str) -> None:
    assert opener_of("paillier") is load("paillier").opener
    with pytest.raises(Refused) as caught:
        opener_of(name)
    assert caught.value.rule == "trustee.engine"


def test_members_check_leaves_of_sums_that_they_open_themselves() -> None:
    assert [name for name in ENGINES if load(name).spots is None] == ["paillier"]
