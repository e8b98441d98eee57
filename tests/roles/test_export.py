"""What auditors get: a whole bundle at every moment, in two halves if need be, and nothing that is not for them."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyserver.directory import LOG, ROSTERS
from secagg.auditor import export as exporting
from secagg.auditor.verify import verify
from secagg.cli import main
from secagg.log.durable import TileLog, read_entries
from support.aggregating import Hall
from support.exporting import hall_of, keyserver_state, one_sum
from support.keyservers import Office, authority_of

TILE = r"tile/(entries|\d+)/(x\d{3}/)*\d{3}(\.p/\d{1,3})?"
KNOWN = re.compile(rf"root\.txt|salts\.json|(files|results)/[0-9a-f]{{64}}|(directory|rounds)/(checkpoint|{TILE})")


def run(output: Path, *half: str, place: Path) -> Result:
    """Export the named halves of the states in `place`."""
    given = [part for name in half for part in (f"--{name}", str(place / name))]
    return CliRunner().invoke(main, ["audit", "export", *given, "-o", str(output), "--format", "json"])


def names(bundle: Path) -> set[str]:
    return {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}


@pytest.fixture(name="place")
def played(tmp_path: Path) -> Path:
    """Both state directories after one round."""
    (tmp_path / "keyserver").mkdir()
    hall_of(keyserver_state(tmp_path / "keyserver"), tmp_path / "aggregator").play(one_sum)
    return tmp_path


def test_a_bundle_of_both_passes_the_audit_and_holds_known_names_only(place: Path) -> None:
    for secret in ("keys.bin", "journal.sqlite", "audit/stray", "audit/files/" + "00" * 32):
        (place / "aggregator" / secret).write_bytes(b"secret")
    done = run(place / "b", "keyserver", "aggregator", place=place)
    assert (done.exit_code, done.stderr) == (0, "")
    rounds = len(read_entries(place / "b" / "rounds")[0])
    assert json.loads(done.output) == {"directory": 2, "rounds": rounds, "missing": []}
    assert (verify(place / "b").verdict, verify(place / "b").passed) == ("PASS", 6)
    assert [name for name in names(place / "b") if not KNOWN.fullmatch(name)] == []
    assert not (place / "b" / "files" / ("00" * 32)).exists()
    assert (place / "b").stat().st_mode & 0o777 == 0o700


def test_at_every_checkpoint_a_bundle_is_whole(tmp_path: Path) -> None:
    verdicts: list[str] = []

    def at_this_moment() -> None:
        bundle = tmp_path / f"b{len(verdicts)}"
        done = run(bundle, "keyserver", "aggregator", place=tmp_path)
        verdicts.append(done.stderr or verify(bundle).verdict)

    (tmp_path / "keyserver").mkdir()
    hall_of(keyserver_state(tmp_path / "keyserver"), tmp_path / "aggregator", at_this_moment).play(one_sum)
    assert len(verdicts) >= 4  # job, manifest, contributors, opening and result
    assert set(verdicts) == {"PASS"}


def test_two_operators_fill_one_bundle(place: Path) -> None:
    first = run(place / "b", "aggregator", place=place)
    assert json.loads(first.output)["directory"] == 0
    assert verify(place / "b").verdict == "INCOMPLETE"
    assert run(place / "b", "keyserver", place=place).exit_code == 0
    assert verify(place / "b").verdict == "PASS"
    run(place / "both", "keyserver", "aggregator", place=place)
    assert names(place / "b") == names(place / "both")


def test_a_bundle_grows_with_its_logs(tmp_path: Path) -> None:
    async def and_another(stage: Hall) -> None:
        await one_sum(stage)
        assert run(tmp_path / "b", "keyserver", "aggregator", place=tmp_path).exit_code == 0
        stage.submit(name="again", task="other")
        await stage.settle()
        await stage.gather()

    (tmp_path / "keyserver").mkdir()
    hall_of(keyserver_state(tmp_path / "keyserver"), tmp_path / "aggregator").play(and_another)
    assert run(tmp_path / "b", "keyserver", "aggregator", place=tmp_path).exit_code == 0
    report = verify(tmp_path / "b")
    assert (report.verdict, report.checks[-1].detail) == ("PASS", "2 sums recomputed")


def test_a_real_key_server_is_exported_with_every_roster(tmp_path: Path) -> None:
    authority = authority_of()
    log = TileLog(tmp_path / "keyserver" / "log", authority.origin, authority.origin, authority.online)
    (tmp_path / "keyserver" / "rosters").mkdir()

    async def two_members(office: Office) -> None:
        await office.enrol("charite")
        await office.enrol("mayo")

    Office(tmp_path / "keyserver" / "rosters", log=log).play(two_members)
    assert run(tmp_path / "b", "keyserver", place=tmp_path).exit_code == 0
    federation, root = (tmp_path / "b" / "root.txt").read_text().splitlines()
    assert (federation, root) == ("fed", authority.root_fingerprint)
    kept = {path.name for path in (tmp_path / "keyserver" / "rosters").iterdir()}
    assert {path.name for path in (tmp_path / "b" / "files").iterdir()} == kept
    assert len(kept) == 3


def test_what_is_in_the_way_stays(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full" / "thesis.txt").write_text("mine")
    (place / "file").write_text("mine")
    for output in ("full", "file"):
        assert run(place / output, "keyserver", place=place).exit_code == 64
    assert names(place / "full") == {"thesis.txt"}
    assert (place / "file").read_text() == "mine"


def test_another_federation_is_refused_and_changes_nothing(place: Path) -> None:
    run(place / "b", "aggregator", place=place)
    (place / "b" / "root.txt").write_text("fed\nsha256:00\n")
    before = names(place / "b")
    done = run(place / "b", "keyserver", place=place)
    assert done.exit_code == 64
    assert "different federations" in done.stderr
    assert names(place / "b") == before


def replace_directory(place: Path, *order: int) -> None:
    """Let the key server's log hold these entries of its old one, signed with the same keys."""
    (place / "other").mkdir()
    federation = keyserver_state(place / "other")
    leaves, _ = read_entries(place / "keyserver" / "log")
    shutil.rmtree(place / "keyserver" / "log")
    log = TileLog(place / "keyserver" / "log", "fed/directory", "fed/directory", federation.online)
    for index in order:
        log.append(leaves[index])
    log.publish()


