"""Row 53: what a peer writes stops no log and no daemon.

Every text of every message of a member is tried at, above and far above its bound. It has escape sequences and letters
that turn the line. The message is discarded, the honest one behind it counts, every entry of the log can be read back.
What an older version or a damaged journal left in the queue is set aside, and what is behind it is written.
"""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec.inspect import StrType, StructType, multi_type_info
from msgspec.structs import replace

from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon.enrolment import Newcomer
from secagg.errors import ProtocolViolation
from secagg.ids import EVERYBODY, RoundId
from secagg.log.log import MemoryLog
from secagg.log.statements import (
    AnyStatement,
    DropOut,
    JobCreated,
    Refusal,
    Revoked,
    SetAside,
    parse_statement,
    sign_statement,
)
from secagg.protocol import manifest, session
from secagg.protocol.masks import intake
from secagg.protocol.masks import messages as of_members
from secagg.protocol.paillier import messages as of_trustees
from secagg.protocol.round.messages import Propose
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.federation import AGGREGATOR
from secagg.roster import boot, members
from secagg.roster import messages as of_newcomers
from secagg.roster.messages import ENROL, Admitted, Enrolment, EnrolRequest, Waiting, sign_enrolment
from secagg.roster.tokens import token_key
from secagg.transport import routing
from secagg.transport.link import KEYSERVER, Received, guest_name
from secagg.wire import chunks, signed
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, sign
from support.aggregating import Hall
from support.arriving import settle
from support.federation import make
from support.keyservers import Office, newcomer_of
from support.texts import ESCAPES, TEXTS, places, put

ROOMS = (
    manifest, session, intake, of_members, of_trustees, boot, members, of_newcomers, routing, chunks, signed,
)  # fmt: skip

FREE = {
    "Signed.kind": "compared whole with the kind that is expected",
    "Signed.receiver": "compared whole with the name that is expected",
    "Manifest.prg": "compared whole with the one there is", "Manifest.suite": "compared whole with the one there is",
    "Manifest.graph": "compared whole with the job's",
    "Setting.value": "a job with a setting is refused by every node, and nothing shows it",
    "Present.job": "looked up, and means nothing when it is unknown",
    "EnrolRequest.root_fingerprint": "compared whole with the federation's",
    "Denied.code": "the key server's own", "Denied.cause": "the key server's own",
    "Denied.remedy": "the key server's own",
    "Enrolled.fingerprint": "the key server's own, 64 digits", "Revoked.reason": "the operator's own sentence",
    "DropOut.step": "the aggregator's own", "DropOut.reason": "the aggregator's own",
    "Aborted.step": "the aggregator's own", "Aborted.reason": "the aggregator's own",
}  # fmt: skip
"""Texts that are no names, each bounded, and why that will do; a new one has to be thought about here."""


def kinds() -> list[type[msgspec.Struct]]:
    """Every struct that travels, and every statement."""
    found = [(room.__name__, kind) for room in ROOMS for _, kind in inspect.getmembers(room, inspect.isclass)]
    structs = {kind for home, kind in found if kind.__module__ == home and issubclass(kind, msgspec.Struct)}
    return sorted(structs | set(get_args(AnyStatement)), key=lambda kind: kind.__name__)


def leaves(kind: object) -> Iterator[StrType]:
    """Every text in a field, inside lists, unions and maps too, but not in structs, which are walked themselves."""
    if isinstance(kind, StrType):
        yield kind
    for name in ("item_type", "item_types", "types", "key_type", "value_type"):
        inner = getattr(kind, name, ())
        for one in inner if isinstance(inner, tuple) else (inner,):
            yield from leaves(one)


def texts() -> dict[str, StrType]:
    infos = multi_type_info(kinds())
    return {
        f"{info.cls.__name__}.{field.name}": leaf
        for info in infos if isinstance(info, StructType) for field in info.fields for leaf in leaves(field.type)
    }  # fmt: skip


def test_every_text_that_travels_is_a_name_or_bounded_and_known() -> None:
    found = texts()
    assert len(found) > 60
    for place, leaf in found.items():
        listed = leaf.max_length == 64  # secagg.ids.Listed: a name in a list, compared whole with names known already
        assert leaf.pattern or leaf.max_length, place
        assert leaf.pattern or listed or place in FREE, place
        assert (leaf.max_length or 128) <= 512, place
    assert set(FREE) <= set(found)


# Every text of every message of a member -----------------------------------------------------------------------------


