"""What an algorithm keeps between rounds, at a member that was away: it is computed from results, and handed out by
nobody. So whoever comes back goes through every round that it missed and stands where the others stand, bit for bit.
"""

from pathlib import Path

import pytest

from node import records
from secagg.ids import NO_DIGEST
from support.bound import closed, line, play, refused, submit
from support.federation import names_of
from support.living import Held, until, ward_of
from support.nodes import Ward

FOUR, THREE = names_of(4), names_of(3)
GONE = "node-03"
ROUNDS = 6


def keeps(ward: Ward, name: str) -> tuple[int, bytes, bytes, bytes]:
    """Return before which round a node stands, its model's digest, its state's, and the state itself."""
    node = ward.nodes[name]
    with node.journal.transaction() as kept:
        job = records.find_job(kept, "job")  # type: ignore[arg-type]
    assert job is not None
    path = node.place / "blobs" / job.state.hex()
    return job.next_round, job.model_digest, job.state_digest, path.read_bytes() if job.state != NO_DIGEST else b""


@pytest.mark.parametrize("killed_again", [False, True], ids=["away", "killed while it catches up"])
def test_who_was_away_for_some_rounds_computes_the_state_of_those_who_stayed(
    tmp_path: Path, killed_again: bool
) -> None:
    ward = ward_of(tmp_path, changing_sets=True, min_change=0.0)
    second, fifth = Held(ward, "job", 2), Held(ward, "job", 5)
    before: dict[str, tuple[int, bytes, bytes, bytes]] = {}

    async def script(ward: Ward) -> None:
        submit(ward, "job", "learn", model=line(), rounds=ROUNDS, algorithm={"name": "fedadam", "rate": 0.25})
        await second.reached()
        await ward.nodes[GONE].kill()
        second.go()
        await fifth.reached()
        before.update({name: keeps(ward, name) for name in FOUR})
        ward.revive(GONE)
        if killed_again:
            for _ in range(40):
                await ward.wait(0.1)
                if keeps(ward, GONE)[0] == 4:
                    break
            await ward.nodes[GONE].kill()
            ward.revive(GONE)
        fifth.go()
        await until(ward, ROUNDS, "job")
        await ward.wait(4)

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * 2 + [list(THREE)] * 3 + [list(FOUR)]
    assert not refused(ward, "job")
    # Nobody had heard of round 5; whoever is away stands after round 1, with the state of that round.
    assert [before[name][0] for name in FOUR] == [5, 5, 5, 2]
    assert before["node-00"] == before["node-01"] == before["node-02"]
    assert before[GONE][2] not in (before["node-00"][2], NO_DIGEST)
    after = {name: keeps(ward, name) for name in FOUR}
    assert after[GONE] == after["node-00"] == after["node-01"] == after["node-02"]
    number, _, digest, state = after[GONE]
    assert number == ROUNDS + 1
    assert state
    assert digest not in (NO_DIGEST, before[GONE][2], before["node-00"][2])
    assert [event["round"] for event in ward.nodes[GONE].named("result")] == list(range(1, ROUNDS + 1))