@pytest.mark.parametrize("order", [(0, 0, 1), (0,)])
def test_a_forked_or_shorter_log_is_refused(order: tuple[int, ...], place: Path) -> None:
    run(place / "b", "keyserver", "aggregator", place=place)
    note = (place / "b" / "directory" / "checkpoint").read_bytes()
    replace_directory(place, *order)
    done = run(place / "b", "keyserver", place=place)
    assert done.exit_code == 65
    assert "does not begin with the 2 entries" in done.stderr
    assert (place / "b" / "directory" / "checkpoint").read_bytes() == note


def test_what_is_not_kept_any_more_is_named_and_the_bundle_is_incomplete(place: Path) -> None:
    largest = max((place / "aggregator" / "audit" / "files").iterdir(), key=lambda path: path.stat().st_size)
    result = next((place / "aggregator" / "audit" / "results").iterdir())
    for gone in (largest, result):
        gone.unlink()
    done = run(place / "b", "keyserver", "aggregator", place=place)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["missing"] == [largest.name, result.name]
    assert f"not kept any more: {largest.name}" in done.stderr
    assert verify(place / "b").verdict == "INCOMPLETE"


@pytest.mark.parametrize("part", ["files", "results"])
def test_a_damaged_file_is_not_exported(part: str, place: Path) -> None:
    damaged = max((place / "aggregator" / "audit" / part).iterdir(), key=lambda path: path.stat().st_size)
    damaged.write_bytes(b"something else")
    done = run(place / "b", "aggregator", place=place)
    assert done.exit_code == 65
    assert damaged.name in done.stderr
    assert damaged.name not in {path.name for path in (place / "b" / part).iterdir()}


def test_directories_that_are_no_states_are_named(place: Path) -> None:
    assert run(place / "b", place=place).exit_code == 64
    (place / "x").mkdir()
    for half, file in (("keyserver", "keyserver.toml"), ("aggregator", "aggregator.toml")):
        done = CliRunner().invoke(main, ["audit", "export", f"--{half}", str(place / "x"), "-o", str(place / "b")])
        assert done.exit_code == 64
        assert file in done.stderr
    assert not (place / "b").exists()


def test_the_layout_is_the_one_the_roles_keep() -> None:
    assert (exporting.DIRECTORY_LOG, exporting.ROSTERS) == (LOG, ROSTERS)


def test_what_a_statement_names_is_on_disk_before_the_statement_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut keeps what was flushed: the bytes of a file by fsync of it, its name by fsync of its directory."""
    audit = tmp_path / "aggregator" / "audit"
    flushed: set[int] = set()
    listed: dict[int, set[str]] = {}
    lost: list[str] = []
    flush = os.fsync

    def watched(handle: int) -> None:
        flush(handle)
        path = Path(f"/proc/self/fd/{handle}").resolve()
        flushed.add(os.fstat(handle).st_ino)
        if path.is_dir():
            listed[path.stat().st_ino] = {entry.name for entry in path.iterdir()}

    def at_this_moment() -> None:
        for place in (audit / "files", audit / "results"):
            known = listed.get(place.stat().st_ino, set())
            kept = list(place.iterdir())
            lost.extend(path.name for path in kept if path.name not in known or path.stat().st_ino not in flushed)

    monkeypatch.setattr(os, "fsync", watched)
    (tmp_path / "keyserver").mkdir()
    stage = hall_of(keyserver_state(tmp_path / "keyserver"), tmp_path / "aggregator", at_this_moment).play(one_sum)
    assert stage.named("round_closed")
    assert lost == []
    assert len(list((audit / "files").iterdir())) > 15
