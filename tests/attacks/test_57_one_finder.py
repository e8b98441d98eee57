"""Row 57: one honest finder of a lie stops every honest node, by way of the key server; forged evidence nobody."""

import dataclasses
from pathlib import Path

from keyserver.lies import STRIKES
from secagg.crypto.derive import sha256
from secagg.demo.cheat import CheatingService
from secagg.log.statements import LieReported, sign_statement
from secagg.protocol.round.lie import check_lie
from secagg.protocol.session import PIECE, Fetch, PieceHeader
from secagg.roster.messages import LIE, LieNotice, LiePush
from secagg.transport.link import KEYSERVER, Received
from secagg.transport.memory import MemoryLink
from secagg.wire.codec import decode, encode
from support.arriving import drain
from support.federation import make
from support.lies import FEDERATION, Lying, evidence_of
from support.nodes import Ward
from support.served import Served

FINDER = "node-02"


def test_one_finder_stops_every_honest_node_within_the_round(tmp_path: Path) -> None:
    ward = Served(4, tmp_path, CheatingService)
    for name, node in ward.nodes.items():
        # The coin of the others says no: they have their verdict at once, and go on.
        node.spot_leaves = 4 if name == FINDER else 0

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=9)
        await ward.wait(40)
        await ward.stop_nodes()

    ward.play(main)
    (first,) = ward.nodes[FINDER].named("lie")
    for node in ward.nodes.values():
        (told,) = node.named("lie")
        assert (told["round"], told["rule"]) == (1, "spot.sum")
        assert "is not the sum of the uploads" in told["cause"]
        assert "spot.sum" in {event["rule"] for event in node.named("refuse")}
        assert check_lie(Path(told["path"]).read_bytes(), ward.federation.aggregator.public).round.round == 1
    # The round in which it was found is the last that anybody is in.
    assert max(event["round"] for node in ward.nodes.values() for event in node.named("accept")) == 2
    assert ward.named("job_failed")
    (stated,) = [one for one in ward.stated() if isinstance(one, LieReported)]
    assert (stated.member, stated.aggregator_key) == (FINDER, ward.federation.aggregator.public.hex())
    assert (ward.rosters / stated.evidence).read_bytes() == Path(first["path"]).read_bytes()
    assert list((ward.rosters / "arriving").glob("*[0-9a-f]")) == []


async def bring(
    member: MemoryLink, ward: Served, data: bytes, key: bytes, length: int | None = None, announced: bytes = b""
) -> list[Received]:
    """Bring something as evidence, hand out its pieces, and return what else the key server said."""
    notice = LieNotice(key, sha256(announced or data), len(data) if length is None else length)
    await member.send(KEYSERVER, LIE, b"", encode(notice), id=sha256(encode(notice))[:16])
    said = []
    for _ in range(4):
        await ward.settle()
        for message in await drain(member):
            if message.kind == "fetch":
                asked = decode(Fetch, message.body)
                piece = data[asked.index * PIECE : (asked.index + 1) * PIECE]
                await member.send(KEYSERVER, "piece", encode(PieceHeader(asked.digest, asked.index, len(data))), piece)
            else:
                said.append(message)
    return said


def test_forged_evidence_changes_nothing_and_costs_its_sender(tmp_path: Path) -> None:
    ward = Served(4, tmp_path)

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=1)
        await ward.wait(4)
        await ward.nodes["node-03"].kill()
        member, key = ward.network.link("node-03"), ward.federation.aggregator.public
        for number in range(STRIKES):
            await bring(member, ward, b"no evidence %d" % number, key)
        assert [event["strikes"] for event in ward.told("false_evidence")] == [1, 2, 3]
        # Also an honest one would not be heard now: it is for the others to bring, who can.
        await bring(member, ward, b"once more", key)
        assert len(ward.told("false_evidence")) == 3
        assert "node-03 brought 3 pieces of evidence that proved nothing." in ward.refused()[-1]
        await ward.nodes["node-02"].kill()
        other = ward.network.link("node-02")
        await bring(other, ward, b"about a stranger's key", bytes(32))
        await bring(other, ward, b"too long", key, 2**40)
        await bring(other, ward, b"delivered", key, announced=b"announced")
        assert [event["member"] for event in ward.told("false_evidence")][3:] == ["node-02"] * 3
        assert "What was fetched is not what was asked for." in ward.told("false_evidence")[-1]["cause"]
        await ward.stop_nodes()

    ward.play(main)
    assert not any(isinstance(one, LieReported) for one in ward.stated())
    assert ward.named("job_done")
    assert not any(node.named("lie") for node in ward.nodes.values())