class Loud:
    """A federation in which node-03 says everything wrong, in every way, before it says it right."""

    def __init__(self, place: Path) -> None:
        self.stage = Hall(make(4, chunk_bytes=4096), place / "state")
        self.key: SigningKey = self.stage.federation.members["node-03"]
        self.scope: Scope | None = None
        self.said: dict[str, int] = {}
        self.stage.network._fate = self._fate

    def _fate(self, to: str, message: Received) -> list[Received]:
        if message.sender == AGGREGATOR and message.kind == "round":
            header = decode(RoundHeader, message.header)
            if header.kind == "Propose":
                proposed = decode(Propose, message.body, LIMIT_BULK).manifest.body
                self.scope = Scope(round=header.round, manifest=manifest.digest(proposed))
        wrong = self._wrong(message) if (message.sender, to) == ("node-03", AGGREGATOR) else ()
        return [*wrong, message]

    def _wrong(self, message: Received) -> Iterator[Received]:
        if message.kind == "ack":
            return
        scope = self.scope or Scope(RoundId("fed", "job", 1), bytes(32))
        for part in ("header", "body"):
            whole = getattr(message, part)
            for place in places(whole):
                for text in TEXTS:
                    name = f"{message.kind}/{self._kind(message)}/{part}/{'.'.join(map(str, place))}"
                    self.said[name] = self.said.get(name, 0) + 1
                    yield replace(message, id=b"", **{part: put(whole, place, text, self.key, scope)})

    def _kind(self, message: Received) -> str:
        return decode(RoundHeader, message.header).kind if message.kind == "round" else ""

    def refuse(self, body: object, name: str = "node-03") -> Received:
        """Return a member's signed leave with this body."""
        assert self.scope
        key = self.stage.federation.members[name]
        leave = encode(sign(key, "Refuse", self.scope, name, EVERYBODY, encode(body)))
        return Received(name, "round", b"", encode(RoundHeader(self.scope.round, "Refuse")), leave)


def readable(log: Any) -> list[AnyStatement]:
    """Return every entry of a log, read by its own reader."""
    return [parse_statement(log.leaf(index))[0] for index in range(log.size)]


@pytest.fixture(scope="module")
def shouted(tmp_path_factory: pytest.TempPathFactory) -> Loud:
    """A job of one round in which node-03 shouts."""
    loud = Loud(tmp_path_factory.mktemp("loud"))

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        for _ in range(20):
            if not stage.named("job_done"):
                await stage.wait(2)

    loud.stage.play(script)
    return loud


def test_no_text_of_a_member_stops_a_round_or_the_log(shouted: Loud) -> None:
    [closed] = shouted.stage.named("round_closed")
    assert closed["contributors"] == [f"node-{index:02d}" for index in range(4)]
    assert shouted.stage.named("job_done")
    kinds = {name.split("/")[0] + "/" + name.split("/")[1] for name in shouted.said}
    steps = ("AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask")
    assert kinds >= {"present/", "chunk/", *(f"round/{step}" for step in steps)}
    assert sum(shouted.said.values()) > 300
    assert [type(entry).__name__ for entry in readable(shouted.stage.rounds_log)] == [
        "JobCreated", "ManifestLogged", "Contributors", "Opening", "Result",
    ]  # fmt: skip


def test_what_was_written_there_is_nowhere(shouted: Loud) -> None:
    stage = shouted.stage
    asked = [stage.daemon.command({"command": command}) for command in ("status", "job-list")]
    everything = json.dumps([asked, stage.events, stage.daemon.command({"command": "job-show", "name": "job"})])
    everything += "".join(stage.rounds_log.leaf(index).decode() for index in range(stage.rounds_log.size))
    for wrong in ("x" * 600, "\\u202e", "\u202e", "\x1b", "\\u001b", "[red]"):
        assert wrong not in everything
    assert max(map(len, stage.log.getvalue().splitlines())) < 4_000


REASONS = [{"rule": text} for text in TEXTS] + [{"rule": "policy.min_nodes", "reason": text} for text in TEXTS]


def test_a_refusal_holds_a_rule_of_the_table_and_is_logged_once(tmp_path: Path) -> None:
    loud = Loud(tmp_path)
    stage = loud.stage
    stage.members["node-03"].silent = "ShareKeys"

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        assert stage.result_step() == "ShareKeys"
        for body in [*REASONS, {"rule": "policy.of_my_own"}, {"rule": ESCAPES}]:
            stage.network.deliver(AGGREGATOR, loud.refuse(body))
            await stage.settle()
        assert stage.result_step() == "ShareKeys"
        # node-02 has said its part of this step: it is not waited for, and could say this for ever.
        for name in ["node-02"] * 50 + ["node-03"] * 50:
            stage.network.deliver(AGGREGATOR, loud.refuse({"rule": "policy.min_nodes"}, name))
            await stage.settle()
        await stage.wait(20)

    stage.play(script)
    logged = readable(stage.rounds_log)
    refused = [(entry.member, entry.rule) for entry in logged if isinstance(entry, Refusal)]
    assert refused == [("node-02", "policy.min_nodes"), ("node-03", "policy.min_nodes")]
    told = [event["reason"] for event in stage.named("step") if event["state"] == "refused"]
    assert told == ["its policy asks for more members than the job has"] * 2
    assert [event["contributors"] for event in stage.named("round_closed")] == [["node-00", "node-01", "node-02"]]


