"""Reports of step 2: who may be reported, when they end an attempt, and that nodes and aggregator say the same."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from secagg.errors import Refused
from secagg.protocol.binding import UNKNOWN
from secagg.protocol.masks import reports
from secagg.protocol.masks.messages import Freeze, MaskedInput
from secagg.protocol.masks.phases import Uploaded
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, stop_before
from support.dealings import company

TEN = company(10)
NEAR = dict.fromkeys(TEN.names, TEN.names)
"""n = 10, c = 3, t = 7."""


def headers(told: Mapping[str, tuple[str, ...]] | None = None, count: int = 10) -> dict[str, MaskedInput]:
    told = told or {}
    zero = bytes(32)
    return {name: MaskedInput(zero, 0, zero, told.get(name, ()), UNKNOWN) for name in TEN.names[:count]}


def test_no_reports_end_nothing() -> None:
    found = reports.judge(headers(), NEAR, TEN.manifest)
    assert (found.end, found.pairs()) == (False, ())


def test_c_reporters_end_nothing_and_one_more_accuses() -> None:
    three = {name: ("node-09",) for name in ("node-00", "node-01", "node-02")}
    judged = reports.judge(headers(three), NEAR, TEN.manifest)
    assert (judged.end, judged.pairs()[-1]) == (False, ("node-09", "node-02"))
    judged = reports.judge(headers({**three, "node-03": ("node-09",)}), NEAR, TEN.manifest)
    assert (judged.accused, judged.short) == (("node-09",), ("node-09",))


def test_a_dealer_with_too_few_unreported_holders_in_u3_ends_it_unaccused() -> None:
    """Eight are left, and two of them report: six hold shares where seven are needed."""
    judged = reports.judge(headers({"node-00": ("node-09",), "node-01": ("node-09",)}, 8), NEAR, TEN.manifest)
    assert (judged.accused, judged.short, judged.end) == ((), ("node-09",), True)
    judged = reports.judge(headers({"node-00": ("node-09",)}, 8), NEAR, TEN.manifest)
    assert not judged.end


@pytest.mark.parametrize(
    "reported",
    [("stranger",), ("node-00",), ("node-05", "node-04"), ("node-04", "node-04")],
    ids=["a stranger", "itself", "out of order", "twice"],
)
def test_a_header_reports_others_that_dealt_to_it_once_each(reported: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as caught:
        reports.judge(headers({"node-00": reported}), NEAR, TEN.manifest)
    assert caught.value.rule == "u3.reports"


def test_nobody_reports_a_dealer_that_is_no_neighbour() -> None:
    near = {**NEAR, "node-09": TEN.names[1:]}
    with pytest.raises(Refused) as caught:
        reports.judge(headers({"node-00": ("node-09",)}), near, TEN.manifest)
    assert caught.value.rule == "u3.reports"


# A node --------------------------------------------------------------------------------------------------------------


def frozen(scene: Scene, told: dict[str, tuple[str, ...]]) -> str:
    """Show the victim a U3 whose headers report these dealers; return the rule by which it refuses."""
    honest, entries = scene.body(Freeze), []
    for entry in decode(tuple[Signed, ...], scene.body(Freeze).u3, LIMIT_BULK):
        body = encode(replace(decode(MaskedInput, entry.body), reported=told.get(entry.sender, ())))
        key = scene.federation.members[entry.sender]
        lied = sign(key, "MaskedInput", scene.scope, entry.sender, "*", body)
        entries.append(lied if entry.sender in told else entry)
    with pytest.raises(Refused) as caught:
        scene.show(replace(honest, u3=encode(tuple(entries))))
    return caught.value.rule


def test_a_node_refuses_a_u3_that_reports_make_unusable() -> None:
    scene = stop_before("Freeze")
    assert isinstance(scene.party.phase, Uploaded)
    assert frozen(scene, {"node-01": ("node-03",), "node-02": ("node-03",)}) == "u3.reported"
    assert frozen(scene, {"node-01": ("node-00", "node-01")}) == "u3.reports"
    left = stop_before("Freeze", drops={"node-03": "MaskedInput"})
    assert frozen(left, {"node-01": ("node-00",)}) == "u3.holders"
