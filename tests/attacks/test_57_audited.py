"""Row 57: `secagg audit verify --evidence` judges a lie by its file; a directory that states one needs evidence."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from secagg.auditor.verify import verify
from secagg.cli import main
from secagg.crypto.derive import sha256
from secagg.log.statements import LieReported, sign_statement
from secagg.rehearsal.federation import AGGREGATOR, Federation
from secagg.wire.codec import encode
from support.exporting import hall_of, keyserver_state, one_sum
from support.lies import Kept, Lying, evidence_of


@pytest.fixture(name="federation")
def exported(tmp_path: Path) -> Federation:
    """Play a sum and return its federation, whose key server and aggregator lie under `tmp_path`."""
    (tmp_path / "keyserver").mkdir()
    federation = keyserver_state(tmp_path / "keyserver")
    hall_of(federation, tmp_path / "aggregator").play(one_sum)
    return federation


def bundle_of(tmp_path: Path, federation: Federation, evidence: bytes, stated: bytes = b"") -> Path:
    """State in the directory that the aggregator lied, and export."""
    name = sha256(stated or evidence).hex()
    key = federation.aggregator.public.hex()
    statement = LieReported(federation="fed", time=1, member="node-00", aggregator_key=key, evidence=name)
    federation.directory.append(sign_statement(statement, "keyserver", federation.online))
    federation.directory.publish()
    if evidence:
        (tmp_path / "keyserver" / "rosters" / name).write_bytes(evidence)
    given = ["--keyserver", str(tmp_path / "keyserver"), "--aggregator", str(tmp_path / "aggregator")]
    assert CliRunner().invoke(main, ["audit", "export", *given, "-o", str(tmp_path / "b")]).exit_code == 0
    return tmp_path / "b"


def failed(bundle: Path) -> dict[int, str]:
    """Return what does not hold, by check."""
    return {line.number: line.status for line in verify(bundle).checks if line.status not in ("pass", "n/a")}


def judged(*arguments: object) -> Result:
    """Ask the command."""
    return CliRunner().invoke(main, ["audit", "verify", *map(str, arguments)])


def test_a_stated_lie_needs_evidence_that_holds(tmp_path: Path, federation: Federation) -> None:
    lie, _ = evidence_of(Lying, federation)
    assert failed(bundle_of(tmp_path, federation, encode(lie))) == {}


def test_a_stated_lie_that_nothing_proves_is_a_violation(tmp_path: Path, federation: Federation) -> None:
    honest, _ = evidence_of(Kept, federation)
    assert failed(bundle_of(tmp_path, federation, encode(honest))) == {4: "fail"}


def test_a_stated_lie_without_its_evidence_is_no_whole_bundle(tmp_path: Path, federation: Federation) -> None:
    assert failed(bundle_of(tmp_path, federation, b"", b"not kept")) == {4: "incomplete"}


def test_evidence_is_judged_by_the_command(tmp_path: Path, federation: Federation) -> None:
    lie, honest = evidence_of(Lying, federation)[0], evidence_of(Kept, federation)[0]
    stranger, key = evidence_of(Lying)[0], federation.aggregator.public.hex()
    bundle = bundle_of(tmp_path, federation, encode(lie))
    for name, made in (("lie", lie), ("honest", honest), ("stranger", stranger)):
        (tmp_path / name).write_bytes(encode(made))
    proven = judged("--evidence", tmp_path / "lie", bundle)
    assert proven.exit_code == 0, proven.output
    assert proven.output.startswith(f"PROVEN {AGGREGATOR} ({key}) lied in job.1.1.0: Leaf 0")
    assert judged("--evidence", tmp_path / "stranger").exit_code == 0
    for arguments, code, told in (
        (("--evidence", tmp_path / "honest"), 65, "proves nothing"),
        (("--evidence", tmp_path / "stranger", bundle), 65, "about no aggregator of this bundle"),
        (("--evidence", tmp_path / "lie", bundle, "--root", "sha256:" + "00" * 32), 65, "not the pinned"),
        (("--evidence", tmp_path / "nowhere"), 64, "cannot be read"),
        ((), 64, "nothing to verify"),
    ):
        done = judged(*arguments)
        assert done.exit_code == code, done.output
        assert told in done.stderr
