"""Whole rounds through the aggregator's real service, shell, journal and log, against members in process."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from secagg.errors import BadInput
from secagg.ids import STEPS
from secagg.learning.layout import encode_model
from secagg.protocol.lanes import upload_root
from secagg.protocol.session import Fetch
from secagg.rehearsal.federation import START_OF_TIME
from secagg.wire.codec import encode
from support.aggregating import Hall
from support.federation import make


def hall(tmp_path: Path, members: int = 4) -> Hall:
    return Hall(make(members, chunk_bytes=4096), tmp_path / "state")


async def begin(stage: Hall, model: Path | None = None, **fields: object) -> None:
    await stage.push()
    stage.submit(model, **fields)
    await stage.settle()
    await stage.gather()


def expected(stage: Hall, *absent: str) -> list[float]:
    return [float(sum(2**m.index for m in stage.members.values() if m.name not in absent))] * 7


def test_a_sum_is_exact_and_every_member_gets_it(tmp_path: Path) -> None:
    stage = hall(tmp_path).play(begin)
    assert stage.log.getvalue() == ""
    assert [event["event"] for event in stage.events if event["event"].startswith("job")] == ["job_done"]
    assert stage.result()["values"] == expected(stage)
    assert all(len(member.results) == 1 for member in stage.members.values())


@pytest.mark.parametrize("step", STEPS)
def test_a_member_that_falls_silent_before_a_step_is_named_and_the_round_goes_on(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    stage.members["node-01"].silent = step

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(4)

    stage.play(script)
    (closed,) = stage.named("round_closed")
    assert closed["dropped"] == [{"member": "node-01", "step": step, "reason": "no message before the deadline"}]
    early = STEPS.index(step) <= STEPS.index("MaskedInput")
    assert stage.result()["values"] == (expected(stage, "node-01") if early else expected(stage))
    assert stage.named("job_done")


@pytest.mark.parametrize("step", STEPS)
def test_a_restart_within_a_step_ends_in_the_same_sum(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    late = stage.members["node-02"]
    late.silent = step

    async def script(stage: Hall) -> None:
        await begin(stage)
        assert stage.result_step() == step
        late.silent = ""
        await stage.restart()
        await stage.wait(4)

    stage.play(script)
    assert stage.named("round_closed")
    early = STEPS.index(step) <= STEPS.index("MaskedInput")
    assert stage.result()["values"] == (expected(stage, "node-02") if early else expected(stage))


@pytest.mark.parametrize("step", STEPS)
def test_too_few_members_abort_and_nothing_is_released(tmp_path: Path, step: str) -> None:
    stage = hall(tmp_path)
    gone = [stage.members["node-01"], stage.members["node-03"]]
    for member in gone:
        member.silent = step

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(4)

    stage.play(script)
    aborted = stage.named("round_aborted")[0]
    assert (aborted["step"], aborted["lost"]) == (step, step == "Unmask")
    assert {entry["member"] for entry in aborted["dropped"]} == {"node-01", "node-03"}
    assert not stage.named("round_closed")
    assert stage.members["node-00"].aborted[0].missing == ("node-01", "node-03")


def test_an_attempt_that_opened_nothing_is_repeated_and_succeeds(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    gone = [stage.members["node-01"], stage.members["node-03"]]
    for member in gone:
        member.silent = "ShareKeys"

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(3)
        for member in gone:
            member.silent = ""
        await stage.wait(6)

    stage.play(script)
    assert [event["attempt"] for event in stage.named("round_started")] == [1, 2, 3]
    assert stage.result()["values"] == expected(stage)


def test_three_failed_attempts_fail_the_job(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    for name in ("node-01", "node-03"):
        stage.members[name].silent = "ShareKeys"

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.wait(30)

    stage.play(script)
    assert len(stage.named("round_aborted")) == 3
    (failed,) = stage.named("job_failed")
    assert "failed 3 times" in failed["reason"]
    assert not list((stage.state / "keys").glob("*.key"))


def test_every_member_makes_the_model_that_the_aggregator_makes(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    arrays = {"bias": np.zeros(2, np.float32), "weight": np.ones((2, 3), np.float32)}
    first = tmp_path / "model.safetensors"
    first.write_bytes(encode_model(arrays))
    for member in stage.members.values():
        member.arrays = arrays

    async def script(stage: Hall) -> None:
        await begin(stage, first, purpose="training", length=0, rounds=3)
        await stage.wait(4)

    stage.play(script)
    assert stage.named("job_done")
    digests = [event["digest"] for event in stage.named("model")]
    assert len(set(digests)) == 3
    assert {member.model.hex() for member in stage.members.values()} == {digests[-1], stage.result()["digest"]}


def test_a_member_that_was_away_for_a_round_is_given_the_result_and_takes_part_again(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    late = stage.members["node-03"]

    async def script(stage: Hall) -> None:
        await begin(stage, rounds=1)
        late.away = True
        stage.submit(name="second")
        await stage.settle()
        late.away = False
        await stage.wait(6)

    stage.play(script)
    assert [event["job"] for event in stage.named("job_done")] == ["job", "second"]
    assert [len(member.published) for member in stage.members.values()] == [2, 2, 2, 2]


def test_a_member_that_lost_its_results_is_told_them_from_the_checkpoint_it_holds(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    late = stage.members["node-02"]

    async def script(stage: Hall) -> None:
        late.silent = "ConsistencyCheck"
        await begin(stage)
        late.away = True
        await stage.wait(4)
        assert stage.named("job_done")
        assert late.published == []
        late.away = False
        await stage.wait(4)

    stage.play(script)
    assert len(late.published) == 1


def test_what_is_kept_for_the_audit_is_named_by_its_digest(tmp_path: Path) -> None:
    stage = hall(tmp_path).play(begin)
    files = [path for path in (stage.state / "audit" / "files").iterdir() if path.is_file()]
    frozen = next(
        json.loads(stage.rounds_log.leaf(at)) for at in range(stage.rounds_log.size)
        if json.loads(stage.rounds_log.leaf(at))["type"] == "Contributors"
    )  # fmt: skip
    wanted = {frozen["u1"], frozen["u2"], frozen["u3"]}
    wanted |= {entry[part] for entry in frozen["members"] for part in ("header", "upload")}
    assert wanted <= {path.name for path in files}
    uploads = {entry["upload"] for entry in frozen["members"]}
    manifest = stage.members["node-00"].manifest
    assert manifest is not None
    for path in files:
        data = path.read_bytes()
        name = upload_root(manifest, data).hex() if path.name in uploads else hashlib.sha256(data).hexdigest()
        assert name == path.name
    assert not list((stage.state / "keys").glob("*.key"))


def test_a_blob_that_is_not_published_is_not_served(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    secret = stage.service._blobs.put(b"not for members")

    async def script(stage: Hall) -> None:
        await begin(stage)
        await stage.members["node-00"].link.send("aggregator", "fetch", b"", encode(Fetch(secret, 0)))
        await stage.settle()

    stage.play(script)
    assert "is not published" in stage.log.getvalue()
    assert len(stage.members["node-00"].published) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"length": 0}, "a sum has a length"),
        ({"rounds": 0}, r"Expected `int` >= 1 - at `\$\.file\.job\.rounds`"),
        ({"uses": ["other"]}, "no job other"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_a_job_that_could_never_run_is_refused_at_once(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    stage = hall(tmp_path)

    async def script(stage: Hall) -> None:
        await stage.push()
        with pytest.raises(BadInput, match=said):
            stage.submit(None, **fields)

    stage.play(script)


def test_status_says_who_is_waited_for_since_when_and_until_when(tmp_path: Path) -> None:
    stage = hall(tmp_path)
    stage.members["node-01"].silent = "ShareKeys"
    stage.members["node-02"].away = True

    def waiting() -> dict[str, object]:
        status = stage.daemon.command({"command": "status"})
        assert isinstance(status, dict)
        found: dict[str, object] = status["waiting"]
        return found

    async def script(stage: Hall) -> None:
        await begin(stage)
        before = waiting()
        assert (before["step"], before["for"]) == ("presence", ["node-02"])
        assert before["until"] == START_OF_TIME + 3, "who submitted the job is asked then"
        stage.members["node-02"].away = False
        await stage.gather()
        within = waiting()
        assert (within["step"], within["for"], within["need"]) == ("ShareKeys", ["node-01"], 3)
        assert (within["since"], within["until"]) == (START_OF_TIME, START_OF_TIME + 3)
        await stage.restart()
        assert waiting() == within
        await stage.wait(4)

    stage.play(script)
    assert stage.named("job_done")