def test_who_brings_nothing_holds_up_nobody_who_does(tmp_path: Path) -> None:
    """A member that announces evidence and never sends it: the other's is fetched all the same."""
    ward = Served(4, tmp_path, CheatingService)
    for node in ward.nodes.values():
        node.spot_leaves = 0

    async def main(_: object) -> None:
        await ward.start_nodes()
        await ward.nodes["node-00"].kill()
        idle = ward.network.link("node-00")
        notice = LieNotice(ward.federation.aggregator.public, bytes(32), 2**20)
        await idle.send(KEYSERVER, LIE, b"", encode(notice), id=bytes(16))
        await ward.settle()
        await ward.nodes[FINDER].kill()
        ward.nodes[FINDER].spot_leaves = 4
        ward.revive(FINDER)
        ward.revive("node-00")
        await ward.wait(4)
        ward.submit(rounds=1)
        await ward.wait(20)
        await ward.stop_nodes()

    ward.play(main)
    (stated,) = [one for one in ward.stated() if isinstance(one, LieReported)]
    assert stated.member == FINDER
    assert all(node.named("lie") for node in ward.nodes.values())


async def push(ward: Ward, to: str, data: bytes) -> int:
    """Push evidence to a node in the key server's place, and hand it out; return how many pieces it fetched."""
    stated = LieReported(
        federation="fed", time=1, member="node-00", evidence=sha256(data).hex(),
        aggregator_key=ward.federation.aggregator.public.hex(),
    )  # fmt: skip
    leaf = sign_statement(stated, KEYSERVER, ward.federation.online)
    await ward.keyserver.send(to, LIE, b"", encode(LiePush(leaf, len(data))), id=bytes(15) + b"1")
    fetched = 0
    for _ in range(6):
        await ward.settle()
        for message in ward.starts.other:
            asked, fetched = decode(Fetch, message.body), fetched + 1
            header = encode(PieceHeader(asked.digest, asked.index, len(data)))
            await ward.keyserver.send(to, "piece", header, data[asked.index * PIECE : (asked.index + 1) * PIECE])
        ward.starts.other.clear()
    return fetched


def test_a_node_judges_what_the_key_server_pushes(tmp_path: Path) -> None:
    """Whoever holds the key server's place stops nobody without evidence."""
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)

    async def main(_: object) -> None:
        await ward.start_nodes()
        assert await push(ward, "node-01", b"not a lie" * 100_000) == 2
        ward.submit(rounds=1)
        await ward.wait(8)
        await ward.stop_nodes()

    ward.play(main)
    assert ward.named("job_done")
    (event,) = ward.nodes["node-01"].named("false_evidence")
    assert "The evidence proves nothing" in event["cause"]
    assert not any(node.named("lie") or node.named("refuse") for node in ward.nodes.values())


def test_a_node_leaves_the_round_that_it_is_in(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    data = encode(evidence_of(Lying, dataclasses.replace(ward.federation, spec=FEDERATION.spec))[0])

    async def main(_: object) -> None:
        await ward.start_nodes()
        # The others wait for an upload that never comes.
        ward.kills = {"node-00": "MaskedInput"}
        ward.submit(rounds=1)
        await ward.settle()
        assert {ward.nodes[name].status()["phase"] for name in ("node-01", "node-02")} == {"Uploaded"}
        await push(ward, "node-01", data)
        assert ward.nodes["node-01"].status()["phase"] is None
        assert ward.nodes["node-02"].status()["phase"] == "Uploaded"
        await ward.stop_nodes()

    ward.play(main)
    (event,) = ward.nodes["node-01"].named("refuse")
    assert (event["rule"], event["round"]) == ("spot.sum", 1)
