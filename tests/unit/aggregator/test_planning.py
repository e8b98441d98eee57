"""`job check`: the layout and the error that the protocol gives, and the refusals that a submission would meet."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from secagg.cli import main
from secagg.learning.layout import encode_model

JOB = '[job]\nname = "risk"\ntask = "risk"\n[cohort]\nmax_examples = {examples}\n[engine]\nbits = {bits}\nclip = 1.0\n'


def check(tmp_path: Path, *options: str, bits: int = 16, examples: int = 300, text: str = JOB) -> tuple[int, str]:
    file, model = tmp_path / "job.toml", tmp_path / "m.safetensors"
    file.write_text(text.format(bits=bits, examples=examples))
    model.write_bytes(encode_model({"w": np.zeros(30_000, np.float32)}))
    given = [*options, "--model", str(model)] if "--model" not in options and "sum" not in text else list(options)
    result = CliRunner().invoke(main, ["job", "check", str(file), *given, "--format", "json"])
    return result.exit_code, result.stdout or result.stderr


@pytest.mark.parametrize(
    ("bits", "nodes", "layout", "slot", "per_parameter"),
    [
        (16, 32, "3x21", 21, 2.67),
        (16, 64, "3bytes", 22, 3.0),
        (16, 256, "3bytes", 24, 3.0),
        (24, 10, "lane32", 28, 4.0),
    ],
)
def test_the_cheapest_layout_is_picked(
    tmp_path: Path, bits: int, nodes: int, layout: str, slot: int, per_parameter: float
) -> None:
    code, said = check(tmp_path, "--nodes", str(nodes), bits=bits)
    found = json.loads(said)
    assert (code, found["layout"], found["slot_bits"]) == (0, layout, slot)
    assert found["bytes_per_parameter"] == pytest.approx(per_parameter, abs=0.01)
    assert found["headroom_bits"] == {"3x21": 21, "3bytes": 24, "lane32": 32}[layout] - slot


@pytest.mark.parametrize("examples", [300, 10**6])
def test_the_error_of_the_mean_is_the_protocols(tmp_path: Path, examples: int) -> None:
    """Protocol §2: W √n / (2 S Σ n_k); ten members with 300 examples each under a close and under a careless bound."""
    code, said = check(tmp_path, "--nodes", "10", "--examples", "3000", examples=examples)
    found = json.loads(said)
    assert (code, found["scale"]) == (0, 2.0**15)
    assert found["rms_error_of_mean"] == pytest.approx(examples * 10**0.5 / (2 * 2**15 * 3000), rel=1e-12)


def test_a_sum_is_exact_and_says_so(tmp_path: Path) -> None:
    text = '[job]\nname = "s"\ntask = "s"\npurpose = "sum"\nlength = 100\n'
    code, said = check(tmp_path, "--nodes", "4", text=text)
    found = json.loads(said)
    assert (code, found["layout"], found["exact"], found["threshold"]) == (0, "lane64", True, 3)


def test_a_sparse_graph_shows_its_parameters(tmp_path: Path) -> None:
    text = JOB.replace("[cohort]\n", '[cohort]\ngraph = "harary"\nmax_dropouts = 50\n')
    code, said = check(tmp_path, "--nodes", "1000", "--colluders", "50", text=text)
    found = json.loads(said)
    assert (code, found["neighbours"], found["share_threshold"], found["masks_per_upload"]) == (0, 52, 37, 53)


@pytest.mark.parametrize(
    ("options", "bits", "cause"),
    [
        (("--nodes", "0"), 16, "nobody in the cohort"),
        (("--nodes", "2"), 16, "members, 3 are needed"),
        (("--nodes", "10"), 31, "fits no word"),
        (("--nodes", "10", "--examples", "3001"), 16, "3001 examples are more than 10 members"),
    ],
)
def test_what_could_not_run_is_refused(tmp_path: Path, options: tuple[str, ...], bits: int, cause: str) -> None:
    code, said = check(tmp_path, *options, bits=bits)
    assert (code, cause in said) == (64, True)
