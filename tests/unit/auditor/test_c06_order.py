"""Check 6: the round a statement names is its manifest's, and K_min is at least the formula's."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.bundle import Bundle
from secagg.auditor.checks.c06_order import Rounds
from secagg.auditor.evidence import Entry
from secagg.auditor.verify import verify
from secagg.ids import EVERYBODY, RoundId
from secagg.log.bundle import BundleWriter
from secagg.log.durable import read_entries
from secagg.log.statements import AnyStatement, Contributors, ManifestLogged, OfRound, Opening, parse_statement
from secagg.protocol.masks.messages import Agreement
from secagg.protocol.masks.verify import quorum
from secagg.rehearsal.federation import found, propose
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.bundles import AGGREGATOR, append, rewrite, write_bundle
from support.federation import counted_rng, job, names_of


def first(path: Path, kind: type[OfRound]) -> OfRound:
    leaves, _ = read_entries(path / "rounds")
    return next(s for s, *_ in map(parse_statement, leaves) if isinstance(s, kind))


@pytest.mark.parametrize("field", ["round", "attempt", "group"])
def test_a_second_opening_cannot_hide_behind_another_number(field: str, tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    hidden = replace(first(tmp_path, Opening), **{field: 99})
    append(tmp_path, "rounds", hidden, AGGREGATOR, federation.aggregator, federation.aggregator)
    broken = [line for line in verify(tmp_path).checks if line.status == "fail"]
    assert [line.number for line in broken] == [6]
    assert "its manifest is about round job.1.1.0" in broken[0].detail


def test_a_manifest_is_logged_under_its_own_round(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    moved = replace(first(tmp_path, ManifestLogged), job="another")
    append(tmp_path, "rounds", moved, AGGREGATOR, federation.aggregator, federation.aggregator)
    assert 6 in [line.number for line in verify(tmp_path).checks if line.status == "fail"]


def test_a_manifest_cannot_lower_what_it_needs() -> None:
    names = names_of(5)
    honest = propose(found(names, job(names), counted_rng(b"lower"), colluders=1))
    lying = replace(honest, threshold=1, k_min=1, colluders=0)
    assert (honest.threshold, honest.k_min, honest.needed) == (4, 4, 4)
    stated = {"federation": "fed", "time": 1, "job": "job", "round": 1, "attempt": 1, "group": 0, "manifest": "00"}
    entry = Entry("rounds", 0, Contributors(**stated, u1="", u2="", u3="", members=()), AGGREGATOR, b"")  # type: ignore[arg-type]
    assert Rounds({1: 1}).least(entry, lying) == 4
    assert Rounds({}).least(entry, lying) == 3
    assert quorum(lying) == 3
    assert quorum(replace(lying, threshold=5)) == 5


Agreements = tuple[Signed, ...]


def failures_with(path: Path, change: Callable[[Agreements, Opening], Agreements]) -> list[tuple[int, str]]:
    """Return what the audit says when the agreements that opened round 2 (without node-02) are others."""
    federation = write_bundle(path)

    def tell(statement: AnyStatement) -> AnyStatement:
        if not isinstance(statement, Opening) or statement.round != 2:
            return statement
        kept = decode(Agreements, Bundle(path).file(statement.signatures), LIMIT_BULK)
        changed = change(kept, statement)
        return replace(statement, signatures=BundleWriter(path).put_file(encode(changed)))

    rewrite(path, federation, tell)
    return [(line.number, line.detail.rpartition("): ")[2]) for line in verify(path).checks if line.status != "pass"]


def signed_by(path: Path, name: str, opening: Opening, u2: bytes = b"", u3: bytes = b"") -> Signed:
    """Return a member's signature on the sets of round 2, or on others."""
    federation = write_bundle(path)
    where = Scope(round=RoundId("fed", "job", 2), manifest=bytes.fromhex(opening.manifest))
    leaves, _ = read_entries(path / "rounds")
    frozen = next(s for s, *_ in map(parse_statement, leaves) if isinstance(s, Contributors) and s.round == 2)
    body = encode(Agreement(u2 or bytes.fromhex(frozen.u2), u3 or bytes.fromhex(frozen.u3)))
    return sign(federation.members[name], "ConsistencyCheck", where, name, EVERYBODY, body)


def test_the_agreements_as_they_are_pass(tmp_path: Path) -> None:
    assert failures_with(tmp_path, lambda kept, _: kept) == []


def test_fewer_agreements_than_the_threshold_fail_in_this_check_alone(tmp_path: Path) -> None:
    broken = failures_with(tmp_path, lambda kept, _: kept[:2])
    assert broken == [(6, "2 agreements are fewer than the threshold 3.")]


def test_one_member_does_not_agree_twice(tmp_path: Path) -> None:
    broken = failures_with(tmp_path, lambda kept, _: (*kept[:2], kept[1]))
    assert broken == [(6, "2 agreements are fewer than the threshold 3.")]


def test_who_is_not_in_u3_does_not_agree(tmp_path: Path) -> None:
    broken = failures_with(
        tmp_path / "a", lambda kept, opening: (*kept[:2], signed_by(tmp_path / "b", "node-02", opening))
    )  # fmt: skip
    assert broken == [(6, "node-02 signs but is not in U3.")]


@pytest.mark.parametrize("other", [{"u2": bytes(32)}, {"u3": bytes(32)}])
def test_an_agreement_is_about_exactly_these_sets(other: dict[str, bytes], tmp_path: Path) -> None:
    broken = failures_with(
        tmp_path / "a", lambda kept, opening: (*kept[1:], signed_by(tmp_path / "b", "node-00", opening, **other))
    )  # fmt: skip
    assert broken == [(6, "node-00 signed other sets.")]


def test_an_agreement_of_another_round_or_with_a_broken_signature_is_none(tmp_path: Path) -> None:
    def forge(kept: Agreements, _: Opening) -> Agreements:
        return (*kept[:-1], replace(kept[-1], signature=bytes(64)))

    ((number, reason),) = failures_with(tmp_path, forge)
    assert number == 6
    assert "signature" in reason
