"""Every engine of the table has what shells and auditors ask for, under the same names."""

import pytest

from secagg.errors import BadInput
from secagg.protocol.engines import ENGINES, ENTRUSTED, load

ASKED = {
    "aggregator": ("start", "advance", "step_of", "waiting_for"),
    "node": ("start", "advance", "Step"),
    "shell": (
        "PHASE", "UPLOAD", "OPENING", "start", "advance", "step_of", "waiting_for", "waits", "proposes", "uploads",
        "judges", "works", "frozen", "uploaded", "check_header", "claimed_size", "failed", "upload_bytes", "verify",
        "words", "accumulate", "open_sum", "list_of",
    ),
    "member": ("PHASE", "FIRST", "start", "advance", "joined", "moduli", "trains", "ready", "protect"),
    "verify": ("recompute_frozen", "check_agreements", "witnesses", "quorum", "least", "check_holders", "check_fault"),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("part", ASKED)
def test_an_engine_has_every_part(engine: str, part: str) -> None:
    module = load(engine, part)
    assert [name for name in ASKED[part] if not hasattr(module, name)] == []
    assert module.__doc__


def test_engines_with_trustees_are_engines() -> None:
    assert set(ENGINES) >= ENTRUSTED == {"paillier"}


def test_another_engine_is_named_in_the_refusal() -> None:
    with pytest.raises(BadInput, match=r"no engine plain.*masks, paillier"):
        load("plain", "node")
