"""Row 14: a node's state is rolled back: yesterday's backup, a clone that runs beside it, a snapshot of a machine.

It has forgotten what it opened, so it would open again. The key server numbers every start and knows how long the
ledger was. What does not continue the newest start is fenced, and takes part in nothing.
"""

import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from keyserver.boots import judge
from keyserver.records import BootRecord
from node.config import OwnTask
from secagg.crypto.sign import SigningKey
from secagg.daemon.booting import Booting, held, standing
from secagg.daemon.following import Follower, Own
from secagg.daemon.ledger import Ledger
from secagg.daemon.membership import Pin
from secagg.daemon.turn import Emit, Turn
from secagg.errors import BadSignature, NotAuthorised, ProtocolViolation, TryLater
from secagg.ids import RoundId
from secagg.log.statements import Fenced, parse_statement
from secagg.protocol.memory import Accepted
from secagg.rehearsal.federation import START_OF_TIME, Federation
from secagg.roster.boot import BOOT, BootReply, BootRequest, open_request, sign_reply, sign_request
from secagg.roster.chain import fingerprint
from secagg.roster.messages import RosterPush
from secagg.transport.link import KEYSERVER, Received
from secagg.wire.codec import encode
from support.arriving import drain
from support.federation import counted_rng, make
from support.keyservers import Office
from support.memory import MemoryJournal
from support.nodes import Ward

NAME = "node-02"


