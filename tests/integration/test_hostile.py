"""The broker under a small hostile load (`make hostile` is the large one): legitimate messages pass, limits hold.

Real processes; how much slower it gets is measured by the large run, because a test machine is busy with other tests.
"""

import pytest

from support import hostile

pytestmark = [pytest.mark.processes, pytest.mark.long]


def test_legitimate_members_reach_each_other_under_attack() -> None:
    found = hostile.run(strangers=150, enrolled=30, pings=150)
    assert (found.lost, len(found.calm), len(found.loaded)) == (0, 150, 150)
    assert found.memory < hostile.LIMIT_MIB
    # Every kind of attack reached the broker and was counted.
    assert found.descriptors > 150
    for reason in ("dropped.unknown", "dropped.frames", "dropped.ignored", "dropped.revoked", "control.disconnected"):
        assert found.counts[reason] > 0, reason
    assert 0 <= found.newcomer <= hostile.SOON
    assert 0 <= found.revoked <= hostile.LATEST
    assert found.restarted > 0