def test_a_refusal_in_every_step_is_logged_once(tmp_path: Path) -> None:
    loud = Loud(tmp_path)
    loud.stage.members["node-03"].silent = "MaskedInput"

    async def script(stage: Hall) -> None:
        stage.members["node-01"].silent = "ShareKeys"
        await stage.push()
        stage.submit()
        await stage.settle()
        await stage.gather()
        for step in ("ShareKeys", "MaskedInput"):
            assert stage.result_step() == step
            stage.network.deliver(AGGREGATOR, loud.refuse({"rule": "policy.min_nodes"}, "node-02"))
            await stage.settle()
            stage.timers.pass_time(3)
            await stage.settle()

    loud.stage.play(script)
    found = readable(loud.stage.rounds_log)
    assert [entry.member for entry in found if isinstance(entry, Refusal)] == ["node-02"]


# At the door of the log ----------------------------------------------------------------------------------------------

WHERE: dict[str, Any] = {"federation": "fed", "time": 5, "job": "j", "round": 1, "attempt": 1, "group": 0}
LONG = "\u202e" * 20_000
UNREADABLE = [
    Refusal(**WHERE, member="a", rule="x" * 600), Refusal(**WHERE, member="a", rule=LONG),
    DropOut(**WHERE, member="a", step="s", reason="x" * 600), DropOut(**WHERE, member="a", step="s", reason=LONG),
    Revoked(federation="fed", time=5, member="a", reason="x" * 513),
    JobCreated(federation="fed", time=5, job="J", spec=""), JobCreated(federation="fed", time=-1, job="j", spec=""),
]  # fmt: skip


@pytest.mark.parametrize("statement", UNREADABLE, ids=lambda found: f"{type(found).__name__}")
def test_what_no_reader_takes_back_is_not_signed(statement: Any) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        sign_statement(statement, "aggregator", SigningKey.from_private_bytes(b"1" * 32))
    assert caught.value.rule == "statement.form"
    assert len(caught.value.cause) < 400


