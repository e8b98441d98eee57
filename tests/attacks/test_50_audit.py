"""Rows 50 and 51 in the log: one input over two sets, and attempts that ended twice. Every lie fails in check 6 alone.

The members of these bundles forgot what they gave before, or their trustees did: the auditor needs nobody's memory.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

import pytest
from msgspec.structs import replace

from secagg.auditor.checks.c06_order import Rounds
from secagg.auditor.evidence import Entry, Evidence, Proposal, Violation
from secagg.auditor.inputs import Frozen, Inputs
from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.ids import EVERYBODY, NO_DIGEST, RoundId
from secagg.log.bundle import BundleWriter
from secagg.log.durable import read_entries
from secagg.log.log import Log
from secagg.log.statements import (
    Aborted,
    Contributor,
    Contributors,
    Fault,
    ManifestLogged,
    Opening,
    OverlapAllowed,
    Result,
    Statement,
    parse_statement,
    sign_statement,
)
from secagg.protocol.binding import Bound, Only, seats_digest
from secagg.protocol.inputs import Counted, Given, Naming, rehearsed
from secagg.protocol.lanes import upload_bytes
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.masks import verify as masks
from secagg.protocol.masks.faults import Proof, TwoLists
from secagg.protocol.masks.messages import MaskedInput, ShareList
from secagg.protocol.paillier import verify as paillier
from secagg.protocol.round import stating
from secagg.rehearsal.entrusted import propose as entrusted_propose
from secagg.rehearsal.federation import START_OF_TIME, Federation, propose
from secagg.wire.codec import decode, encode
from secagg.wire.signed import Scope, sign
from support.audited_inputs import ONE, allow, naming, outcome, summed
from support.bundles import AGGREGATOR, Play, append, insert, write_bundle, write_plays
from support.entrusted import TRUSTEES, make
from support.federation import make as federation_of
from support.federation import names_of

S = TypeVar("S", bound=Statement)
Before = Callable[[Path, Federation, Log], None]

GONE = {"node-02": "MaskedInput"}
FOUR = tuple(names_of(4))


def test_one_input_over_one_set_passes_however_often(tmp_path: Path) -> None:
    write_plays(tmp_path, [Play(1, given=ONE), Play(2, given=ONE), Play(3, given=ONE)])
    assert outcome(tmp_path) == []


def test_another_input_may_be_summed_over_another_set(tmp_path: Path) -> None:
    write_plays(tmp_path, [Play(1, given=ONE), Play(2, drops=GONE, given=naming(of="the next update"))])
    assert outcome(tmp_path) == []


def test_one_input_over_two_sets(tmp_path: Path) -> None:
    write_plays(tmp_path, [Play(1, given=ONE), Play(2, drops=GONE, given=ONE)])
    assert outcome(tmp_path) == summed("node-00", "job.1.1.0")


def test_one_member_is_enough(tmp_path: Path) -> None:
    """The other members' inputs are new, node-03's is not."""

    def given(manifest: Manifest, scope: Scope, name: str, past: Sequence[Counted] = ()) -> Given:
        return ONE(manifest, scope, name, past) if name == "node-03" else rehearsed(manifest, scope, name, past)

    write_plays(tmp_path, [Play(1, drops=GONE, given=given), Play(2, given=given)])
    assert outcome(tmp_path) == summed("node-03", "job.1.1.0")


def test_everybody_in_either_set_allowed_it_before_the_freeze(tmp_path: Path) -> None:
    second = Play(2, drops=GONE, given=ONE, before=allow(FOUR))
    write_plays(tmp_path / "all", [Play(1, given=ONE), second])
    assert outcome(tmp_path / "all") == []
    for name in ("node-00", "node-02"):
        said = allow(tuple(other for other in FOUR if other != name))
        write_plays(tmp_path / name, [Play(1, given=ONE), replace_play(second, said)])
        assert outcome(tmp_path / name) == summed("node-00", "job.1.1.0")
    write_plays(tmp_path / "other", [Play(1, given=ONE), replace_play(second, allow(FOUR, "another"))])
    assert outcome(tmp_path / "other") == summed("node-00", "job.1.1.0")


def replace_play(play: Play, before: Callable[[Federation, Log], None]) -> Play:
    return Play(play.number, play.attempt, play.drops, play.given, before)


def test_what_was_allowed_afterwards_was_not_allowed(tmp_path: Path) -> None:
    federation = write_plays(tmp_path, [Play(1, given=ONE), Play(2, drops=GONE, given=ONE)])
    for name in FOUR:
        said = OverlapAllowed(federation="fed", time=START_OF_TIME, member=name, job="job")
        insert(tmp_path, federation, Opening, said, name)
    assert outcome(tmp_path) == summed("node-00", "job.1.1.0")


def test_who_was_enrolled_anew_is_asked_for_what_its_earlier_key_gave() -> None:
    """node-03 stood in the earlier set under another key; its organisation has a seat in the roster of the second."""
    manifest, entry = propose(federation_of(4), 1), Entry("rounds", 0, SETTLED, AGGREGATOR, b"")
    logged = Proposal(entry, cast(ManifestLogged, None), manifest)
    *three, last = manifest.members
    bounds = {seat.name: Bound(sha256(seat.name.encode()), Only()) for seat in manifest.members}
    for roster, allowed, fits in (
        (manifest.members, FOUR[:3], False), (manifest.members, FOUR, True), (tuple(three), FOUR[:3], True),
    ):  # fmt: skip
        inputs = Inputs(cast(Evidence, None))
        before = (*three, replace(last, key=bytes(32)))
        inputs.sets["before"] = Frozen(logged, before, bounds, roster, frozenset(), frozenset())
        inputs.sets["now"] = Frozen(logged, tuple(three), bounds, roster, frozenset(allowed), frozenset())
        inputs.opened(entry, "before")
        if fits:
            inputs.opened(entry, "now")
        else:
            with pytest.raises(Violation, match="the input of node-00 was summed over another set"):
                inputs.opened(entry, "now")


# Frozen and never opened ---------------------------------------------------------------------------------------------


def freeze(
    path: Path, federation: Federation, headers: Mapping[str, Naming], ended: str = "", forged: str = "",
    longer: Mapping[str, int] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Add to a bundle an attempt whose members say what they like, frozen by the aggregator; `ended` in which step.

    The header of `forged` is signed by the aggregator; `longer` says by how many bytes the upload is another one than
    the manifest's. Nothing else of it is there: no member that follows the rules takes part in it.
    """
    manifest, writer = propose(federation, 2), BundleWriter(path)
    body = encode(manifest)
    scope = Scope(manifest.round, digest(body))
    signed = sign(federation.aggregator, "Manifest", Scope(manifest.round, NO_DIGEST), AGGREGATOR, EVERYBODY, body)
    said = []
    for name, given in headers.items():
        bound = given(manifest, scope, name, ()).bound
        length = upload_bytes(manifest) + longer.get(name, 0)
        header = MaskedInput(upload=sha256(name.encode()), length=length, u2=NO_DIGEST, reported=(), bound=bound)
        key = federation.aggregator if name == forged else federation.members[name]
        said.append(sign(key, "MaskedInput", scope, name, EVERYBODY, encode(header)))
    for data in (encode(signed), encode(tuple(said)), *map(encode, said)):
        writer.put_file(data)
    members = tuple(
        Contributor(one.sender, sha256(encode(one)).hex(), sha256(one.sender.encode()).hex()) for one in said
    )
    where = stating.where(scope, START_OF_TIME)
    frozen = Contributors(
        **where, manifest=scope.manifest.hex(), u1="", u2="", u3=sha256(encode(tuple(said))).hex(), members=members
    )
    logged = stating.manifest_logged(scope, signed, federation.version, START_OF_TIME)
    end = (stating.aborted(scope, ended, "a test", (), START_OF_TIME),) if ended else ()
    for statement in (logged, frozen, *end):
        append(path, "rounds", statement, AGGREGATOR, federation.aggregator, federation.aggregator)


