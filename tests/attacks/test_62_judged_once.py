"""Row 62: a member announces evidence of a lie again and again while the key server judges what it brought.

Judged for each announcement, a quarter of a gigabyte would keep the workers busy for hours. Meanwhile the key server
would publish nothing, and so revoke nobody.
"""

from collections import Counter
from pathlib import Path

from secagg.crypto.derive import sha256
from secagg.protocol.session import PieceHeader
from secagg.roster.messages import LIE, LieNotice
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import encode
from support.arriving import drain
from support.holding import Held, Read
from support.keyservers import Office

TIMES = 20


def test_evidence_is_judged_once_however_often_it_is_announced(tmp_path: Path) -> None:
    times, workers = Counter[bytes](), Held()
    data = bytes(1000)

    async def script(office: Office) -> None:
        accused = (await office.enrol("operator", role="aggregator")).member.sign_key
        link = office.network.link((await office.enrol("charite")).member.name)
        blobs = office.service._lies._arriving()[0]
        blobs.__class__ = Read
        blobs.times, blobs.workers = times, workers  # type: ignore[attr-defined]
        office.daemon._executor = workers
        notice = encode(LieNotice(accused, sha256(data), len(data)))
        await link.send(KEYSERVER, LIE, b"", notice)
        assert "fetch" in {message.kind for message in await drain(link)}
        workers.holds = True
        await link.send(KEYSERVER, "piece", encode(PieceHeader(sha256(data), 0, len(data))), data)
        for _ in range(TIMES):
            await link.send(KEYSERVER, LIE, b"", notice)
        await drain(link)
        assert len(workers.waiting) > TIMES // 2
        workers.release()
        await drain(link)

    office = Office(tmp_path)
    office.play(script)
    assert times == {sha256(data): 1}
    assert any(line["event"] == "false_evidence" for line in office.logged())
