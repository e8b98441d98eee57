"""`job check`: the layout and the error that the protocol gives, and the refusals that a submission would meet."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from secagg.cli import main
from secagg.learning.layout import encode_model
from secagg.rehearsal.entrusted import entrust
from secagg.wire.codec import encode
from support.entrusted import alone, dealt
from support.federation import counted_rng, job, names_of

RNG = counted_rng(b"planning")

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


ENTRUSTED = JOB.replace("[engine]\n", '[engine]\nname = "paillier"\n')


def entrusted(tmp_path: Path, trustees: int = 3) -> str:
    """Return where the custody of a job lies."""
    key, shares = dealt(3, 2, 2048)
    secrets = dict(zip(key.trustees, shares, strict=True))
    found = alone(4).custody if trustees == 1 else entrust(names_of(4), job(names_of(4)), key, secrets, RNG).custody
    (tmp_path / "custody.bin").write_bytes(encode(found))
    return str(tmp_path / "custody.bin")


def test_what_trustees_open_costs_each_of_them_every_upload(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--nodes", "10", "--custody", entrusted(tmp_path), text=ENTRUSTED)
    found = json.loads(said)
    assert (code, found["trustees"], found["threshold"], found["trustee_colluders"], found["k_min"]) == (0, 3, 2, 0, 5)
    # 102 slots of 20 bits in a ciphertext of 2048 bits, one more for four scalars.
    assert found["upload_bytes"] == 512 * (1 + -(-30_001 // 102))
    assert found["bytes_to_each_trustee"] == 10 * found["upload_bytes"]
    assert found["bytes_per_parameter"] == pytest.approx(5.05, abs=0.01)
    assert found["can_read"].startswith("Any 2 of ana, ben, cyd together can read every single update. One dishonest")
    assert "masks_per_upload" not in found


def test_an_engine_and_a_custody_belong_together(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--nodes", "10", text=ENTRUSTED)
    assert (code, "Engine paillier needs a custody" in said) == (64, True)
    code, said = check(tmp_path, "--nodes", "10", "--custody", entrusted(tmp_path))
    assert (code, "other engines have none" in said) == (64, True)
    (tmp_path / "no.bin").write_bytes(b"no custody")
    code, said = check(tmp_path, "--nodes", "10", "--custody", str(tmp_path / "no.bin"), text=ENTRUSTED)
    assert (code, "is no custody" in said) == (64, True)


def test_a_short_key_is_refused_with_the_job(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--nodes", "10", "--custody", entrusted(tmp_path, 1), text=ENTRUSTED)
    assert (code, "A key of 512 bits is refused" in said) == (76, True)


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


@pytest.mark.parametrize(("rounds", "said"), [(10_000, "taken"), (10_001, "refused: policy.max_rounds")])
def test_a_job_that_no_default_policy_takes_is_named(tmp_path: Path, rounds: int, said: str) -> None:
    text = f'[job]\nname = "risk"\ntask = "risk"\npurpose = "sum"\nlength = 9\nrounds = {rounds}\n'
    code, found = check(tmp_path, "--nodes", "5", text=text)
    assert (code, json.loads(found)["default_policy"]) == (0, said)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('[algorithm]\nname = "fedsplit"\n', "Choose one of fedadam, fedavg, fedprox."),
        ("[algorithm]\nmu = 0.5\n", "Algorithm fedavg has no number mu; it has none."),
        ('[algorithm]\nname = "fedavg"\nrate = "fast"\n', "The key algorithm.rate is of the wrong type."),
        ("[algorithm]\nname = 3\n", "The key algorithm.name is of the wrong type."),
        ('[optimizer]\nname = "fedavg"\n', "the key optimizer is unknown"),
    ],
)
def test_an_algorithm_that_is_none_is_refused_with_what_there_is(tmp_path: Path, section: str, says: str) -> None:
    code, said = check(tmp_path, "--nodes", "5", text=JOB + section)
    assert (code != 0, says in said) == (True, True), said


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ('name = "lattice"', "There is no engine lattice."),
        ('name = "plain"', "There is no engine plain."),
        ('audit_retention = "30d"', "engine.audit_retention is '30d', and no file is deleted after a time."),
    ],
)
def test_what_no_engine_does_is_refused(tmp_path: Path, key: str, says: str) -> None:
    code, said = check(tmp_path, "--nodes", "5", text=JOB.replace("[engine]\n", f"[engine]\n{key}\n"))
    assert (code != 0, says in said) == (True, True), said


def test_files_are_kept_until_somebody_deletes_them(tmp_path: Path) -> None:
    kept = JOB.replace("[engine]\n", '[engine]\naudit_retention = "kept"\n')
    assert check(tmp_path, "--nodes", "5", text=kept)[0] == 0


def test_a_plan_says_what_a_job_trains_by(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--nodes", "5", text=JOB + '[algorithm]\nname = "fedavg"\n')
    assert (code, json.loads(said)["algorithm"]) == (0, "fedavg")


def test_a_sum_has_no_algorithm(tmp_path: Path) -> None:
    text = '[job]\nname = "s"\ntask = "s"\npurpose = "sum"\nlength = 100\n[algorithm]\nname = "fedavg"\n'
    code, said = check(tmp_path, "--nodes", "5", text=text)
    assert (code, "a sum has no algorithm" in said) == (64, True)