def play(ward: Ward, script: Callable[[Ward], Awaitable[None]]) -> Ward:
    """Run real nodes, each with a task and a vector of its own for every job, while `script` makes things happen."""
    for site in ward.nodes.values():
        site.policy = replace(site.policy, static_inputs="task")
        own = site.tasks["task"]
        site.tasks |= {
            name: OwnTask(name, own.spec, own.data, {"value": value})
            for name, value in (("first", 2.0), ("second", 4.0), ("third", 8.0))
        }

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await script(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


async def summed(ward: Ward, name: str) -> list[str]:
    """Run a sum job over data of its own to its end; return its contributors."""
    ward.submit(name=name, task=name)
    await ward.wait(10)
    return list(ward.named("round_closed")[-1]["contributors"])


async def summed_without(ward: Ward, name: str) -> list[str]:
    """Run a sum job that waits in vain for node-02, and once more without it; return the contributors."""
    ward.submit(name=name, task=name)
    await ward.wait(10)
    ended = ward.named("job_failed")[-1]
    assert ended["job"] == name
    assert str(ended["reason"]).startswith(f"{name} waited in vain for {NAME}:")
    ward.submit(without=[NAME], name=name, task=name)
    await ward.wait(10)
    return list(ward.named("round_closed")[-1]["contributors"])


async def restored(ward: Ward, backup: MemoryJournal) -> None:
    """Stop node-02 and start it from a backup of its journal."""
    if ward.nodes[NAME].alive:
        await ward.nodes[NAME].kill()
    ward.nodes[NAME].journal = backup.reopened()
    ward.revive(NAME)
    await ward.wait(3)


def presence(ward: Ward) -> list[Received]:
    """Return, as they come, the words of node-02 that it is there."""
    said: list[Received] = []

    def fate(to: str, message: Received) -> Sequence[Received]:
        if (message.sender, message.kind) == (NAME, "present"):
            said.append(message)
        return ward._count(to, message)

    ward.network._fate = fate
    return said


@pytest.mark.parametrize("restarts", [0, 2])
def test_yesterdays_state_takes_part_in_nothing(tmp_path: Path, restarts: int) -> None:
    """Also when the node ran through since the backup, so that its epoch is still the newest."""

    async def script(ward: Ward) -> None:
        node, others = ward.nodes[NAME], [name for name in ward.nodes if name != NAME]
        await ward.wait(2)
        yesterday = node.journal.reopened()
        assert await summed(ward, "first") == list(ward.nodes)
        for _ in range(restarts):
            await node.kill()
            ward.revive(NAME)
            await ward.wait(2)
        await restored(ward, yesterday)
        said = presence(ward)
        assert await summed_without(ward, "second") == others
        assert node.status()["waiting"]["for"] == "nobody"
        await node.kill()
        ward.revive(NAME)
        assert await summed_without(ward, "third") == others, "it forgot that it is old"
        assert said == []

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    (said,) = ward.nodes[NAME].named("fenced")
    assert said["code"] == "E-FENCED"
    assert said["remedy"]
    assert ward.starts.fenced == [NAME]


def test_a_backup_of_this_very_state_and_every_ordinary_restart_go_on(tmp_path: Path) -> None:
    async def script(ward: Ward) -> None:
        assert await summed(ward, "first") == list(ward.nodes)
        await ward.nodes[NAME].kill()
        await restored(ward, ward.nodes[NAME].journal)
        assert await summed(ward, "second") == list(ward.nodes)

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    assert ward.starts.fenced == []


def test_a_backup_of_the_middle_of_a_round_does_not_finish_it_twice(tmp_path: Path) -> None:
    """Its round is still open, its keys still there: without the fence it would answer the aggregator once more."""

    async def script(ward: Ward) -> None:
        node = ward.nodes[NAME]
        ward.kills[NAME] = "ConsistencyCheck"
        ward.submit()
        await ward.wait(1)
        assert not node.alive
        middle, keys = node.journal.reopened(), tmp_path / "keys"
        shutil.copytree(node.place / "rounds", keys)
        assert list(keys.iterdir())
        ward.revive(NAME)
        await ward.wait(8)
        assert ward.named("round_closed")[-1]["contributors"] == list(ward.nodes)
        await node.kill()
        shutil.copytree(keys, node.place / "rounds", dirs_exist_ok=True)
        await restored(ward, middle)
        assert node.status()["phase"] is None
        assert list((node.place / "rounds").iterdir()) == []

    ward = play(Ward(make(4, chunk_bytes=4096), tmp_path), script)
    assert ward.starts.fenced == [NAME]


# Two copies, message by message --------------------------------------------------------------------------------------


class Copy:
    """One copy of a node's state with its own process: real asking, every message in the test's hands."""

    def __init__(self, federation: Federation, journal: MemoryJournal, seed: bytes) -> None:
        self.federation, self.journal = federation, journal
        key, rng = federation.members[NAME], counted_rng(seed)
        pin = Pin(federation.spec.federation, fingerprint(federation.root_key))
        self.follower = Follower(Own(NAME, "node", key.public), pin)
        self.booting = Booting(NAME, key, self.follower, rng)
        self.rng = rng

    def do(self, act: Callable[[Turn], object]) -> list[bytes]:
        """Let it act in one turn; return the requests that left it."""
        with self.journal.transaction() as transaction:
            turn = Turn(transaction, START_OF_TIME, self.rng)
            act(turn)
        return [effect.body for effect in turn.effects if isinstance(effect, Emit) and effect.kind == BOOT]

    def learn(self) -> None:
        """Take the roster, as every member has it."""
        directory = self.federation.directory
        body = encode(RosterPush(self.federation.roster, directory.leaf(1), encode(directory.prove(1))))
        self.do(lambda turn: self.follower.take(Received(KEYSERVER, "roster", b"", b"", body), turn))

    def hear(self, reply: bytes) -> list[bytes]:
        return self.do(lambda turn: self.booting.take(Received(KEYSERVER, BOOT, b"", b"", reply), turn))

    def joins(self, number: int) -> None:
        """Take part in a round."""
        entry = Accepted(RoundId("fed", "job", number), bytes(32))
        self.do(lambda turn: Ledger(turn).add((entry,)))

    @property
    def state(self) -> str:
        found: list[str] = []
        self.do(lambda turn: found.append(boot.state if (boot := standing(turn)) else ""))
        return found[0]


class Desk:
    """The key server's verdicts, kept and signed."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.record: BootRecord | None = None

    def answer(self, request: bytes) -> bytes:
        public = self.federation.members[NAME].public
        self.record, reply = judge(self.record, open_request(request, public), public)
        return sign_reply(reply, self.federation.online)


def talk(copy: Copy, desk: Desk, requests: Sequence[bytes]) -> str:
    """Carry everything both ways until nobody says anything; return where the copy stands."""
    queue = list(requests)
    while queue:
        queue += copy.hear(desk.answer(queue.pop(0)))
    return copy.state


@pytest.fixture
def pair() -> tuple[Federation, Desk, Copy]:
    """A member that was started once and is held."""
    federation = make(4)
    desk, first = Desk(federation), Copy(federation, MemoryJournal(), b"first")
    first.learn()
    assert talk(first, desk, first.do(first.booting.start)) == "held"
    return federation, desk, first


def test_of_two_clones_the_first_wins_and_the_other_is_fenced(pair: tuple[Federation, Desk, Copy]) -> None:
    federation, desk, first = pair
    clones = [Copy(federation, first.journal.reopened(), seed) for seed in (b"one", b"two")]
    asked = [clone.do(clone.booting.start) for clone in clones]
    assert [talk(clone, desk, requests) for clone, requests in zip(clones, asked, strict=True)] == ["held", "fenced"]
    with pytest.raises(NotAuthorised):
        clones[1].do(clones[1].booting.require)


def test_a_clone_that_starts_often_does_not_catch_up(pair: tuple[Federation, Desk, Copy]) -> None:
    """Its ledger is as long as the original's; only the epochs tell that the original has gone on."""
    federation, desk, first = pair
    clone = Copy(federation, first.journal.reopened(), b"clone")
    assert talk(first, desk, first.do(first.booting.start)) == "held"
    for _ in range(5):
        asked = clone.do(clone.booting.start)
    assert talk(clone, desk, asked) == "fenced"
    assert clone.do(clone.booting.start) == []
    assert clone.state == "fenced"


def test_the_key_server_itself_fences_a_ledger_that_is_shorter_than_it_was() -> None:
    """Whatever the member makes of the answer: the next epoch is not granted to it."""
    public = make(4).members[NAME].public
    known = BootRecord(public, number=3, before=2, nonce=b"n" * 32, starts=7, records=5)
    for records, verdict in ((4, "fenced"), (5, "granted"), (6, "granted")):
        record, reply = judge(known, BootRequest("fed", NAME, 3, 8, b"m" * 32, records), public)
        assert (reply.state, record.number) == (verdict, 3 + (verdict == "granted"))


def test_the_original_learns_of_its_clone_with_its_next_round(pair: tuple[Federation, Desk, Copy]) -> None:
    """It runs on, never restarts, and says how long its ledger is whenever it joins a round."""
    federation, desk, first = pair
    clone = Copy(federation, first.journal.reopened(), b"clone")
    assert talk(clone, desk, clone.do(clone.booting.start)) == "held"
    first.joins(1)
    assert talk(first, desk, first.do(first.booting.tell)) == "fenced"
    assert clone.state == "held"


def test_a_machine_put_back_to_a_snapshot_notices_that_its_ledger_is_the_older(
    pair: tuple[Federation, Desk, Copy]
) -> None:
    """Memory and disk are put back alike: the same start, the same nonce, only the ledger is shorter."""
    _, desk, first = pair
    snapshot = first.journal.reopened()
    for number in (1, 2):
        first.joins(number)
        assert talk(first, desk, first.do(first.booting.tell)) == "held"
    first.journal = snapshot
    first.joins(1)
    assert talk(first, desk, first.do(first.booting.tell)) == "fenced"


def test_nothing_is_done_before_the_key_server_has_answered(pair: tuple[Federation, Desk, Copy]) -> None:
    _, desk, first = pair
    (asked,) = first.do(first.booting.start)
    with pytest.raises(TryLater):
        first.do(first.booting.require)
    (said,) = first.hear(desk.answer(asked))
    with pytest.raises(TryLater):
        first.do(first.booting.require)
    first.hear(desk.answer(said))
    first.do(first.booting.require)
    first.do(lambda turn: held(turn) or pytest.fail("not held"))


def test_lost_answers_and_crashes_at_any_moment_fence_nobody() -> None:
    """Each start is cut off after 0, 1 or 2 deliveries each way; whatever happened before, the last one is held."""
    federation = make(4)
    for cuts in product(range(4), repeat=3):
        desk, copy = Desk(federation), Copy(federation, MemoryJournal(), b"copy")
        copy.learn()
        number = 0
        for cut in cuts:
            queue = copy.do(copy.booting.start)
            for step in range(cut):
                if queue and step % 2 == 0:
                    reply = desk.answer(queue.pop(0))
                elif step % 2:
                    queue += copy.hear(reply)
            if copy.state == "held":
                number += 1
                copy.joins(number)
        assert talk(copy, desk, copy.do(copy.booting.start)) == "held"


@pytest.mark.parametrize("grows", [True, False])
def test_a_request_that_comes_late_or_twice_fences_nobody(pair: tuple[Federation, Desk, Copy], grows: bool) -> None:
    """A broker may keep every message, and deliver it whenever it likes."""
    _, desk, first = pair
    old: list[bytes] = []
    for number in range(3):
        requests = first.do(first.booting.start)
        while requests:
            replies = [desk.answer(request) for request in (requests[0], *old)]
            old.append(requests[0])
            requests = [asked for reply in replies for asked in first.hear(reply)]
        if grows:
            first.joins(number + 1)
        assert talk(first, desk, old) == "held"


def test_answers_to_another_start_another_member_or_of_another_key_mean_nothing(
    pair: tuple[Federation, Desk, Copy]
) -> None:
    federation, _, first = pair
    (asked,) = first.do(first.booting.start)
    request = open_request(asked, federation.members[NAME].public)
    grant = BootReply("fed", NAME, request.nonce, request.number, 0, "held")
    lies = (
        BootReply("fed", NAME, bytes(32), request.number, 0, "held"),
        BootReply("fed", "node-01", request.nonce, request.number, 0, "held"),
        BootReply("another", NAME, request.nonce, request.number, 0, "held"),
    )
    for lie in lies:
        first.hear(sign_reply(lie, federation.online))
        assert first.state == "asking"
    with pytest.raises(BadSignature):
        first.hear(sign_reply(grant, federation.aggregator))
    from_another = Received("node-01", BOOT, b"", b"", sign_reply(grant, federation.online))
    with pytest.raises(NotAuthorised):
        first.do(lambda turn: first.booting.take(from_another, turn))
    assert first.state == "asking"


# The key server ------------------------------------------------------------------------------------------------------


def test_the_key_server_grants_signed_epochs_and_states_who_was_fenced(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        newcomer = await office.enrol()
        key, name = SigningKey.from_private_bytes(newcomer.ring.sign.reveal()), newcomer.member.name
        link = office.network.link(name)
        said = BootRequest("fed", name, 0, 1, b"n" * 32, 0)

        async def asks(request: BootRequest, signer: SigningKey = key) -> list[Received]:
            await link.send(KEYSERVER, BOOT, b"", sign_request(request, signer))
            return [message for message in await drain(link) if message.kind == BOOT]

        assert len(await asks(said)) == 1
        assert await asks(said, SigningKey.from_private_bytes(bytes(32))) == []
        other = BootRequest("fed", "somebody", 0, 1, b"n" * 32, 0)
        assert await asks(other) == []
        fenced = BootRequest("fed", name, 0, 1, b"m" * 32, 0, fenced=True)
        for _ in range(3):
            await asks(fenced)
        stated = [parse_statement(office.log.leaf(at))[0] for at in range(office.log.size)]
        assert [found.member for found in stated if isinstance(found, Fenced)] == [name]

    Office(tmp_path).play(script)


def test_an_epoch_that_was_never_granted_is_said_to_be_the_key_servers_own_fault() -> None:
    public = make(4).members[NAME].public
    with pytest.raises(ProtocolViolation, match="restored from an old backup"):
        judge(None, BootRequest("fed", NAME, 5, 9, b"n" * 32, 0), public)


def test_a_member_that_was_enrolled_anew_begins_anew() -> None:
    federation = make(4)
    old = BootRecord(federation.members[NAME].public, number=9, starts=20, records=50)
    anew = federation.members["node-03"].public
    record, reply = judge(old, BootRequest("fed", NAME, 0, 1, b"n" * 32, 0), anew)
    assert (reply.state, record.number, record.sign_key) == ("granted", 1, anew)
