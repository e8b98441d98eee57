"""Row 57: a member states that it goes on without the check of a round that was over before it was enrolled.

A person's word may come at any time, also about an old round. Judged under the member list of that round, it would make
every audit of an honest log fail.
"""

from pathlib import Path

from msgspec.structs import replace

from node.spot import STATE
from secagg.auditor.export import export
from secagg.auditor.verify import verify
from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.log.statements import UncheckedAccepted, sign_statement
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.roster.messages import RosterPush
from secagg.wire.codec import encode
from support.aggregating import Hall
from support.bundles import next_roster
from support.exporting import hall_of, keyserver_state, one_sum

ANEW = "node-03"
KEY = SigningKey.from_private_bytes(bytes(range(32)))


def test_a_word_about_a_round_of_another_member_list_spoils_no_audit(tmp_path: Path) -> None:
    keyserver, aggregator, bundle = tmp_path / "keyserver", tmp_path / "aggregator", tmp_path / "bundle"
    keyserver.mkdir()
    federation = keyserver_state(keyserver)

    async def enrol_anew(stage: Hall) -> None:
        signed, statement = next_roster(
            federation, lambda member: replace(member, sign_key=KEY.public) if member.name == ANEW else member
        )
        (keyserver / "rosters" / sha256(signed).hex()).write_bytes(signed)
        directory = federation.directory
        index = directory.append(sign_statement(statement, "keyserver", federation.online))
        directory.publish()
        body = RosterPush(signed, directory.leaf(index), encode(directory.prove(index, index)))
        await stage.keyserver.send(AGGREGATOR, "roster", b"", encode(body), id=b"2" * 16)
        await stage.settle()

    async def script(stage: Hall) -> None:
        await one_sum(stage)
        await enrol_anew(stage)
        link, size = stage.members.pop(ANEW).link, stage.rounds_log.size
        said = UncheckedAccepted(
            federation="fed", time=START_OF_TIME, job="job", round=1, attempt=1, group=0, member=ANEW
        )
        await link.send(AGGREGATOR, STATE, b"", sign_statement(said, ANEW, KEY))
        await stage.settle()
        assert stage.rounds_log.size == size + 1

    hall_of(federation, aggregator).play(script)
    export(bundle, keyserver, aggregator)
    report = verify(bundle)
    assert [line.detail for line in report.checks if line.status == "fail"] == []
    assert report.verdict == "PASS"
