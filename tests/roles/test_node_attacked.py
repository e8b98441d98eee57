"""Nodes against an aggregator or a broker that lies, and killed at a bad moment, with the real services."""

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as with_fields
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from msgspec.structs import replace

from node.config import OwnTask
from node.service import NodeService
from node.work import Work
from secagg.crypto.derive import sha256
from secagg.crypto.secret import Secret
from secagg.daemon.blobs import Blobs
from secagg.daemon.turn import Run, Turn
from secagg.daemon.vault import RoundKeys
from secagg.learning.layout import encode_model
from secagg.log.statements import RosterChanged, sign_statement
from secagg.protocol.masks.phases import Protected
from secagg.protocol.session import Announce, Fetch, PieceHeader, ResultNotice
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, propose
from secagg.roster.chain import SignedRoster, sign_roster
from secagg.roster.members import Roster
from secagg.roster.messages import RosterPush
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import decode, encode
from support.federation import counted_rng, make
from support.memory import MemoryInputs
from support.nodes import Ward

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"
Bend = Callable[[str, Received], Sequence[Received]]


def play(ward: Ward, script: Callable[[Ward], Awaitable[None]]) -> Ward:
    """Run a federation of real nodes while `script` makes things happen."""

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await script(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


def bent(ward: Ward, bend: Bend) -> None:
    """Let a broker that lies decide what becomes of every message."""

    def fate(to: str, message: Received) -> Sequence[Received]:
        return [copy for bent in bend(to, message) for copy in ward._count(to, bent)]

    ward.network._fate = fate


def line(slope: float) -> bytes:
    return encode_model({"weight": np.full((1, 1), slope, np.float32), "bias": np.zeros(1, np.float32)})


def train(ward: Ward, options: dict[str, object] | None = None, **fields: object) -> None:
    """Submit a training job for a line; every node has two points."""
    for node in ward.nodes.values():
        node.data.write_text("1 3\n2 5\n")
        node.tasks["task"] = OwnTask("task", f"{TORCH}:Line", node.data, options or {})
    model = ward.state / "line.safetensors"
    model.write_bytes(line(0.0))
    ward.submit(model, purpose="training", length=0, **fields)


def test_a_first_model_that_the_signed_job_does_not_pin_is_refused_and_the_right_one_is_taken(tmp_path: Path) -> None:
    """Attack row 1: only the digest in the signed job counts, whatever file the announcement names."""
    ward, other = Ward(make(4, chunk_bytes=4096), tmp_path), line(1.0)
    lies = [True]

    def bend(to: str, message: Received) -> Sequence[Received]:
        if lies and to == "node-02" and message.kind == "announce":
            announce = decode(Announce, message.body)
            swapped = Announce(announce.spec, announce.leaf, announce.proof, sha256(other))
            return [Received(message.sender, "announce", message.id, b"", encode(swapped))]
        if message.sender == "node-02" and message.kind == "fetch":
            asked = decode(Fetch, message.body)
            if asked.digest == sha256(other):
                header = encode(PieceHeader(asked.digest, 0, len(other)))
                ward.network.deliver("node-02", Received(AGGREGATOR, "piece", b"", header, other))
                return []
        return [message]

    bent(ward, bend)
    for site in ward.nodes.values():
        site.policy = with_fields(site.policy, changing_sets=True)

    async def script(ward: Ward) -> None:
        train(ward, rounds=3)
        while not ward.named("round_closed"):
            await ward.wait(0.5)
        lies.clear()
        await ward.wait(20)

    play(ward, script)
    node = ward.nodes["node-02"]
    assert "is not the one that the signed job pins" in str(node.named("fault")[0]["cause"])
    closed = ward.named("round_closed")
    assert closed[0]["contributors"] == ["node-00", "node-01", "node-03"]
    assert closed[2]["contributors"] == list(ward.nodes)
    assert node.named("result")[-1]["digest"] == ward.named("model")[-1]["digest"]
    assert not (node.place / "blobs" / sha256(other).hex()).exists()


def test_a_result_that_was_bent_is_not_believed_stops_no_restart_and_heals(tmp_path: Path) -> None:
    """Neither salt nor place of a result are signed: bent ones cost time, and never the node."""
    ward, lies = Ward(make(4, chunk_bytes=4096), tmp_path), [True]

    def bend(to: str, message: Received) -> Sequence[Received]:
        if lies and to == "node-02" and message.kind == "result":
            bent = replace(decode(ResultNotice, message.body), salt=bytes(32))
            return [Received(message.sender, "result", message.id, b"", encode(bent))]
        return [message]

    bent(ward, bend)

    async def script(ward: Ward) -> None:
        ward.submit()
        await ward.wait(6)
        node = ward.nodes["node-02"]
        await node.kill()
        ward.revive("node-02")
        await ward.wait(2)
        assert not node.serving.done()
        assert node.named("result") == []
        lies.clear()
        await ward.wait(6)

    play(ward, script)
    node = ward.nodes["node-02"]
    assert "is not the one whose digest is logged" in str(node.named("disbelieve")[0]["cause"])
    assert [event["round"] for event in node.named("result")] == [1]


def test_a_result_whose_length_was_bent_is_fetched_once_it_was_told_again(tmp_path: Path) -> None:
    """What is being fetched already may turn out to be longer than it was said to be: the length is not signed."""
    ward, bends = Ward(make(4, chunk_bytes=4096), tmp_path), iter([1])

    def bend(to: str, message: Received) -> Sequence[Received]:
        if to == "node-02" and message.kind == "result" and (length := next(bends, None)):
            bent = replace(decode(ResultNotice, message.body), length=length)
            return [Received(message.sender, "result", message.id, b"", encode(bent))]
        return [message]

    bent(ward, bend)

    async def script(ward: Ward) -> None:
        ward.submit()
        await ward.wait(12)

    play(ward, script)
    node = ward.nodes["node-02"]
    assert next(bends, None) is None
    assert [event["round"] for event in node.named("result")] == [1]


def test_a_job_that_is_announced_while_a_result_is_on_its_way_does_not_take_its_place(tmp_path: Path) -> None:
    ward, late = Ward(make(4, chunk_bytes=4096), tmp_path), [True]
    for node in ward.nodes.values():
        own = node.tasks["task"]
        node.tasks["other"] = type(own)("other", own.spec, own.data, own.options, "2")

    def bend(to: str, message: Received) -> Sequence[Received]:
        return [] if late and (to, message.kind) == ("node-02", "piece") else [message]

    bent(ward, bend)

    async def script(ward: Ward) -> None:
        ward.submit(name="first")
        ward.submit(name="second", task="other")
        while not ward.nodes["node-00"].named("announce")[1:]:
            await ward.wait(0.5)
        late.clear()
        await ward.wait(16)

    play(ward, script)
    results = [event["job"] for event in ward.nodes["node-02"].named("result")]
    assert results == ["first", "second"]


# The roster ----------------------------------------------------------------------------------------------------------


def push_after(ward: Ward, before: bytes = b"", **changes: object) -> bytes:
    """Return the push of the version of the roster after `before` (else after version 1), with these changes."""
    federation = ward.federation
    known = decode(RosterPush, before).roster if before else federation.roster
    signed = decode(SignedRoster, known)
    first = decode(Roster, signed.roster)
    second = replace(first, version=first.version + 1, previous=sha256(known), **changes)
    delegation = (signed.delegation, signed.delegation_signature)
    renewed = sign_roster(second, federation.root_key, delegation, federation.online)
    stated = sha256(renewed).hex()
    statement = RosterChanged(federation=first.federation, time=START_OF_TIME, version=second.version, roster=stated)
    index = federation.directory.append(sign_statement(statement, KEYSERVER, federation.online))
    federation.directory.publish()
    proof = federation.directory.prove(index, index)
    return encode(RosterPush(renewed, federation.directory.leaf(index), encode(proof)))


async def push(ward: Ward, body: bytes, *names: str) -> None:
    for name in names:
        await ward.keyserver.send(name, "roster", b"", body, id=sha256(body)[:16])
    await ward.settle()


def test_a_round_proposed_under_the_roster_that_was_just_renewed_goes_on(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        await push(ward, push_after(ward, expires=START_OF_TIME + 2 * 86_400), *ward.nodes)
        ward.submit()
        await ward.wait(6)

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    assert all(node.named("roster")[-1]["version"] == 2 for node in ward.nodes.values())
    assert [event["contributors"] for event in ward.named("round_closed")] == [list(ward.nodes)]


def test_a_round_proposed_under_the_roster_before_a_change_of_members_is_refused(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        members = decode(Roster, decode(SignedRoster, ward.federation.roster).roster).members
        await push(ward, push_after(ward, members=members[1:]), *ward.nodes)
        ward.submit()
        await ward.wait(8)

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    assert ward.named("round_closed") == []
    assert {event["rule"] for event in ward.nodes["node-02"].named("refuse")} == {"manifest.roster_version"}


def test_a_node_starts_in_mid_round_while_the_roster_names_no_aggregator(tmp_path: Path) -> None:
    """Its operator is exchanging the aggregator's keys; the node waits, and is there when they are back."""

    async def script(ward: Ward) -> None:
        node = ward.nodes["node-01"]
        ward.kills["node-01"] = "ConsistencyCheck"
        train(ward)
        while node.alive:
            await ward.wait(0.5)
        ward.revive("node-01")
        await ward.settle()
        members = decode(Roster, decode(SignedRoster, ward.federation.roster).roster).members
        await push(ward, push_after(ward, members=members[:-1]), "node-01")
        await node.kill()
        ward.revive("node-01")
        await ward.wait(5)
        assert not node.serving.done()
        assert node.status()["roster"] == 2

    play(Ward(make(4, chunk_bytes=4096), tmp_path), script)


def test_a_check_that_was_going_on_when_the_aggregator_left_the_roster_goes_on_when_it_is_back(tmp_path: Path) -> None:
    lost = [True]

    def bend(to: str, message: Received) -> Sequence[Received]:
        return [] if lost and to == "node-01" and message.kind == "spot-part" else [message]

    async def script(ward: Ward) -> None:
        ward.submit(rounds=2)
        while not ward.nodes["node-01"].named("result"):
            await ward.wait(0.5)
        members = decode(Roster, decode(SignedRoster, ward.federation.roster).roster).members
        without = push_after(ward, members=members[:-1])
        await push(ward, without, "node-01")
        await ward.wait(3)
        lost.clear()
        await push(ward, push_after(ward, without, members=members), "node-01")
        await ward.wait(12)

    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    bent(ward, bend)
    play(ward, script)
    assert [event["round"] for event in ward.nodes["node-01"].named("spot")][:1] == [1]


def test_an_expired_roster_is_relied_on_by_nobody_and_asked_for(tmp_path: Path) -> None:
    """Whoever holds pushes back would otherwise keep a revoked member in every round."""
    asked: list[int] = []

    def bend(to: str, message: Received) -> Sequence[Received]:
        if to == KEYSERVER and message.kind == "roster" and message.sender == "node-02":
            asked.append(ward.nodes["node-02"].now)
        return [message]

    async def script(ward: Ward) -> None:
        for node in ward.nodes.values():
            node.now += 86_400
        ward.submit()
        await ward.wait(8)

    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    bent(ward, bend)
    play(ward, script)
    assert ward.named("round_closed") == []
    assert {event["rule"] for event in ward.nodes["node-02"].named("refuse")} == {"roster.expired"}
    assert asked[-1] == START_OF_TIME + 86_400


# Killed at a bad moment ----------------------------------------------------------------------------------------------


def test_keys_of_rounds_that_were_never_kept_are_gone_before_any_message_is_taken(tmp_path: Path) -> None:
    """Killed between a round's key and its phase: the proposal comes again, and must not use a key about to go."""

    async def script(ward: Ward) -> None:
        node = ward.nodes["node-01"]
        await node.kill()
        keys = RoundKeys(node.place / "rounds", Secret(bytes(32)), node.rng)
        keys.seal("job.1.1.0", b"never kept")
        key = ward.federation.members[node.name]
        service = NodeService(
            node.name, key, node.pin, node.policy, node.tasks, node.place, keys, node.rng, node.ledger
        )
        with node.journal.transaction() as transaction:
            service.start(Turn(transaction, node.now, node.rng))
            assert keys.labels() == []

    play(Ward(make(4, chunk_bytes=4096), tmp_path), script)


def test_no_two_trainings_share_a_task_and_one_that_is_done_serves_the_next_attempt(tmp_path: Path) -> None:
    """An attempt that is repeated while the institution still trains must not train beside it, nor all over again."""
    (tmp_path / "data.txt").write_text("1.0")
    (tmp_path / "task.py").write_text(
        "import threading\nimport numpy as np\n\n"
        "class Ones:\n"
        "    def __init__(self, gate):\n        self.gate, self.inside, self.calls = gate, 0, 0\n\n"
        "    def vector(self, data, round):\n"
        "        self.inside += 1\n        self.calls += 1\n        self.gate.wait(5)\n"
        "        if self.inside > 1:\n            raise RuntimeError('two at once')\n"
        "        self.inside -= 1\n        return np.ones(7)\n"
    )
    gate, spec = Event(), make(4, purpose="sum", bits=64, scalars=(), parameters=7).spec
    own = OwnTask("task", f"{tmp_path / 'task.py'}:Ones", tmp_path / "data.txt", {"gate": gate})
    blobs, keys = Blobs(tmp_path / "blobs"), MemoryInputs().keys
    work = Work({"task": own}, blobs, counted_rng(b"work"), tmp_path / "tables", keys)
    proposals = [propose(make(4, purpose="sum", bits=64, scalars=(), parameters=7), 1, attempt) for attempt in (1, 2)]
    with ThreadPoolExecutor(2) as executor:
        done = [executor.submit(work.update, manifest, spec, bytes(32), {}) for manifest in proposals]
        gate.set()
        first, second = [future.result(5) for future in done]
    assert first is second
    work.forget()
    again = work.update(proposals[1], spec, bytes(32), {})
    assert again is not first


def blobs_of(ward: Ward, name: str) -> set[str]:
    return {path.name for path in (ward.nodes[name].place / "blobs").iterdir() if path.is_file()}


def test_a_node_keeps_the_model_it_stands_at_and_no_other_file(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        train(ward, rounds=3)
        await ward.wait(20)
        before = {name: blobs_of(ward, name) for name in ward.nodes}
        for name, node in ward.nodes.items():
            assert len(before[name]) == 2, "the first model and the last"
            await node.kill()
            # What a kill between a file and its record, or between a record and the end of a file, leaves behind.
            blobs = Blobs(node.place / "blobs")
            blobs.put(b"an upload whose round is over")
            blobs.partial("fetch-nobody-wants-it", 10, 10).write(0, bytes(10))
            ward.revive(name)
            await ward.settle()
            assert list((node.place / "blobs" / "partial").iterdir()) == []
            assert len(blobs_of(ward, name)) == 1
            assert blobs_of(ward, name) < before[name]

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    assert len(ward.named("round_closed")) == 3


def test_an_upload_masked_for_a_round_that_ended_meanwhile_is_deleted(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        node = ward.nodes["node-01"]
        blobs = Blobs(node.place / "blobs")
        late = blobs.put(b"masked words")
        with node.journal.transaction() as transaction:
            turn = Turn(transaction, node.now, node.rng)
            node.service.finished("mask/job.7.1.0", Protected(late, 12, ()), turn)
        for effect in turn.effects:
            if isinstance(effect, Run):
                effect.work()
        assert not blobs.has(late)

    play(Ward(make(4, chunk_bytes=4096), tmp_path), script)


def test_restarts_do_not_keep_the_keys_of_a_round_alive(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        node = ward.nodes["node-01"]
        ward.kills["node-01"] = "Unmask"
        ward.submit()
        while node.alive:
            await ward.wait(0.5)
        ward.network.revoke("aggregator")
        for _ in range(2):
            # Jobs of these tests have a round_timeout of two hours.
            node.now += 3599
            ward.revive("node-01")
            await ward.settle()
            assert node.status()["phase"] == "Agreed"
            await node.kill()
        ward.revive("node-01")
        await ward.settle()
        node.timers.pass_time(3)
        await ward.settle()
        assert node.status()["phase"] is None

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    assert list((ward.nodes["node-01"].place / "rounds").glob("*.key")) == []


@pytest.mark.parametrize("step", ["ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask"])
def test_no_secret_of_a_round_lies_in_clear_in_journal_files_or_log(tmp_path: Path, step: str) -> None:
    """Row 29: what opens a round is on disk only under the round's data key."""

    async def script(ward: Ward) -> None:
        node = ward.nodes["node-01"]
        ward.kills["node-01"] = step
        ward.submit()
        while node.alive:
            await ward.wait(0.5)
        with node.journal.transaction() as transaction:
            phase = node.service._rounds.phase(Turn(transaction, node.now, node.rng))
            kept = b"".join(value for _, value in transaction.scan(""))
        kept += b"".join(m.header + m.body for m in node.journal.pending()) + node.log.getvalue().encode()
        kept += b"".join(path.read_bytes() for path in node.place.rglob("*") if path.is_file())
        held = [share for held in getattr(phase, "held", ()) for share in (held.seed, held.key)]
        own = [getattr(phase, name, b"") for name in ("seal_private", "mask_private", "seed")]
        secrets = [secret for secret in (*held, *own) if secret]
        assert secrets
        assert not any(secret in kept or secret.hex().encode() in kept for secret in secrets)

    play(Ward(make(4, chunk_bytes=4096), tmp_path), script)


def test_a_model_that_a_round_leaves_as_it_was_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    """Training that has converged, or stands still: the next model is the same file as the one before it."""

    async def script(ward: Ward) -> None:
        train(ward, {"rate": 0.0}, rounds=4)
        await ward.wait(40)

    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    play(ward, script)
    assert ward.named("job_done")
    for node in ward.nodes.values():
        assert [event["round"] for event in node.named("result")] == [1, 2, 3, 4]
        assert node.named("evaluate")
