"""What an input is at a node: its data, the model that it computed itself, all sums over a source, and what it says."""

from pathlib import Path

from msgspec.structs import replace

from node.config import OwnTask
from node.inputs import Inputs, Mark
from node.records import Job
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol.acceptance import Policy
from secagg.protocol.binding import NOTHING, UNKNOWN, Only, seats_digest
from secagg.protocol.inputs import Given
from secagg.rehearsal.federation import propose
from secagg.wire.signed import Scope
from support.federation import counted_rng, make
from support.memory import MemoryInputs

FEDERATION = make(4)
MANIFEST = propose(FEDERATION)
NOBODY: frozenset[bytes] = frozenset()


def inputs(tmp_path: Path, policy: Policy | None = None, root: str = "sha256:00") -> Inputs:
    data = tmp_path / "data.csv"
    data.write_text("1")
    tasks = {name: OwnTask(name, "task.py:T", data, {}) for name in ("task", "other")}
    return Inputs(MemoryInputs(), policy or Policy(), tasks, "fed", root, counted_rng(b"inputs"))


def job(task: str = "task", purpose: str = "training", given: bytes = NO_DIGEST, number: int = 1) -> Job:
    spec = replace(FEDERATION.spec, task=task, purpose=purpose)
    return Job(spec, bytes(32), next_round=number, given=given)


def give(into: Inputs, of: Job, number: int = 1, mark: Mark | None = None) -> Given:
    manifest = replace(MANIFEST, purpose=of.spec.purpose, task=of.spec.task)
    scope = Scope(RoundId("fed", of.spec.name, number), bytes([number]) * 32)
    given, _ = into.give(of, scope, manifest, mark or Mark(), 5, NOBODY)
    into.ledger.count(given.counted)
    return given


def test_tasks_over_one_source_are_one_sum_unless_a_person_wrote_otherwise(tmp_path: Path) -> None:
    for policy, same in ((Policy(), True), (Policy(static_inputs="task"), False)):
        found = inputs(tmp_path, policy)
        one, other = (found.present(job(task, "sum"), NOBODY).input for task in ("task", "other"))
        assert (one == other) == same


def test_an_edition_another_path_and_a_model_of_its_own_are_other_inputs(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    tags = {found.present(job(given=given), NOBODY).input for given in (NO_DIGEST, b"a" * 32, b"b" * 32)}
    own = found.tasks["task"]
    (tmp_path / "copy.csv").write_text("1")
    for changed in (
        OwnTask(own.name, own.spec, own.data, {}, "2027"),
        OwnTask(own.name, own.spec, tmp_path / "copy.csv", {}),
    ):
        found.tasks = {"task": changed}
        tags.add(found.present(job(), NOBODY).input)
    assert len(tags) == 5
    (tmp_path / "link.csv").symlink_to(own.data)
    found.tasks = {"task": OwnTask(own.name, own.spec, tmp_path / "link.csv", {})}
    assert found.present(job(), NOBODY).input in tags


def test_what_is_known_of_the_next_input_is_said_before_the_round(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    assert found.present(job("unknown"), NOBODY) == UNKNOWN
    assert found.present(job(number=FEDERATION.spec.rounds + 1), NOBODY) == UNKNOWN
    given = give(found, job())
    assert found.present(job(number=2), NOBODY).only == NOTHING
    from secagg.protocol.inputs import froze

    found.ledger.change(given.counted.round, lambda entry: froze(entry, MANIFEST.members[:3]))
    said = found.present(job(number=2), NOBODY)
    assert (said.input, said.only) == (given.bound.input, Only("same", seats_digest(MANIFEST.members[:3])))
    gone = frozenset({MANIFEST.members[2].key})
    assert found.present(job(number=2), gone).only == Only("same", seats_digest(MANIFEST.members[:2]))


def test_only_this_federations_attempts_are_asked_for(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    given = give(found, job())
    assert found.pending() == (given.counted.round,)
    other = Inputs(
        MemoryInputs(writer=b"other", shared=found.ledger),  # type: ignore[arg-type]
        Policy(), found.tasks, "fed", "sha256:11", counted_rng(b"other"),
    )  # fmt: skip
    assert other.pending() == ()


def test_a_sketch_goes_into_the_entry_sealed(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    plain = bytes(8192)
    given = give(found, job(), mark=Mark(sketch=plain))
    assert given.counted.sketch != plain
    assert found.ledger.keys.open(given.counted.sketch) == plain
