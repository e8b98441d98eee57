"""Row 50 in the log of an engine whose sums trustees open: every lie about inputs fails in check 6 alone.

Members, trustees and aggregator of these bundles forgot what was given before, or lie together: the auditor needs
nobody's memory.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.auditor.bundle import Bundle
from secagg.crypto.derive import sha256
from secagg.ids import EVERYBODY
from secagg.log.bundle import BundleWriter
from secagg.log.durable import read_entries
from secagg.log.statements import Contributors, parse_statement
from secagg.protocol.binding import Only
from secagg.protocol.inputs import Counted, Given, Naming
from secagg.protocol.manifest import Manifest, digest
from secagg.protocol.paillier import aggregator, bound
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.round.stating import contributor_list, contributors
from secagg.rehearsal.entrusted import propose
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed, sign
from support.audited_inputs import ONE, allow, naming, outcome, summed
from support.bundles import Play, append, propose_in
from support.entrusted import TRUSTEES
from support.entrusted_bundles import write_entrusted
from support.federation import names_of

pytestmark = pytest.mark.usefixtures("short_keys")

FOUR, GONE = tuple(names_of(4)), {"node-02": "EncryptedInput"}


@pytest.fixture
def liars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let aggregator and trustees read nothing of what headers say of their inputs."""
    monkeypatch.setattr(aggregator, "left_out", lambda *given: {})
    for check in ("check_fits", "require_allowed"):
        monkeypatch.setattr(bound, check, lambda *given: None)


def test_one_input_over_one_set_passes_and_over_two_not(tmp_path: Path) -> None:
    write_entrusted(tmp_path / "one", [Play(1, given=ONE), Play(2, given=ONE)])
    assert outcome(tmp_path / "one") == []
    write_entrusted(tmp_path / "two", [Play(1, given=ONE), Play(2, drops=GONE, given=ONE)])
    assert outcome(tmp_path / "two") == summed("node-00", "job.1.1.0")


def test_everybody_in_either_set_allowed_it(tmp_path: Path) -> None:
    for said, found in ((FOUR, []), (FOUR[:3], summed("node-00", "job.1.1.0"))):
        path = tmp_path / f"{len(said)}"
        write_entrusted(path, [Play(1, given=ONE), Play(2, drops=GONE, given=ONE, before=allow(said))])
        assert outcome(path) == found


OPENED: dict[str, str] = {}
ABORTED, LOST = (dict.fromkeys(TRUSTEES[:3], step) for step in ("Witness", "Decrypt"))
"""Trustees open the sum, or fall silent before they witnessed its freeze, or before they answered."""

NEXT = Play(2, given=naming(of="the next update"))
"""A round over other inputs that is as it should be."""

BOUND = "The input of node-01 is bound to another set of members than the frozen one."
EXCUSED = "the input of node-01 was summed over another set, which node-03 did not allow."
ELSEWHERE = sha256(b"another set")


@pytest.mark.usefixtures("liars")
@pytest.mark.parametrize(
    ("only", "ends", "why"),
    [
        (Only("same", ELSEWHERE), OPENED, BOUND), (Only("same", ELSEWHERE), ABORTED, BOUND),
        (Only("nothing"), LOST, BOUND), (Only("overlap", ELSEWHERE), ABORTED, EXCUSED),
    ],
    ids=["opened", "aborted", "lost", "overlap"],
)  # fmt: skip
def test_a_set_that_does_not_fit_a_header_is_not_frozen(
    tmp_path: Path, only: Only, ends: dict[str, str], why: str
) -> None:
    """An aggregator that follows the rules leaves that member out, so what became of the attempt is no excuse."""
    lying = Play(1, drops=ends, given=one_of("node-01", naming(only)), before=allow(FOUR[:3]))
    write_entrusted(tmp_path, [lying, NEXT])
    assert outcome(tmp_path) == [(6, why)]


@pytest.mark.usefixtures("liars")
def test_an_excused_input_with_everybodys_word_passes(tmp_path: Path) -> None:
    excused = one_of("node-01", naming(Only("overlap", ELSEWHERE)))
    write_entrusted(tmp_path, [Play(1, drops=ABORTED, given=excused, before=allow(FOUR)), NEXT])
    assert outcome(tmp_path) == []


def one_of(name: str, said: Naming) -> Naming:
    """Return headers of which one member's say something of their own."""

    def given(manifest: Manifest, scope: Scope, member: str, past: Sequence[Counted] = ()) -> Given:
        return (said if member == name else ONE)(manifest, scope, member, past)

    return given


@pytest.mark.parametrize(("silent", "bound"), [(2, True), (3, False)])
def test_a_round_lost_by_trustees_binds_unless_their_words_lift_it(tmp_path: Path, silent: int, bound: bool) -> None:
    """5, 1, 4: with two silent trustees the round is lost, and no member could take its input out of its ledger."""
    lost = Play(1, drops=dict.fromkeys(TRUSTEES[:silent], "Decrypt"), given=ONE)
    second = Play(2, drops=GONE, given=ONE)
    write_entrusted(tmp_path, [lost, second], trustees=5, threshold=4, colluders=1)
    assert outcome(tmp_path) == (summed("node-00", "job.1.1.0") if bound else [])


def test_a_header_of_another_length_than_the_manifests_is_not_frozen(tmp_path: Path) -> None:
    """Also of an attempt that was never opened, and in a bundle that has no uploads of it."""
    entrusted = write_entrusted(tmp_path, [Play(1)])
    nodes, manifest, writer = entrusted.nodes, propose(entrusted, 2), BundleWriter(tmp_path)
    first = next(
        found
        for leaf in read_entries(tmp_path / "rounds")[0]
        if isinstance(found := parse_statement(leaf)[0], Contributors)
    )
    length, said = Layout(manifest).upload_bytes, []
    scope = Scope(manifest.round, digest(encode(manifest)))
    for signed in decode(tuple[Signed, ...], Bundle(tmp_path).file(first.u3), LIMIT_LIST):
        header = decode(EncryptedInput, signed.body)
        lied = replace(header, length=length + (signed.sender == "node-01"))
        key = nodes.members[signed.sender]
        said.append(sign(key, "EncryptedInput", scope, signed.sender, EVERYBODY, encode(lied)))
    u = encode(tuple(said))
    propose_in(tmp_path, nodes, manifest)
    for data in (u, *map(encode, said)):
        writer.put_file(data)
    frozen = contributors(scope, contributor_list(u), START_OF_TIME, u3=u)
    append(tmp_path, "rounds", frozen, AGGREGATOR, nodes.aggregator, nodes.aggregator)
    assert outcome(tmp_path) == [(6, f"The upload of node-01 has {length + 1} bytes, not {length}.")]
