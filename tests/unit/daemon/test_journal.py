"""One contract for both journals: what is kept is kept whole, also over a restart."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from secagg.daemon import schema
from secagg.daemon.journal import REMEMBERED, Journal, Outgoing, SqliteJournal
from secagg.daemon.schema import MIGRATIONS
from secagg.errors import BadConfiguration, TryLater
from support.memory import MemoryJournal
from support.simulation_disk import SimulatedJournal, Storage

Reopen = Callable[[Journal], Journal]
FIRST = Outgoing(b"1" * 16, "node-a", "manifest", b"header", b"body")
SECOND = Outgoing(b"2" * 16, "node-b", "manifest", b"", b"")


class Fault(Exception):
    """What a service raises."""


@pytest.fixture(params=["sqlite", "memory", "simulated"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Journal, Reopen]:
    def reopen_sqlite(journal: Journal) -> Journal:
        journal.close()
        return SqliteJournal(tmp_path / "journal.sqlite")

    def reopen_memory(journal: Journal) -> Journal:
        assert isinstance(journal, MemoryJournal)
        return journal.reopened()

    if request.param == "memory":
        return MemoryJournal(), reopen_memory
    if request.param == "simulated":
        storage = Storage()
        return SimulatedJournal(storage), lambda journal: SimulatedJournal(storage)
    return SqliteJournal(tmp_path / "journal.sqlite"), reopen_sqlite


def fill(journal: Journal) -> None:
    with journal.transaction() as transaction:
        transaction.put("round/2", b"two")
        transaction.put("round/1", b"one")
        transaction.put("rounds", b"other")
        transaction.enqueue(FIRST)
        transaction.enqueue(SECOND)
        transaction.mark_handled("node-a", b"m" * 16, 1000)


def change_and_fail(journal: Journal) -> None:
    with journal.transaction() as transaction:
        transaction.put("round/1", b"changed")
        transaction.delete("round/2")
        transaction.enqueue(Outgoing(b"3" * 16, "node-c", "manifest", b"", b""))
        transaction.mark_handled("node-b", b"n" * 16, 1000)
        transaction.withdraw("node-a")
        assert transaction.get("round/1") == b"changed"
        raise Fault


def test_what_is_kept_is_there_after_a_restart(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    again = reopen(journal)
    assert again.pending() == [FIRST, SECOND]
    assert again.outgoing(FIRST.id) == FIRST
    with again.transaction() as transaction:
        assert transaction.scan("round/") == [("round/1", b"one"), ("round/2", b"two")]
        assert transaction.get("rounds") == b"other"
        assert transaction.get("nothing") is None
        assert transaction.handled("node-a", b"m" * 16)
        assert not transaction.handled("node-b", b"m" * 16)


def test_an_error_leaves_nothing(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    with pytest.raises(Fault):
        change_and_fail(journal)
    for reopened in (False, True):
        seen = reopen(journal) if reopened else journal
        assert seen.pending() == [FIRST, SECOND]
        with seen.transaction() as transaction:
            assert transaction.scan("round/") == [("round/1", b"one"), ("round/2", b"two")]
            assert not transaction.handled("node-b", b"n" * 16)


def test_only_the_receiver_acknowledges(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    assert not journal.acknowledge(FIRST.id, "node-b")
    assert journal.pending() == [FIRST, SECOND]
    assert journal.acknowledge(FIRST.id, "node-a")
    assert not journal.acknowledge(FIRST.id, "node-a")
    again = reopen(journal)
    assert again.pending() == [SECOND]
    assert again.outgoing(FIRST.id) is None


def test_withdrawn_messages_are_gone(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    with journal.transaction() as transaction:
        assert transaction.withdraw("node-b") == [SECOND.id]
    assert reopen(journal).pending() == [FIRST]


def test_what_waits_for_a_receiver_is_known(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    again = Outgoing(b"9" * 16, FIRST.to, FIRST.kind, FIRST.header, FIRST.body)
    others = [
        Outgoing(b"9" * 16, FIRST.to, "other", FIRST.header, FIRST.body),
        Outgoing(b"9" * 16, FIRST.to, FIRST.kind, b"other", FIRST.body),
        Outgoing(b"9" * 16, FIRST.to, FIRST.kind, FIRST.header, b"other"),
    ]
    with reopen(journal).transaction() as transaction:
        assert transaction.waiting(again) == (1, True)
        assert [transaction.waiting(other) for other in others] == [(1, False)] * 3
        assert transaction.waiting(Outgoing(FIRST.id, "nobody", FIRST.kind, FIRST.header, FIRST.body)) == (0, False)
        transaction.withdraw(FIRST.to)
        assert transaction.waiting(again) == (0, False)


def test_old_handled_messages_are_forgotten(opened: tuple[Journal, Reopen]) -> None:
    journal, _ = opened
    fill(journal)
    with journal.transaction() as transaction:
        transaction.mark_handled("node-a", b"n" * 16, 2000)
    journal.forget(1500)
    with journal.transaction() as transaction:
        assert not transaction.handled("node-a", b"m" * 16)
        assert transaction.handled("node-a", b"n" * 16)


def mark(journal: Journal, sender: str, numbers: range) -> None:
    with journal.transaction() as transaction:
        for number in numbers:
            # As if the clock was set back all the time: what counts is the order of handling.
            transaction.mark_handled(sender, number.to_bytes(16), 10**6 - number)


def test_the_newest_handled_messages_of_a_sender_are_remembered(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    mark(journal, "quiet", range(3))
    for start in range(0, 6000, 500):
        mark(journal, "busy", range(start, start + 500))
    with reopen(journal).transaction() as transaction:
        assert all(transaction.handled("quiet", number.to_bytes(16)) for number in range(3))
        assert all(transaction.handled("busy", number.to_bytes(16)) for number in range(6000 - REMEMBERED, 6000))


def test_a_sender_that_floods_is_not_remembered_for_ever(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    mark(journal, "quiet", range(3))
    for start in range(0, 20_000, 500):
        mark(journal, "busy", range(start, start + 500))
    (kept,) = journal._db.execute("SELECT count(*) FROM handled WHERE sender = 'busy'").fetchone()
    assert kept <= REMEMBERED + 1_024
    with journal.transaction() as transaction:
        assert transaction.handled("quiet", (0).to_bytes(16))
        assert not transaction.handled("busy", (0).to_bytes(16))
    journal.close()


def keep(journal: Journal, key: str, value: bytes = b"") -> None:
    with journal.transaction() as transaction:
        transaction.put(key, value)


def keys(journal: Journal) -> list[str]:
    with journal.transaction() as transaction:
        return [key for key, _ in transaction.scan("")]


def test_a_group_is_kept_as_a_whole(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    with journal.group():
        keep(journal, "first")
        assert journal.acknowledge(FIRST.id, "node-a")
        assert not journal.acknowledge(FIRST.id, "node-a")
        with journal.transaction() as transaction:
            transaction.mark_handled("node-b", b"n" * 16, 1000)
        with journal.transaction() as transaction:
            assert transaction.get("first") == b""
            assert transaction.handled("node-b", b"n" * 16)
            assert transaction.withdraw("node-b") == [SECOND.id]
    keep(journal, "later")
    again = reopen(journal)
    assert again.pending() == []
    assert keys(again) == ["first", "later", "round/1", "round/2", "rounds"]


def test_what_fails_within_a_group_is_dropped_alone(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)
    with journal.group():
        keep(journal, "before")
        with pytest.raises(Fault):
            change_and_fail(journal)
        keep(journal, "after")
    for reopened in (False, True):
        seen = reopen(journal) if reopened else journal
        assert seen.pending() == [FIRST, SECOND]
        with seen.transaction() as transaction:
            assert [key for key, _ in transaction.scan("")] == ["after", "before", "round/1", "round/2", "rounds"]
            assert transaction.get("round/1") == b"one"
            assert not transaction.handled("node-b", b"n" * 16)


def test_a_group_that_fails_leaves_nothing(opened: tuple[Journal, Reopen]) -> None:
    journal, reopen = opened
    fill(journal)

    def group_that_fails() -> None:
        with journal.group():
            keep(journal, "round/1", b"changed")
            keep(journal, "round/3")
            assert journal.acknowledge(FIRST.id, "node-a")
            raise Fault

    with pytest.raises(Fault):
        group_that_fails()
    keep(journal, "afterwards")
    for reopened in (False, True):
        seen = reopen(journal) if reopened else journal
        assert seen.pending() == [FIRST, SECOND]
        with seen.transaction() as transaction:
            assert transaction.get("round/1") == b"one"
            assert [key for key, _ in transaction.scan("")] == ["afterwards", "round/1", "round/2", "rounds"]


def test_what_follows_in_a_group_that_sqlite_gave_up_is_not_kept_alone(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    fill(journal)

    def group_given_up() -> None:
        with journal.group():
            keep(journal, "before")
            # SQLite does this of its own accord when the disk is full or fails.
            journal._db.execute("ROLLBACK")
            with pytest.raises(TryLater):
                keep(journal, "after")
            with pytest.raises(TryLater):
                journal.acknowledge(FIRST.id, "node-a")

    with pytest.raises(TryLater):
        group_given_up()
    assert keys(journal) == ["round/1", "round/2", "rounds"]
    assert journal.pending() == [FIRST, SECOND]
    keep(journal, "afterwards")
    assert "afterwards" in keys(journal)
    journal.close()


def test_a_file_that_may_not_grow_drops_the_turn_or_the_group_and_never_half(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages + 4}").fetchall()

    def put_too_much() -> None:
        with journal.transaction() as transaction:
            transaction.put("half", b"")
            transaction.put("large", bytes(2**20))

    with suppress(TryLater), journal.group():
        keep(journal, "small")
        with pytest.raises(TryLater, match="full"):
            put_too_much()
        assert not journal._db.in_transaction or keys(journal) == ["small"]
    assert keys(journal) in ([], ["small"])
    keep(journal, "afterwards")
    journal.close()


def test_a_second_daemon_is_kept_out(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "journal.sqlite")
    with pytest.raises(BadConfiguration, match="no other daemon") as caught:
        SqliteJournal(tmp_path / "journal.sqlite")
    assert caught.value.code == "E-JOURNAL"
    first.close()
    SqliteJournal(tmp_path / "journal.sqlite").close()


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    SqliteJournal(tmp_path / "journal.sqlite").close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute(f"PRAGMA user_version = {schema.FIRST + len(MIGRATIONS)}")
    db.close()
    with pytest.raises(BadConfiguration, match="newer version"):
        SqliteJournal(tmp_path / "journal.sqlite")


def test_every_commit_is_on_disk(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    read = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    journal.close()
    assert read == ["wal", 2]


OLDER = MIGRATIONS
NEWER = (*OLDER, ("CREATE TABLE notes (text TEXT)", "INSERT INTO notes VALUES ('migrated')"))


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_an_older_journal_is_brought_up_to_date_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    old = SqliteJournal(path, OLDER)
    fill(old)
    old.close()
    new = SqliteJournal(path, NEWER)
    with new.transaction() as transaction:
        assert transaction.get("round/1") == b"one"
    assert new.pending() == [FIRST, SECOND]
    new.close()
    assert version_of(path) == schema.FIRST - 1 + len(NEWER)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT text FROM notes").fetchall() == [("migrated",)]
    SqliteJournal(path, NEWER).close()
    with pytest.raises(BadConfiguration, match="newer version"):
        SqliteJournal(path, OLDER)


@pytest.mark.parametrize("version", range(1, schema.FIRST))
def test_what_0_1_wrote_is_refused_and_left_as_it_is(tmp_path: Path, version: int) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        db.execute("INSERT INTO entries VALUES ('round', x'00')")
        db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(BadConfiguration, match=r"secagg 0\.1 .*docs/upgrading\.md") as caught:
        SqliteJournal(path)
    assert caught.value.code == "E-JOURNAL"
    assert version_of(path) == version
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT key FROM entries").fetchall() == [("round",)]


def test_a_migration_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path, OLDER).close()
    with pytest.raises(BadConfiguration, match="cannot be opened"):
        SqliteJournal(path, (*OLDER, ("CREATE TABLE notes (text TEXT)", "no SQL at all")))
    assert version_of(path) == schema.FIRST - 1 + len(OLDER)
    SqliteJournal(path, NEWER).close()
    assert version_of(path) == schema.FIRST - 1 + len(NEWER)
