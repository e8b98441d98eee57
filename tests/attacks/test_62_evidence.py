"""Row 62: a member announces evidence of a lie again and again, each time another, and never ends sending any of it.

None of it is ever whole, so that none is judged and its member is not named; what arrived of it must not stay.
"""

from pathlib import Path

from secagg.crypto.derive import sha256
from secagg.protocol.session import PIECE, Fetch, PieceHeader
from secagg.roster.messages import LIE, LieNotice
from secagg.transport.link import KEYSERVER
from secagg.transport.memory import MemoryLink
from secagg.wire.codec import decode, encode
from support.arriving import drain
from support.served import Served


async def begin(member: MemoryLink, ward: Served, number: int) -> None:
    """Announce evidence of three pieces and hand out two."""
    digest = sha256(b"evidence %d" % number)
    notice = LieNotice(ward.federation.aggregator.public, digest, 3 * PIECE)
    await member.send(KEYSERVER, LIE, b"", encode(notice), id=digest[:16])
    for _ in range(4):
        await ward.settle()
        for message in await drain(member):
            asked = decode(Fetch, message.body) if message.kind == "fetch" else None
            if asked and asked.digest == digest and asked.index < 2:
                header = encode(PieceHeader(digest, asked.index, 3 * PIECE))
                await member.send(KEYSERVER, "piece", header, bytes(PIECE))


def test_evidence_that_never_ends_leaves_no_more_than_one_of_it(tmp_path: Path) -> None:
    ward, sizes = Served(4, tmp_path), list[int]()

    async def main(_: object) -> None:
        await ward.start_nodes()
        await ward.nodes["node-03"].kill()
        member = ward.network.link("node-03")
        for number in range(4):
            await begin(member, ward, number)
            sizes.append(sum(path.stat().st_size for path in (ward.rosters / "arriving").rglob("fetch-*")))
        await ward.stop_nodes()

    ward.play(main)
    assert sizes[0] > 2 * PIECE
    assert max(sizes) < 3 * PIECE
