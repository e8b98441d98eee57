"""One contract for both ledgers of inputs, and what only the file has to bear: other nodes, other users, old copies."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.crypto.secret import Secret
from secagg.daemon.inputs import FILE, InputLedger, SqliteInputs, require
from secagg.errors import BadConfiguration, Refused, SealBroken, TryLater
from secagg.ids import RoundId
from secagg.protocol import inputs
from secagg.protocol.failing import Failed
from secagg.protocol.inputs import Counted
from secagg.protocol.manifest import Seat
from support.federation import counted_rng
from support.memory import MemoryInputs

SEATS = (Seat("a", "A", b"a" * 32), Seat("b", "B", b"b" * 32))
PHRASE = Secret(b"correct horse")
Opener = Callable[[bytes], InputLedger]


class Fault(Exception):
    """What a node raises while it holds the ledger."""


def entry(round: int = 1, manifest: bytes = b"m" * 32) -> Counted:
    return Counted(
        RoundId("fed", "job", round), manifest, "training", "task", b"s" * 32, b"i" * 32, b"t" * 32, False, 7
    )  # fmt: skip


def file_at(place: Path, writer: bytes = b"w" * 32, phrase: Secret = PHRASE) -> SqliteInputs:
    return SqliteInputs(place / FILE, phrase, writer, counted_rng(writer), cost=2**10)


@pytest.fixture(params=["sqlite", "memory"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the ledger of one institution for a writer, as often as wanted."""
    first = MemoryInputs()
    if request.param == "memory":
        return lambda writer: MemoryInputs(writer=writer, shared=first)
    tmp_path.chmod(0o700)
    return lambda writer: file_at(tmp_path, writer)


def test_what_is_counted_and_what_became_of_it_outlives_the_node(opener: Opener) -> None:
    ledger = opener(b"w" * 32)
    ledger.count(entry(1))
    ledger.count(entry(2))
    ledger.change(entry(1).round, lambda found: inputs.froze(found, SEATS))
    ledger.close()
    again = opener(b"w" * 32)
    assert [one.round.round for one in again.entries()] == [1, 2]
    found = again.find(entry(1).round)
    assert found is not None
    assert (found.state, found.seats) == ("frozen", SEATS)
    assert again.find(RoundId("fed", "job", 1, attempt=2)) is None
    assert again.change(RoundId("fed", "job", 9), inputs.lift) is None


def failure(round: int = 1) -> Failed:
    return Failed(RoundId("fed", "job", round), b"r" * 32, "sum", b"s" * 32, 0, 7)


def test_a_failure_outlives_the_node_and_is_missed(opener: Opener) -> None:
    ledger = opener(b"w" * 32)
    assert ledger.failures() == ()
    ledger.fail(failure(1))
    ledger.fail(failure(2))
    written = ledger.revision
    ledger.close()
    again = opener(b"x" * 32)
    assert again.failures() == (failure(1), failure(2)), "another node of the institution sees them"
    require(opener(b"w" * 32), written)
    assert written == 2


