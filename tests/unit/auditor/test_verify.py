"""The auditor's verdict: an honest bundle passes, and for each check one bundle fails in that check alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from secagg.auditor.command import audit
from secagg.auditor.verify import verify
from secagg.cli import main
from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.log.checkpoint import read_checkpoint, sign_checkpoint
from secagg.log.durable import read_entries
from secagg.log.statements import (
    AnyStatement,
    Contributors,
    JobCreated,
    Opening,
    Result,
    RosterChanged,
    parse_statement,
)
from secagg.rehearsal.federation import START_OF_TIME, Federation
from support.bundles import AGGREGATOR, append, write_bundle
from support.federation import counted_rng

STRANGER = SigningKey.from_private_bytes(counted_rng(b"stranger")(32))


def flip_a_tile(path: Path, federation: Federation) -> None:
    for tile in (entry for entry in (path / "rounds" / "tile" / "0").rglob("*") if entry.is_file()):
        data = bytearray(tile.read_bytes())
        data[5] ^= 1
        tile.write_bytes(bytes(data))


def resign_the_checkpoint(path: Path, federation: Federation) -> None:
    note = path / "rounds" / "checkpoint"
    note.write_bytes(sign_checkpoint(read_checkpoint(note.read_bytes()), "fed/rounds", STRANGER))


def add_a_forged_statement(path: Path, federation: Federation) -> None:
    statement = JobCreated(federation="fed", time=START_OF_TIME, job="job", spec="00" * 32)
    append(path, "rounds", statement, AGGREGATOR, STRANGER, federation.aggregator)


def skip_a_roster_version(path: Path, federation: Federation) -> None:
    statement = RosterChanged(federation="fed", time=START_OF_TIME, version=3, roster=sha256(federation.roster).hex())
    append(path, "directory", statement, "keyserver", federation.online, federation.online)


def publish_a_second_result(path: Path, federation: Federation) -> None:
    leaves, _ = read_entries(path / "rounds")
    last = next(s for s, *_ in map(parse_statement, reversed(leaves)) if isinstance(s, Result))
    append(path, "rounds", last, AGGREGATOR, federation.aggregator, federation.aggregator)


BROKEN: dict[int, Callable[[Path, Federation], None]] = {
    1: flip_a_tile,
    2: resign_the_checkpoint,
    4: add_a_forged_statement,
    5: skip_a_roster_version,
    6: publish_a_second_result,
}


def failing(path: Path) -> list[int]:
    return [line.number for line in verify(path).checks if line.status == "fail"]


def test_an_honest_bundle_passes_every_check(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    report = verify(tmp_path)
    assert (report.verdict, report.passed, report.total) == ("PASS", 6, 6)
    assert [line.status for line in report.checks] == ["pass"] * 6


def test_a_statement_over_many_members_names_their_list_and_is_judged_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("round.stating", "masks.notices"):
        monkeypatch.setattr(f"secagg.protocol.{place}.INLINE", 2)
    write_bundle(tmp_path)
    assert verify(tmp_path).verdict == "PASS"
    listed = [s for s in statements(tmp_path) if isinstance(s, Contributors | Opening)]
    assert [(len(s.members) if isinstance(s, Contributors) else len(s.answers)) for s in listed] == [0] * 4
    (tmp_path / "files" / listed[0].listed).unlink()
    report = verify(tmp_path)
    assert report.verdict == "INCOMPLETE"
    assert f"lacks {listed[0].listed}" in report.checks[-1].detail


def statements(path: Path) -> list[AnyStatement]:
    return [parse_statement(leaf)[0] for leaf in read_entries(path / "rounds")[0]]


@pytest.mark.parametrize("number", BROKEN)
def test_one_bundle_fails_in_this_check_alone(number: int, tmp_path: Path) -> None:
    federation = write_bundle(tmp_path)
    BROKEN[number](tmp_path, federation)
    assert failing(tmp_path) == [number]


def test_a_published_sum_other_than_the_uploads_fails_in_check_7_alone_and_names_the_result(tmp_path: Path) -> None:
    write_bundle(tmp_path, rounds=1, cheat=True)
    assert failing(tmp_path) == [7]
    done = CliRunner().invoke(main, ["audit", "verify", str(tmp_path)])
    assert done.exit_code == 65
    assert "Result, signed by aggregator" in done.output
    assert "not the sum of the uploads" in done.output


def test_a_lie_in_one_word_of_a_million_parameters_is_found_by_the_auditor(tmp_path: Path) -> None:
    """Four drawn leaves of eighty-two miss it nineteen times in twenty; the auditor recomputes every word."""
    write_bundle(tmp_path, rounds=1, cheat=True, parameters=1_000_000)
    assert failing(tmp_path) == [7]


def test_a_bundle_without_uploads_is_incomplete(tmp_path: Path) -> None:
    write_bundle(tmp_path, rounds=1, uploads=False)
    assert verify(tmp_path).verdict == "INCOMPLETE"
    assert CliRunner().invoke(main, ["audit", "verify", str(tmp_path)]).exit_code == 66


def test_the_command_says_pass_and_prints_json(tmp_path: Path) -> None:
    write_bundle(tmp_path, rounds=1)
    done = CliRunner().invoke(main, ["audit", "verify", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == "PASS 6/6"
    report = json.loads(CliRunner().invoke(audit, ["verify", str(tmp_path), "--format", "json"]).output)
    assert report["verdict"] == "PASS"


def test_the_pinned_root_and_a_missing_directory(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", rounds=1)
    assert CliRunner().invoke(main, ["audit", "verify", str(tmp_path / "b"), "--root", "sha256:00"]).exit_code == 65
    assert CliRunner().invoke(main, ["audit", "verify", str(tmp_path / "none")]).exit_code == 64


def test_show_names_the_drop_out_and_its_step(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    done = CliRunner().invoke(main, ["audit", "show", str(tmp_path), "2"])
    assert "node-02 dropped at MaskedInput" in done.output
    assert CliRunner().invoke(main, ["audit", "show", str(tmp_path), "9"]).exit_code == 64
