"""Every engine of the table is found by name, and another one is refused with those there are."""

import pytest

from secagg.errors import BadInput
from secagg.protocol.engine import Engine
from secagg.protocol.engines import ENGINES, ENTRUSTED, load


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