def test_a_ledger_from_before_there_were_failures_is_taken(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    ledger = file_at(tmp_path)
    ledger.count(entry(1))
    ledger.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("DROP TABLE failures")
    file.close()
    again = file_at(tmp_path)
    again.fail(failure())
    assert (len(again.entries()), again.failures()) == (1, (failure(),))
    again.close()


def test_nodes_of_one_institution_see_each_others_entries_and_change_only_their_own(opener: Opener) -> None:
    one, other = opener(b"1" * 32), opener(b"2" * 32)
    assert one.entries() == ()
    other.count(entry(1))
    assert len(one.entries()) == 1
    assert one.find(entry(1).round) is None
    assert one.change(entry(1).round, inputs.lift) is None
    # Two federations may have one name, and so the same rounds.
    one.count(entry(1, b"n" * 32))
    assert [found.manifest for found in other.entries()] == [b"m" * 32, b"n" * 32]
    assert one.tag("fed", b"i" * 32) == other.tag("fed", b"i" * 32) != one.tag("fed-b", b"i" * 32)


def test_an_attempt_whose_header_never_left_is_counted_once(opener: Opener) -> None:
    """A node died between the ledger's commit and the journal's: it computes the same input again."""
    ledger = opener(b"w" * 32)
    ledger.count(entry(1))
    ledger.count(entry(2))
    ledger.count(replace(entry(1), sketch=b"another"))
    assert [(found.round.round, found.sketch) for found in ledger.entries()] == [(1, b"another"), (2, b"")]


@pytest.mark.parametrize("over", [inputs.lift, inputs.left_out, lambda found: inputs.froze(found, SEATS)])
def test_an_attempt_that_went_on_is_never_counted_again(opener: Opener, over: Callable[[Counted], Counted]) -> None:
    ledger = opener(b"w" * 32)
    ledger.count(entry(1))
    ledger.change(entry(1).round, over)
    with pytest.raises(Refused) as caught:
        ledger.count(entry(1))
    assert caught.value.rule == "ledger.lifted"
    with pytest.raises(Refused):
        ledger.count(entry(1, b"n" * 32))


def test_nothing_of_a_hold_that_raises_is_kept(opener: Opener) -> None:
    ledger = opener(b"w" * 32)
    ledger.count(entry(1))
    written = ledger.revision

    def fail() -> None:
        with ledger.hold():
            ledger.count(entry(2))
            ledger.change(entry(1).round, inputs.lift)
            ledger.allow("fed", bytes(32), "job", True, 5)
            ledger.fail(failure())
            assert len(ledger.entries()) == 2
            raise Fault

    with pytest.raises(Fault):
        fail()
    assert [(found.round.round, found.state) for found in ledger.entries()] == [(1, "pending")]
    assert (ledger.allowed(), ledger.revision) == ((), written)


def test_a_person_allows_what_is_there_and_not_what_comes(opener: Opener) -> None:
    ledger = opener(b"w" * 32)
    ledger.count(entry(1))
    made = ledger.allow("fed", bytes(32), "job", True, 5)
    ledger.count(entry(2))
    assert (made.before, made.job, made.overlap, made.time) == (1, "job", True, 5)
    assert ledger.allowed() == (made,) == opener(b"2" * 32).allowed()


def test_an_old_or_lost_ledger_is_noticed(opener: Opener) -> None:
    """Also one of the same length, which has forgotten that an input was answered."""
    ledger = opener(b"w" * 32)
    ledger.count(entry(1))
    ledger.change(entry(1).round, lambda found: inputs.froze(found, SEATS))
    old = ledger.revision
    ledger.change(entry(1).round, inputs.answer)
    require(ledger, ledger.revision)
    require(ledger, old)
    with pytest.raises(BadConfiguration, match="old one") as caught:
        require(ledger, ledger.revision + 1)
    assert caught.value.code == "E-LEDGER"
    with pytest.raises(BadConfiguration):
        require(opener(b"2" * 32), 1)


def test_vectors_and_sketches_are_told_apart_by_this_ledger_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    one, two = file_at(tmp_path), file_at(other, b"v" * 32)
    assert one.keys.vector(b"values") == one.keys.vector(b"values") != two.keys.vector(b"values")
    sealed = one.keys.seal(b"sketch", counted_rng(b"x"))
    assert one.keys.open(sealed) == b"sketch"
    with pytest.raises(SealBroken):
        two.keys.open(sealed)


def test_a_full_disk_is_no_reason_to_go_on() -> None:
    ledger = MemoryInputs()
    ledger.writable = False
    with pytest.raises(TryLater) as caught:
        ledger.count(entry())
    assert caught.value.code == "E-DISK"
    assert ledger.entries() == ()


def test_another_passphrase_is_told_with_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file_at(tmp_path).close()
    with pytest.raises(BadConfiguration, match=r"\[ledger\] passphrase_file"):
        file_at(tmp_path, b"2" * 32, Secret(b"another"))


def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(BadConfiguration, match="others may write"):
        file_at(tmp_path)
    tmp_path.chmod(0o755)
    file_at(tmp_path).close()
    path = tmp_path / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(BadConfiguration, match="0640"):
        file_at(tmp_path)
    path.chmod(0o600)
    (tmp_path / "real").mkdir(mode=0o700)
    path.rename(tmp_path / "real" / FILE)
    path.symlink_to(tmp_path / "real" / FILE)
    with pytest.raises(BadConfiguration, match="symbolic link"):
        file_at(tmp_path)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / FILE).write_bytes(b"no database, but long enough to be taken for one" * 100)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(BadConfiguration, match="cannot be opened"):
        file_at(tmp_path)
    (tmp_path / FILE).unlink()
    file_at(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(BadConfiguration, match="another version"):
        file_at(tmp_path)


def test_a_node_waits_for_another_and_never_for_ever(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    one, other = file_at(tmp_path), file_at(tmp_path, b"2" * 32)
    other._db.execute("PRAGMA busy_timeout = 10")
    with one.hold():
        one.count(entry(1))
        assert other.entries() == ()
        with pytest.raises(TryLater):
            other.count(entry(2))
    other.count(entry(2))
    assert len(one.entries()) == 2