def outcome_with(
    path: Path, headers: Mapping[str, Naming], allowed: tuple[str, ...] = (), ended: str = ""
) -> list[tuple[int, str]]:
    """Audit a bundle of one honest round and of such an attempt, after these members' words."""
    federation = write_bundle(path, rounds=1)
    for name in allowed:
        said = OverlapAllowed(federation="fed", time=START_OF_TIME, member=name, job="job")
        append(path, "rounds", said, name, federation.members[name], federation.aggregator)
    freeze(path, federation, headers, ended)
    return outcome(path)


ENDS = ("", "ConsistencyCheck", "Unmask")
"""How an attempt goes on once its set is frozen: nobody knows, it ends before its opening, or in its last step."""


@pytest.mark.parametrize("ended", ENDS)
def test_a_set_that_does_not_fit_a_header_is_not_frozen(tmp_path: Path, ended: str) -> None:
    """An aggregator that follows the rules leaves that member out, so what became of the attempt is no excuse."""
    three = FOUR[:3]
    good: dict[str, Naming] = dict.fromkeys(three, rehearsed)
    assert outcome_with(tmp_path / "good", good, ended=ended) == []
    refused = [(6, "The input of node-01 is bound to another set of members than the frozen one.")]
    for kind in (Only("same", sha256(b"another")), Only("nothing")):
        assert outcome_with(tmp_path / kind.kind, {**good, "node-01": naming(kind)}, ended=ended) == refused
        # No person's word lets an input be summed that its own header binds.
        assert outcome_with(tmp_path / f"all-{kind.kind}", {**good, "node-01": naming(kind)}, FOUR, ended) == refused

    def same(manifest: Manifest, scope: Scope, name: str, past: Sequence[Counted] = ()) -> Given:
        mine = seats_digest(seat for seat in manifest.members if seat.name in three)
        return naming(Only("same", mine))(manifest, scope, name, past)

    assert outcome_with(tmp_path / "mine", {**good, "node-01": same}, ended=ended) == []


