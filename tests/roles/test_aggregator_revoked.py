"""A member that is revoked while its round runs: the round ends all the same, and the next one is without it."""

from pathlib import Path

import pytest

from secagg.log.statements import sign_statement
from secagg.protocol.session import Present
from secagg.rehearsal.federation import AGGREGATOR
from secagg.roster.messages import RosterPush
from secagg.transport.link import Received
from secagg.wire.codec import encode
from support.aggregating import Hall
from support.bundles import next_roster
from support.federation import make

GONE = "node-03"


async def revoke(stage: Hall) -> None:
    """Let the key server push a roster without the member, whose link ends."""
    signed, statement = next_roster(stage.federation, lambda member: None if member.name == GONE else member)
    directory = stage.federation.directory
    index = directory.append(sign_statement(statement, "keyserver", stage.federation.online))
    directory.publish()
    body = RosterPush(signed, directory.leaf(index), encode(directory.prove(index, index)))
    await stage.keyserver.send(AGGREGATOR, "roster", b"", encode(body), id=b"2" * 16)
    await stage.settle()
    assert stage.named("roster")[-1]["version"] == 2
    stage.network.revoke(GONE)


@pytest.mark.parametrize("step", ["MaskedInput", "ConsistencyCheck", "Unmask"])
def test_a_round_whose_member_is_revoked_has_its_result(tmp_path: Path, step: str) -> None:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")
    stage.members[GONE].silent = step

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit(rounds=2)
        await stage.settle()
        await stage.gather()
        await revoke(stage)
        stage.members[GONE].away = True
        await stage.wait(8)

    stage.play(script)
    (closed,) = stage.named("round_closed")
    assert (GONE in closed["contributors"]) == (step != "MaskedInput")
    (failed,) = stage.named("job_failed")
    # What is kept until it is acknowledged would be kept for ever.
    assert GONE not in {message.to for message in stage.journal.pending()}
    assert failed["reason"] == f"{GONE} is no member of the federation any more, and job was submitted for it too."
    assert failed["rule"] == "job.left"
    assert failed["remedy"] == (
        "Submit it again for those who are left. To go on without for good: secagg node allow job-2 --overlap at every "
        "institution of that set, then secagg job submit FILE."
    )
    assert "Traceback" not in stage.log.getvalue()


def test_what_waits_for_a_member_that_is_revoked_is_let_go_of(tmp_path: Path) -> None:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        assert {message.kind for message in stage.journal.pending() if message.to == GONE} == {"result"}
        await revoke(stage)
        assert GONE not in {message.to for message in stage.journal.pending()}

    whole = stage.network._fate
    stage.network._fate = lambda to, said: () if to == GONE and said.kind == "result" else whole(to, said)
    stage.play(script)
    assert len(stage.named("job_done")) == 1


def test_nothing_that_a_revoked_member_says_is_heard(tmp_path: Path) -> None:
    stage = Hall(make(4, chunk_bytes=4096), tmp_path / "state")

    async def script(stage: Hall) -> None:
        await stage.push()
        await revoke(stage)
        stage.members[GONE].away = True
        # A broker that still passes it on changes nothing.
        stage.network.deliver(AGGREGATOR, Received(GONE, "present", b"", b"", encode(Present(0))))
        await stage.settle()
        status = stage.daemon.command({"command": "status"})
        assert isinstance(status, dict)
        assert GONE not in status["members"]

    stage.play(script)
