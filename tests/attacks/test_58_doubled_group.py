"""Row 58: a result has one form, and one function reads it. Whoever checks a sum and whoever goes on from it see the
same words. A lane group twice, in either order, is no result at node, spot check, auditor and pull alike. Every other
leaf of it, changed and logged again by the rightful aggregator, is refused too, or is judged by what is named here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from aggregator import jobs
from aggregator.records import Outcome
from node import believing
from secagg.auditor.verify import verify
from secagg.crypto.derive import hmac_sha256, sha256
from secagg.daemon.blobs import Blobs
from secagg.errors import ProtocolViolation, SecaggError, VerificationFailed
from secagg.log.bundle import BundleWriter
from secagg.log.log import MemoryLog
from secagg.log.statements import AnyStatement, Result, sign_statement
from secagg.protocol import server_step
from secagg.protocol.deriving import leaves
from secagg.protocol.lanes import encode_sum
from secagg.protocol.manifest import GroupSum, Published
from secagg.protocol.masks import spot
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.masks.spot import Transcript, transcript_of
from secagg.protocol.round import spots
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.phases import Closed
from secagg.protocol.round.spots import frozen_entry
from secagg.protocol.session import ResultNotice
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, Federation, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.wire.codec import decode, encode
from support.bundles import rewrite, write_bundle
from support.federation import make
from support.nodes import Ward
from support.walking import changes

Lie = Callable[[Published], Published]
Judge = Callable[[Published], object]


def doubled(first: bool) -> Lie:
    """Return a lie that holds `update` twice, the true one first or last."""

    def lie(honest: Published) -> Published:
        update = honest.groups[-1]
        other = replace(update, words=bytes(len(update.words)))
        pair = (update, other) if first else (other, update)
        return replace(honest, groups=(*honest.groups[:-1], *pair))

    return lie


LIES: dict[str, tuple[Lie, str]] = {
    "update twice, the true one first": (doubled(True), "result.groups"),
    "update twice, the true one last": (doubled(False), "result.groups"),
    "a group more": (lambda p: replace(p, groups=(*p.groups, GroupSum("more", b""))), "result.groups"),
    "a group less": (lambda p: replace(p, groups=p.groups[:1]), "result.groups"),
    "another order": (lambda p: replace(p, groups=p.groups[::-1]), "result.groups"),
    "a word less": (
        lambda p: replace(p, groups=(p.groups[0], replace(p.groups[1], words=p.groups[1].words[:-8]))), "result.length"
    ),
    "a byte more": (
        lambda p: replace(p, groups=(p.groups[0], replace(p.groups[1], words=p.groups[1].words + b"0"))),
        "result.length",
    ),
    "another job": (lambda p: replace(p, round=replace(p.round, job="another")), "result.round"),
    "another federation": (lambda p: replace(p, round=replace(p.round, federation="other")), "result.round"),
    "another round": (lambda p: replace(p, round=replace(p.round, round=2)), "result.round"),
    "another attempt": (lambda p: replace(p, round=replace(p.round, attempt=2)), "result.round"),
    "a second group of members": (lambda p: replace(p, round=replace(p.round, group=1)), "result.round"),
    "a contributor twice": (
        lambda p: replace(p, contributors=(p.contributors[0], *p.contributors)), "result.contributors"
    ),
    "a stranger": (lambda p: replace(p, contributors=(*p.contributors, "zz")), "result.contributors"),
    "contributors in another order": (
        lambda p: replace(p, contributors=p.contributors[::-1]), "result.contributors"
    ),
    "nobody": (lambda p: replace(p, contributors=()), "result.contributors"),
}  # fmt: skip

OF_THE_LOG = {
    "manifest": "the log entry states it: node and auditor hold it against that, the spot check against its own",
    "contributors.length": "a smaller set is a set: the log entry, the own opening, U3 and the uploads say which",
}
OF_THE_SUM = {
    "groups.0.words": "the sum itself: a canary, spot checks and the auditor's recomputation judge it",
    "groups.1.words": "the sum itself: a canary, spot checks and the auditor's recomputation judge it",
}
"""Leaves that the reader cannot judge, and what does."""


class Kept(Table):
    """A table that keeps what opened the round."""

    transcript: Transcript

    def open_sum(self, asked: Effect | None = None) -> Event:
        phase = self.phase
        assert isinstance(phase, Unmasking)
        self.transcript = transcript_of(phase, frozen_entry(self.log.size, self.log.leaf, phase.scope))
        return super().open_sum(asked)


class Round:
    """A closed round of a sum, and everybody who reads what it published."""

    def __init__(self, place: Path) -> None:
        self.federation: Federation = make(4, purpose="sum", bits=64, scalars=(), weight_bound=1, clip_log2=0)
        self.manifest, self.spec = propose(self.federation), self.federation.spec
        inputs = {name: encode_sum(self.manifest, np.arange(1.0, 8.0)) for name in self.federation.members}
        self.made = Kept(**vars(table(self.federation, inputs, {})))
        end = run_round(self.made)
        assert isinstance(end, Closed)
        self.published, self.scope, self.blobs = end.published, end.scope, Blobs(place)

    def node(self, given: Published) -> object:
        """Read a result as a node does when its log entry is of exactly these bytes."""
        salt, data = bytes(range(32)), encode(given)
        of = {"federation": "fed", "job": "job", "round": 1, "attempt": 1, "group": 0, "time": START_OF_TIME}
        stated = Result(
            **of, manifest=self.published.manifest.hex(), contributors=self.published.contributors,  # type: ignore[arg-type]
            result=hmac_sha256(salt, data).hex(), model="00" * 32,
        )  # fmt: skip
        leaf, log = sign_statement(stated, AGGREGATOR, self.federation.aggregator), MemoryLog(
            "fed/rounds", "fed/rounds", self.federation.aggregator
        )  # fmt: skip
        log.append(leaf)
        log.publish()
        notice = ResultNotice(self.published.round, sha256(data), len(data), salt, leaf, log.prove(0))
        believing.require_result(self.spec, notice, data, decode(Published, data), [])
        return server_step.sums_of(self.spec, given, self.published.round)

    def step(self, given: Published) -> object:
        """Go on from a result without its log entry, as whoever read it before does."""
        return server_step.sums_of(self.spec, given, self.published.round)

    def pull(self, given: Published) -> object:
        """Read a result as `secagg job pull` does."""
        outcome = Outcome(self.published.round, self.published.contributors, self.blobs.put(encode(given)))
        return jobs.vector_of(self.blobs, self.spec, outcome)

    def spot(self, given: Published) -> object:
        """Check every leaf of a result as a member does; return that it holds."""
        indexes = range(spots.leaves_in(self.manifest))
        found = {
            name: spots.leaves(self.manifest, data, spots.tree_of(self.manifest, data), indexes)
            for name, data in self.made.uploads.items()
        }
        key = self.federation.aggregator.public
        spot.check(self.manifest, self.scope, key, encode(self.made.transcript), given, indexes, found)
        return True


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(tmp_path_factory.mktemp("blobs"))


@pytest.mark.parametrize("name", LIES)
def test_whoever_goes_on_from_a_sum_refuses_it_by_the_same_rule(closed: Round, name: str) -> None:
    lie, rule = LIES[name]
    for read in (closed.step, closed.pull):
        assert read(closed.published) is not None
        with pytest.raises(ProtocolViolation) as caught:
            read(lie(closed.published))
        assert caught.value.rule == rule


@pytest.mark.parametrize("name", LIES)
def test_a_node_and_a_spot_check_refuse_it_although_it_is_logged(closed: Round, name: str) -> None:
    lie, _ = LIES[name]
    for read in (closed.node, closed.spot):
        assert read(closed.published)
        with pytest.raises((VerificationFailed, ProtocolViolation)):
            read(lie(closed.published))
    with pytest.raises(VerificationFailed) as caught:
        closed.spot(lie(closed.published))
    assert caught.value.code == "E-SPOT"


READERS: dict[str, tuple[str, Mapping[str, str]]] = {
    "node": ("node", OF_THE_SUM), "pull": ("pull", OF_THE_LOG | OF_THE_SUM), "spot check": ("spot", {}),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_every_leaf_of_a_result_is_read_or_named_here(closed: Round, reader: str) -> None:
    name, free = READERS[reader]
    judge: Judge = getattr(closed, name)
    seen: set[str] = set()
    for path, lie in changes(closed.published):
        seen.add(path)
        if path in free:
            continue
        with pytest.raises(SecaggError) as caught:
            judge(lie)
        if isinstance(caught.value, ProtocolViolation):
            assert caught.value.rule in named(path), path
    assert seen == {path for path, _ in leaves(closed.published)}
    assert set(free) < seen


def named(path: str) -> set[str]:
    """Return the rules that name a leaf of a result."""
    field, _, rest = path.partition(".")
    return {"result.length" if rest.endswith("words") else f"result.{field}", "lanes.canary"}


@pytest.mark.parametrize("name", LIES)
def test_an_auditor_refuses_it_although_it_is_logged_under_its_own_digest(tmp_path: Path, name: str) -> None:
    assert audited(tmp_path, LIES[name][0])[-1] == 7


def test_an_auditor_reads_every_leaf_of_a_result(tmp_path: Path) -> None:
    assert audited(tmp_path / "honest", lambda honest: honest) == []
    data = next((tmp_path / "honest" / "results").iterdir()).read_bytes()
    honest, seen = decode(Published, data), set()
    for number, (path, told) in enumerate(changes(honest)):
        seen.add(path)
        # A smaller set is refused beside the frozen one, before anybody looks into the result.
        assert audited(tmp_path / str(number), always(told))[-1] == (6 if told.contributors < CONTRIBUTORS else 7), path
    assert seen == {path for path, _ in leaves(honest)}


CONTRIBUTORS = ("node-00", "node-01", "node-02", "node-03")


def always(told: Published) -> Lie:
    return lambda _: told


def audited(path: Path, lie: Lie) -> list[int]:
    """Let the rightful aggregator log another result under its own digest; return the checks that fail."""
    federation = write_bundle(path, rounds=1)
    data = next((path / "results").iterdir()).read_bytes()
    published, salt = decode(Published, data, len(data)), bytes(range(32))
    told = lie(published)
    BundleWriter(path).put_result(published.round, encode(told), salt)

    def change(statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Result):
            return statement
        return replace(statement, result=hmac_sha256(salt, encode(told)).hex(), contributors=told.contributors)

    rewrite(path, federation, change)
    return [line.number for line in verify(path).checks if line.status == "fail"]


@pytest.mark.parametrize("first", [True, False])
def test_no_node_goes_on_from_it_through_real_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """The aggregator's own machine publishes the group twice; every node stays before the round and says why."""
    lie = doubled(first)
    monkeypatch.setattr("secagg.protocol.round.aggregating.Published", lambda *given: lie(Published(*given)))
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=2)
        await ward.wait(12)
        await ward.stop_nodes()

    ward.play(main)
    assert ward.named("round_closed")
    for node in ward.nodes.values():
        assert node.named("result") == []
        told = [str(event["cause"]) for event in node.named("disbelieve")]
        assert told
        assert all("exactly the lane groups of its job" in cause for cause in told)
        assert [event["round"] for event in node.named("accept")] == [1]
