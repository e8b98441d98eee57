"""What an institution can get wrong, each with one sentence of cause and one of remedy; nobody else is held up."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from node.config import OwnTask
from secagg.cli import main
from secagg.crypto.rng import system_rng
from secagg.crypto.secret import Secret
from secagg.daemon.enrolment import KEYS
from secagg.daemon.membership import Pin
from secagg.daemon.vault import generate_keys, save_keys
from secagg.learning.layout import encode_model
from support.federation import make
from support.nodes import Institution, Ward

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """node.toml of an enrolled node with one task; nothing it names is dialled, because every test stops before."""
    tmp_path.chmod(0o700)
    (tmp_path / "pass").write_text("phrase\n")
    (tmp_path / "pass").chmod(0o600)
    (tmp_path / "state").mkdir(mode=0o700)
    save_keys(tmp_path / "state" / KEYS, generate_keys(system_rng), Secret(b"phrase"), system_rng, 2**14)
    (tmp_path / "data.csv").write_text("1\n")
    file = tmp_path / "node.toml"
    file.write_text(
        '[node]\nname = "charite"\nstate_dir = "state"\npassphrase_file = "pass"\n'
        f'[broker]\naddress = "tcp://127.0.0.1:7700"\ncurve_key = "{"00" * 32}"\n'
        f'[federation]\nname = "hearts"\nroot_fingerprint = "sha256:{"0" * 64}"\n'
        '[tasks.risk]\ntask = "heart.task:Risk"\ndata = "data.csv"\n'
    )
    return file


def refused(config: Path, *options: str) -> tuple[int, str]:
    """Run the node; return its exit code and what it said: a line of cause, a line of remedy."""
    result = CliRunner().invoke(main, ["node", "run", "--config", str(config), *options])
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("  ")
    return result.exit_code, result.stderr


def test_an_unknown_key_is_named_with_a_suggestion(config: Path) -> None:
    config.write_text(config.read_text() + "[policy]\nmin_node = 5\n")
    code, said = refused(config)
    assert (code, "the key policy.min_node is unknown" in said, "Did you mean min_nodes?" in said) == (78, True, True)


def test_data_that_is_missing_is_named(config: Path) -> None:
    (config.parent / "data.csv").unlink()
    code, said = refused(config)
    assert (code, "error[E-DATA]" in said, "data.csv cannot be read" in said) == (64, True, True)
    assert "Set `data` of the task in node.toml" in said


@pytest.mark.parametrize("file", ["state/keys", "pass"])
def test_a_secret_that_others_may_read_is_refused(config: Path, file: str) -> None:
    assert (config.parent / "state" / KEYS).exists()
    (config.parent / file.replace("keys", KEYS)).chmod(0o644)
    code, said = refused(config)
    assert (code, "has mode 0644: others may use it." in said, "chmod 0600" in said) == (78, True, True)


def test_a_node_without_keys_is_told_to_join(config: Path) -> None:
    (config.parent / "state" / KEYS).unlink()
    code, said = refused(config)
    assert (code, "Run `secagg node join` first." in said) == (78, True)


@pytest.mark.parametrize("drill", ["MaskedInput", "Masked@1", "MaskedInput@0", "MaskedInput@x"])
def test_a_drill_that_is_none_is_a_usage_error(config: Path, drill: str) -> None:
    code, said = refused(config, "--drill-kill", drill)
    assert (code, "is not STEP@ROUND[@JOB]" in said) == (64, True)


# In a round ----------------------------------------------------------------------------------------------------------


def play(tmp_path: Path, prepare: Callable[[Ward], None], script: Callable[[Ward], object]) -> Ward:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    prepare(ward)

    async def main(_: object) -> None:
        await ward.start_nodes()
        script(ward)
        await ward.wait(8)
        await ward.stop_nodes()

    ward.play(main)
    return ward


def own(node: Institution, body: str) -> None:
    """Give a node another task of its own."""
    method = f"    def vector(self, data, round):\n{body}\n"
    (node.place / "task.py").write_text(f"import numpy as np\n\nclass Ones:\n{method}")


@pytest.mark.parametrize(
    ("body", "cause", "rule"),
    [
        ("        return np.full(7, np.nan)", "not finite at index 0", "task.input"),
        ("        return np.ones(8)", "has shape (8,), the job expects (7,)", "task.input"),
        ("        return np.ones((7, 1))", "has shape (7, 1)", "task.input"),
        ("        return np.full(7, 1e30)", "exceeds", "task.input"),
        ("        raise ValueError('row 17 of ward 3')", "failed with ValueError: row 17 of ward 3", "task.task"),
    ],
)
def test_a_task_that_gives_nonsense_drops_its_node_and_its_text_stays_at_home(
    tmp_path: Path, body: str, cause: str, rule: str
) -> None:
    ward = play(tmp_path, lambda ward: own(ward.nodes["node-02"], body), lambda ward: ward.submit())
    (said,) = ward.nodes["node-02"].named("refuse")
    assert cause in str(said["cause"])
    assert (said["rule"], bool(said["remedy"])) == (rule, True)
    (closed,) = ward.named("round_closed")
    assert closed["contributors"] == ["node-00", "node-01", "node-03"]
    assert ward.result()["values"] == [11.0] * 7
    heard = [event for event in ward.events if event.get("rule") == "task.failed"]
    assert [event["institution"] for event in heard] == ["node-02"]
    assert "row 17" not in json.dumps(ward.events)


def test_data_that_vanishes_between_rounds_drops_its_node_and_is_named(tmp_path: Path) -> None:
    ward = play(tmp_path, lambda ward: ward.nodes["node-02"].data.unlink(), lambda ward: ward.submit())
    (said,) = ward.nodes["node-02"].named("refuse")
    assert (said["rule"], "cannot be read" in str(said["cause"])) == ("task.data", True)
    assert ward.result()["values"] == [11.0] * 7


def test_a_task_that_no_configuration_names_is_refused_by_name(tmp_path: Path) -> None:
    ward = play(tmp_path, lambda ward: ward.nodes["node-02"].tasks.clear(), lambda ward: ward.submit())
    (said,) = ward.nodes["node-02"].named("fault")
    assert "This institution has no task task." in str(said["cause"])
    assert [event["rule"] for event in ward.nodes["node-02"].named("refuse")] == ["task.unknown"]
    assert ward.result()["values"] == [11.0] * 7


def train(ward: Ward) -> None:
    """Submit a training job for a line, whose tensors are weight (1, 1) and bias (1)."""
    model = ward.state / "line.safetensors"
    zeros = {"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    model.write_bytes(encode_model(zeros))
    ward.submit(model, purpose="training", length=0)


def lines(ward: Ward, *classes: str) -> None:
    """Give every node a torch task and two points."""
    for node, name in zip(ward.nodes.values(), classes, strict=True):
        node.data.write_text("1 3\n2 5\n")
        node.tasks = {"task": OwnTask("task", f"{TORCH}:{name}", node.data, {})}


def test_a_task_whose_shapes_differ_from_the_jobs_is_refused_by_the_name_of_the_tensor(tmp_path: Path) -> None:
    ward = play(tmp_path, lambda ward: lines(ward, "Line", "Line", "Wide", "Line"), train)
    (said,) = ward.nodes["node-02"].named("fault")
    assert "weight" in str(said["cause"])
    assert said["remedy"]
    assert ward.named("round_closed")[0]["contributors"] == ["node-00", "node-01", "node-03"]


def test_an_update_with_nan_never_leaves_its_node(tmp_path: Path) -> None:
    ward = play(tmp_path, lambda ward: lines(ward, "Line", "Line", "Diverges", "Line"), train)
    (said,) = ward.nodes["node-02"].named("refuse")
    assert "not finite" in str(said["cause"])
    assert "bias" in str(said["cause"])
    assert ward.named("round_closed")[0]["contributors"] == ["node-00", "node-01", "node-03"]


def test_every_node_makes_the_model_that_the_aggregator_makes_and_evaluates_it(tmp_path: Path) -> None:
    ward = play(tmp_path, lambda ward: lines(ward, *["Line"] * 4), train)
    assert ward.named("job_done")
    digest = ward.named("model")[-1]["digest"]
    for node in ward.nodes.values():
        (result,) = node.named("result")
        assert result["digest"] == digest
        (evaluated,) = node.named("evaluate")
        assert evaluated["metrics"]["error"] < 17.0


def test_a_wrong_fingerprint_is_said_and_nothing_is_joined(tmp_path: Path) -> None:
    ward = Ward(make(4, chunk_bytes=4096), tmp_path)
    node = ward.nodes["node-02"]
    node.pin = Pin(ward.federation.spec.federation, "sha256:" + "0" * 64)

    async def script(_: object) -> None:
        await ward.start_nodes()
        ward.submit()
        await ward.wait(6)
        await ward.stop_nodes()

    ward.play(script)
    said = [json.loads(line) for line in node.log.getvalue().splitlines()]
    (warning,) = [line for line in said if line["level"] == "warning"]
    assert (warning["kind"], "root" in warning["cause"], bool(warning["remedy"])) == ("roster", True, True)
    assert node.named("announce") == []
