"""What is tested in this folder is the real thing: nothing is remembered of what was signed, sealed or agreed."""

from collections.abc import Iterator

import pytest

from support.remembering import forgotten


@pytest.fixture(autouse=True)
def _real() -> Iterator[None]:
    with forgotten():
        yield
