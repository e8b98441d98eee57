"""Row 62: a member starts again and again, and says each time that it was fenced.

Each start gets an epoch of its own, and a statement in the directory is for ever. So there are so many of one member.
"""

from pathlib import Path

from keyserver.boots import STATED
from secagg.crypto.sign import SigningKey
from secagg.daemon.enrolment import Newcomer
from secagg.log.statements import Fenced, parse_statement
from secagg.roster.boot import BOOT, BootRequest, sign_request
from secagg.transport.link import KEYSERVER
from support.arriving import drain
from support.keyservers import Office


def test_a_member_that_says_without_end_that_it_was_fenced_fills_no_directory(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        greedy, modest = await office.enrol("charite"), await office.enrol("cleveland")

        async def is_fenced(newcomer: Newcomer, times: int) -> int:
            name, key = newcomer.member.name, SigningKey.from_private_bytes(newcomer.ring.sign.reveal())
            link = office.network.link(name)
            for number in range(times):
                nonce = (number + 1).to_bytes(32, "big")
                for request in (
                    BootRequest("fed", name, number, number + 1, nonce, 0),
                    BootRequest("fed", name, number + 1, number + 1, nonce, 0, fenced=True),
                ):
                    await link.send(KEYSERVER, BOOT, b"", sign_request(request, key))
                    await drain(link)
            stated = [parse_statement(office.log.leaf(at))[0] for at in range(office.log.size)]
            return sum(isinstance(found, Fenced) and found.member == name for found in stated)

        assert [await is_fenced(greedy, STATED + 5), await is_fenced(modest, 2)] == [STATED, 2]

    Office(tmp_path).play(script)
