"""Row 13: a job, a round or a result that belongs elsewhere: another job under a known name, a round of no job."""

import json
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from secagg.ids import EVERYBODY, RoundId
from secagg.protocol.manifest import JobSpec
from secagg.protocol.session import Announce, ResultNotice, RoundHeader, job_scope
from secagg.rehearsal.federation import AGGREGATOR, propose
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.signed import sign
from support.adversary import proposal_of
from support.federation import make
from support.nodes import Ward

VICTIM = "node-02"


def another_job(ward: Ward, honest: Announce) -> Announce:
    """Return a longer job under the same name, signed by the aggregator."""
    spec = replace(decode(JobSpec, honest.spec.body), rounds=99)
    signed = sign(ward.federation.aggregator, "JobSpec", job_scope(spec), AGGREGATOR, EVERYBODY, encode(spec))
    return replace(honest, spec=signed)


def test_what_belongs_to_another_job_is_refused_and_the_job_goes_on(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    announced: list[Announce] = []
    bent = [True]

    def fate(to: str, message: Received) -> Sequence[Received]:
        if to == VICTIM and message.kind == "announce":
            announced.append(decode(Announce, message.body))
        if to == VICTIM and message.kind == "result" and bent:
            bent.clear()
            lie = replace(decode(ResultNotice, message.body), length=2**40)
            return (Received(message.sender, "result", b"3" * 16, b"", encode(lie)), message)
        return ward._count(to, message)

    async def script(_: object) -> None:
        ward.network._fate = fate
        await ward.start_nodes()
        ward.submit()
        await ward.settle()
        lie = encode(another_job(ward, announced[0]))
        ward.network.deliver(VICTIM, Received(AGGREGATOR, "announce", b"1" * 16, b"", lie))
        elsewhere = RoundId("fed", "never-announced", 1)
        proposal = encode(proposal_of(ward.federation, replace(propose(ward.federation), round=elsewhere)))
        header = encode(RoundHeader(elsewhere, "Propose"))
        ward.network.deliver(VICTIM, Received(AGGREGATOR, "round", b"2" * 16, header, proposal))
        await ward.wait(8)
        assert ward.nodes[VICTIM].status()["rounds"] == 1
        await ward.stop_nodes()

    ward.play(script)
    lines = [json.loads(line) for line in ward.nodes[VICTIM].log.getvalue().splitlines()]
    refused = [line["cause"] for line in lines if line["level"] == "warning"]
    assert refused == [
        "Another job is announced as job.",
        "A round of job never-announced, which was not announced.",
    ]
    disbelieved = {event["cause"] for event in ward.nodes[VICTIM].named("disbelieve")}
    assert disbelieved == {f"A result of {2**40} bytes does not fit the job."}
    assert ward.named("round_closed")[0]["contributors"] == list(ward.nodes)
    assert ward.nodes[VICTIM].named("result")