def test_the_longest_sentence_of_a_person_fits(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        await office.enrol("charite")
        await office.ask("member.revoke", name="charite", reason="\U0001f600" * 512)

    office = Office(tmp_path).play(script)
    assert [entry.reason for entry in readable(office.log) if isinstance(entry, Revoked)] == ["\U0001f600" * 512]


def test_no_text_of_a_newcomer_stops_the_directory(tmp_path: Path) -> None:
    async def script(office: Office) -> None:
        token = await office.token("charite")
        newcomer = newcomer_of(token)
        keys = (SigningKey.from_private_bytes(newcomer.ring.sign.reveal()), token_key(Secret(token.secret), "fed"))
        for field in ("federation", "root_fingerprint", "name"):
            for text in TEXTS:
                request = decode(EnrolRequest, decode(Enrolment, newcomer.request(office.now)).request)
                wrong = sign_enrolment(replace(request, **{field: text}), *keys)
                own = newcomer.member.curve_key
                office.network.deliver(KEYSERVER, Received(guest_name(own), ENROL, b"", b"", encode(wrong), own))
                await settle()
        other = newcomer_of(await office.token("hungary"), b"other")
        assert isinstance(await office.knock(other), Waiting)
        await office.approve(other)

    office = Office(tmp_path).play(script)
    found = [type(entry).__name__ for entry in readable(office.log)]
    assert found[-3:] == ["TokenConsumed", "Enrolled", "RosterChanged"]
    assert "x" * 600 not in office.written.getvalue()


# What is in the queue and cannot be read -----------------------------------------------------------------------------


class Held(MemoryLog):
    """A log whose disk takes nothing while it is held."""

    held = False

    def publish(self) -> bytes:
        """Sign and return a checkpoint over everything appended, unless the disk is full."""
        if self.held:
            raise OSError("full")
        return super().publish()

    def append(self, leaf: bytes) -> int:
        """Add a leaf, unless the disk is full."""
        if self.held:
            raise OSError("full")
        return super().append(leaf)


def damaged(leaf: bytes) -> dict[str, bytes]:
    """Return a leaf as an older version or a broken disk may have left it."""
    flipped = leaf.replace(b'"time":1', b'"time":2')
    assert flipped != leaf
    document = json.loads(leaf)
    return {
        "a bit": flipped, "nothing": b"", "torn": leaf[:40], "garbage": bytes(200), "too long": leaf + b" " * 70_000,
        "600 letters": json.dumps(document | {"reason": "x" * 600}, sort_keys=True, separators=(",", ":")).encode(),
        "of somebody else": leaf.replace(b'"signer":"aggregator"', b'"signer":"node-00"'),
    }  # fmt: skip


DAMAGES = ("a bit", "nothing", "torn", "garbage", "too long", "600 letters", "of somebody else", "gone")


def queued(stage: Hall, prefix: str = "log/leaf/") -> dict[str, bytes]:
    with stage.journal.transaction() as kept:
        return dict(kept.scan(prefix))


def damage(stage: Hall, place: str, how: str) -> None:
    with stage.journal.transaction() as kept:
        leaf = kept.get(place)
        assert leaf is not None
        if how == "gone":
            kept.delete(place)
        else:
            kept.put(place, damaged(leaf)[how])


@pytest.mark.parametrize("how", DAMAGES)
def test_a_job_whose_entry_cannot_be_read_ends_and_the_next_one_runs(how: str, tmp_path: Path) -> None:
    federation = make(4, chunk_bytes=4096)
    log = Held("fed/rounds", "fed/rounds", federation.aggregator)
    stage = Hall(federation, tmp_path / "state", log=log)

    async def script(stage: Hall) -> None:
        await stage.push()
        log.held = True
        stage.submit()
        await stage.settle()
        assert not log.size
        log.held = False
        [place] = queued(stage)
        damage(stage, place, how)
        await stage.restart()
        await stage.gather()
        stage.submit(name="second")
        await stage.wait(20)
        status = stage.daemon.command({"command": "status"})
        assert isinstance(status, dict)
        assert status["set_aside"] == [0]

    stage.play(script)
    found = readable(log)
    assert isinstance(found[0], SetAside)
    assert [entry.job for entry in found if isinstance(entry, JobCreated)] == ["second"]
    assert [event["entry"] for event in stage.named("set_aside")] == [0]
    assert [(event["job"]) for event in stage.named("job_failed")] == ["job"]
    assert [(event["job"]) for event in stage.named("job_done")] == ["second"]
    [aside] = queued(stage, "log/aside/").values()
    assert aside or how in ("nothing", "gone")
    assert not any(member.disbelieved for member in stage.members.values())


@pytest.mark.parametrize("how", DAMAGES)
def test_a_round_whose_entry_cannot_be_read_is_lost_and_nothing_wrong_is_proved(how: str, tmp_path: Path) -> None:
    federation = make(4, chunk_bytes=4096)
    log = Held("fed/rounds", "fed/rounds", federation.aggregator)
    stage = Hall(federation, tmp_path / "state", log=log)

    async def script(stage: Hall) -> None:
        await stage.push()
        stage.submit(rounds=2)
        await stage.settle()
        log.held = True
        await stage.gather()
        [place] = queued(stage)
        log.held = False
        damage(stage, place, how)
        await stage.restart()
        await stage.wait(30)

    stage.play(script)
    found = readable(log)
    assert isinstance(found[1], SetAside)
    assert len([event for event in stage.named("round_aborted") if event["lost"]]) == 1
    assert [event["round"] for event in stage.named("round_closed")] == [2]
    assert not any(member.disbelieved for member in stage.members.values())


@pytest.mark.parametrize("which", ["TokenConsumed", "Enrolled", "RosterChanged"])
def test_the_key_server_states_anew_what_cannot_be_read(which: str, tmp_path: Path) -> None:
    newcomers: list[Newcomer] = []

    async def until_held(office: Office) -> None:
        newcomer = newcomer_of(await office.token("charite"))
        newcomers.append(newcomer)
        assert isinstance(await office.knock(newcomer), Waiting)
        office.executor.held = True
        await office.approve(newcomer)

    office = Office(tmp_path).play(until_held)
    with office.journal.transaction() as turn:
        entries = dict(turn.scan("entry/"))
        place = next(key for key, leaf in entries.items() if f'"type":"{which}"'.encode() in leaf)
        turn.put(place, entries[place][:-30])

    async def go_on(office: Office) -> None:
        status = await office.ask("status")
        assert status["set_aside"] == [int(place.rpartition("/")[2])]
        assert status["decided"] == status["published"]
        assert isinstance(await office.knock(newcomers[0]), Admitted)

    again = office.again().play(go_on)
    found = readable(again.log)
    assert [type(entry).__name__ for entry in found].count("SetAside") == 1
    assert any(type(entry).__name__ == which for entry in found) or which == "TokenConsumed"
    assert [entry["event"] for entry in again.logged()].count("set_aside") == 1
