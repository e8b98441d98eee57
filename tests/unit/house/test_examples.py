"""The examples in the docstrings of the modules that a reader meets first: each runs and gives what it shows."""

import doctest
from importlib import import_module

import pytest

MODULES = (
    "node.task",
    "secagg.learning.algorithm",
    "secagg.log.log",
    "secagg.rehearsal.run",
    "secagg.vector.codec",
    "secagg.vector.quantize",
    "secagg.wire.codec",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_example_gives_what_it_shows(name: str) -> None:
    done = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert done.attempted >= 2
    assert done.failed == 0