def test_a_header_that_nobody_signed_names_no_input(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    freeze(tmp_path, federation, dict.fromkeys(FOUR, rehearsed), forged="node-01")
    ((number, why),) = outcome(tmp_path)
    assert number == 6
    assert "signature" in why


@pytest.mark.parametrize("longer", [-1, 1])
def test_a_header_of_another_length_than_the_manifests_is_not_frozen(tmp_path: Path, longer: int) -> None:
    """Also of an attempt that was never opened, and in a bundle that has no uploads of it."""
    federation = write_bundle(tmp_path, rounds=1)
    length = upload_bytes(propose(federation, 2))
    freeze(tmp_path, federation, dict.fromkeys(FOUR, rehearsed), "ConsistencyCheck", longer={"node-01": longer})
    why = f"node-01 signs an upload of {length + longer} bytes, and the manifest gives it {length}."
    assert outcome(tmp_path) == [(6, why)]


@pytest.mark.parametrize("ended", ENDS)
def test_an_excused_input_needs_the_word_of_everybody_in_the_set(tmp_path: Path, ended: str) -> None:
    """The set before is in no log that this auditor has: it was another federation's, or another aggregator's."""
    elsewhere: dict[str, Naming] = dict.fromkeys(FOUR, naming(Only("overlap", sha256(b"another set"))))
    assert outcome_with(tmp_path / "all", elsewhere, FOUR, ended) == []
    for name in FOUR:
        without = tuple(other for other in FOUR if other != name)
        assert outcome_with(tmp_path / name, elsewhere, without, ended) == [
            (6, f"the input of node-00 was summed over another set, which {name} did not allow.")
        ]


# Attempts that end ---------------------------------------------------------------------------------------------------


def silent(step: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, step)


def test_an_attempt_that_ended_before_its_opening_binds_nothing(tmp_path: Path) -> None:
    ended = Play(1, drops=silent("ConsistencyCheck", "node-00", "node-01"), given=ONE)
    write_plays(tmp_path, [ended, Play(1, 2, GONE, ONE)])
    assert outcome(tmp_path) == []


def test_a_round_that_was_lost_in_its_last_step_binds_who_answered(tmp_path: Path) -> None:
    """node-02 answered alone in the one, with node-03 in the other; then the set changes by node-02."""
    silence = ("node-00", "node-01", "node-03")
    write_plays(tmp_path / "alone", [Play(1, drops=silent("Unmask", *silence), given=ONE), Play(2, 1, GONE, ONE)])
    assert outcome(tmp_path / "alone") == []
    lost = Play(1, drops=silent("Unmask", *silence[:2]), given=ONE)
    write_plays(tmp_path / "two", [lost, Play(2, 1, GONE, ONE)])
    assert outcome(tmp_path / "two") == summed("node-03", "job.1.1.0")


def test_which_inputs_count_when_trustees_lost_the_round() -> None:
    """5, 1, 4: three trustees that say it is over let members take it out of their ledgers; two do not."""
    manifest = entrusted_propose(make(4, trustees=5, threshold=4, colluders=1))
    assert paillier.answered(manifest, FOUR, TRUSTEES[:2]) == FOUR
    assert paillier.answered(manifest, FOUR, (*TRUSTEES[:2], "node-03")) == FOUR
    assert paillier.answered(manifest, FOUR, TRUSTEES[:3]) == ()
    assert masks.answered(manifest, FOUR, ("node-03", "node-01")) == ("node-00", "node-02")


def first(path: Path, kind: type[S]) -> S:
    """Return the first statement of a type."""
    leaves, _ = read_entries(path / "rounds")
    return next(found for found, *_ in map(parse_statement, leaves) if isinstance(found, kind))


def ended(path: Path) -> Aborted:
    """Return the aggregator's word that the first attempt ended without a result."""
    frozen = first(path, Contributors)
    scope = Scope(RoundId("fed", "job", 1), bytes.fromhex(frozen.manifest))
    return stating.aborted(scope, "ConsistencyCheck", "a test", (), START_OF_TIME)


AGAIN = "its attempt is stated to have ended without a result before."
RESULTLESS = "an attempt that was opened is stated to have ended without a result."


@pytest.mark.parametrize(
    ("before", "reason"), [(Contributors, AGAIN), (Opening, AGAIN), (Result, RESULTLESS), (None, RESULTLESS)]
)
def test_an_attempt_that_ended_is_not_opened_and_one_that_was_opened_has_a_result(
    tmp_path: Path, before: type[Statement] | None, reason: str
) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    if before is None:
        append(tmp_path, "rounds", ended(tmp_path), AGGREGATOR, federation.aggregator, federation.aggregator)
    else:
        insert(tmp_path, federation, before, ended(tmp_path))
    assert (6, reason) in outcome(tmp_path)
    if before is not Contributors:
        assert len(outcome(tmp_path)) == 1


def test_an_end_is_of_an_attempt_that_was_proposed(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    stray = replace(ended(tmp_path), manifest="11" * 32)
    append(tmp_path, "rounds", stray, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(tmp_path) == [(6, "its manifest was not logged before it.")]


def test_an_attempt_has_one_set_and_one_manifest(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path / "set", rounds=1)
    frozen = first(tmp_path / "set", Contributors)
    append(tmp_path / "set", "rounds", frozen, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert outcome(tmp_path / "set") == [(6, "a second contributor set for one manifest.")]
    federation = write_bundle(tmp_path / "manifest", rounds=1)
    freeze(tmp_path / "manifest", federation, dict.fromkeys(FOUR, rehearsed))
    other = dataclasses.replace(federation, opening=SealingKey.from_private_bytes(bytes(range(96))))
    freeze(tmp_path / "manifest", other, dict.fromkeys(FOUR, rehearsed))
    assert outcome(tmp_path / "manifest") == [(6, "a second manifest for one attempt.")]


@pytest.mark.parametrize("field", ["attempt", "group"])
def test_a_round_is_opened_once_over_all_attempts_and_groups(field: str) -> None:
    where = {"federation": "fed", "time": 1, "job": "job", "round": 1, "attempt": 1, "group": 0}
    rounds, entry = Rounds({}), Entry("rounds", 0, SETTLED, AGGREGATOR, b"")
    for manifest in ("00", "11"):
        rounds.frozen[manifest] = SETTLED
    opened = Opening(**where, manifest="00", answers=(), signatures="", witnesses="")  # type: ignore[arg-type]
    rounds.opening(entry, opened)
    with pytest.raises(Violation, match="a second opening of one round"):
        rounds.opening(entry, replace(opened, manifest="11", **{field: 2}))


SETTLED = Contributors(
    federation="fed", time=1, job="job", round=1, attempt=1, group=0, manifest="00", u1="", u2="", u3="", members=()
)


# Members whose fault is proven ---------------------------------------------------------------------------------------


def proven(evidence: Callable[[Federation, bytes, Scope], bytes], member: str = "node-02") -> Before:
    """Return what logs a fault of a member in round 1, with evidence."""

    def before(path: Path, federation: Federation, log: Log) -> None:
        body = encode(propose(federation, 1))
        scope = Scope(RoundId("fed", "job", 1), digest(body))
        name = BundleWriter(path).put_file(evidence(federation, body, scope))
        where = stating.where(scope, START_OF_TIME)
        fault = Fault(**where, manifest=scope.manifest.hex(), member=member, kind="two-lists", evidence=name)
        log.append(sign_statement(fault, AGGREGATOR, federation.aggregator))

    return before


def two_lists(federation: Federation, body: bytes, scope: Scope) -> bytes:
    """Prove that node-02 signed two lists of shares for one attempt."""
    first, second = (
        sign(federation.members["node-02"], "ShareKeys", scope, "node-02", EVERYBODY, encode(said))
        for said in (ShareList(NO_DIGEST, NO_DIGEST, NO_DIGEST), ShareList(NO_DIGEST, NO_DIGEST, b"\1" * 32))
    )
    return encode(Proof(body, TwoLists(first, second)))


def one_list(federation: Federation, body: bytes, scope: Scope) -> bytes:
    """Prove nothing: one list, twice."""
    proof = decode(Proof, two_lists(federation, body, scope))
    assert isinstance(proof.fault, TwoLists)
    return encode(replace(proof, fault=TwoLists(proof.fault.first, proof.fault.first)))


def played(path: Path, logged: Before) -> list[tuple[int, str]]:
    """Audit two rounds over one input, the second without node-02, of whom something is logged between them."""
    path.mkdir()
    told = partial(logged, path)
    write_plays(path, [Play(1, given=ONE), Play(2, 1, {"node-02": "AdvertiseKeys"}, ONE, told)])
    return outcome(path)


def test_without_members_whose_fault_is_proven_the_others_are_summed_again(tmp_path: Path) -> None:
    assert played(tmp_path / "proven", proven(two_lists)) == []
    ((number, why),) = played(tmp_path / "nothing", proven(one_list))
    assert (number, why.partition(":")[0]) == (6, "A proof of a fault proves nothing")
    ((number, why),) = played(tmp_path / "other", proven(two_lists, "node-01"))
    assert (number, why) == (6, "its proof is of another fault, or of another member than node-01.")
