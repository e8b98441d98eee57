"""Row 49 at trustees: the same round proposed again as another group's, after it was opened and before.

Their difference would be one member's update. Real trustee services take part in group 0 alone, and in a round once.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.protocol.round.phases import Closed
from secagg.rehearsal.entrusted import propose
from support.chambers import Chamber
from support.entrusted import make


@pytest.mark.parametrize("first", [True, False])
def test_another_group_of_a_round_is_opened_by_no_trustee(tmp_path: Path, first: bool) -> None:
    entrusted = make(4)
    chamber = Chamber(entrusted, tmp_path)

    async def script(room: Chamber) -> None:
        if first:
            await room.begin()
            assert isinstance(room.table.phase, Closed)
        room.answers.clear()
        manifest = propose(entrusted)
        room.table.manifest = replace(manifest, round=replace(manifest.round, group=1))
        room.table.parties = {}
        await room.begin()
        await room.wait(2)

    chamber.play(script)
    assert {kind for _, kind in chamber.answers} == {"Refuse"}
    for one in chamber.trustees.values():
        (refusal,) = one.named("refuse")
        assert refusal["rule"] == "manifest.group"
        assert len(one.ledger().opened()) == int(first)
