"""The heart demo's own code: its files, its splits, its sums, and that together is as good as centralised."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.local import train
from node.summing import run_vector
from node.task import RoundContext, SumTask, Task, load_task
from node.training import initial_model, run_evaluation, run_training
from secagg.demo.sites.heart import task as heart
from secagg.errors import BadInput
from secagg.learning.algorithm import Totals, weighted
from secagg.learning.fedavg import FedAvg

FOLDER = Path(__file__).resolve().parents[3] / "secagg" / "demo" / "sites" / "heart"
SPEC = f"{FOLDER / 'task.py'}:HeartRisk"
COUNTS = {"cleveland": (304, 139), "hungary": (293, 106), "switzerland": (123, 115), "long-beach": (200, 149)}
WEIGHT_BOUND = 212
ROUNDS = 10


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Path]:
    for name in COUNTS:
        (tmp_path / name).mkdir()
        shutil.copy(FOLDER / f"{name}.csv", tmp_path / name)
    return {name: tmp_path / name / f"{name}.csv" for name in COUNTS}


def moments(path: Path) -> Any:
    return run_vector(heart.MomentsTask(), path, RoundContext("heart-moments", 1))


def patients(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", COUNTS)
def test_the_files_hold_every_patient_once(name: str) -> None:
    rows = patients(FOLDER / f"{name}.csv")
    assert (len(rows), sum(row["num"] != "0" for row in rows)) == COUNTS[name]
    assert {row["hospital"] for row in rows} == {name}
    assert len({row["patient"] for row in rows}) == len(rows)
    assert [row for row in rows if row["chol"] in ("0", "0.0") or row["trestbps"] in ("0", "0.0")] == []


def test_cleaning_follows_its_rule(tmp_path: Path) -> None:
    columns = "id,age,sex,dataset,cp,trestbps,chol,fbs,restecg,thalch,exang,oldpeak,slope,ca,thal,num"
    lines = [
        "1,63,Male,Cleveland,typical angina,0,233,TRUE,normal,150,FALSE,0,flat,0,normal,0",
        "2,51,Male,Switzerland,asymptomatic,140,0,,normal,60,FALSE,-1.5,,,,2",
        "3,40,Female,Hungary,non-anginal,,0.0,FALSE,normal,1,TRUE,1,,,,1",
        "4,41,Male,VA Long Beach,non-anginal,120,200,FALSE,normal,99,TRUE,1,,,,1",
    ]
    source = tmp_path / "uci.csv"
    source.write_text("\n".join([columns, *lines]) + "\n")
    subprocess.run([sys.executable, FOLDER / "clean.py", source, tmp_path], check=True, capture_output=True)
    got = {name: (tmp_path / f"{name}.csv").read_text().splitlines()[1] for name in COUNTS}
    assert got == {
        "cleveland": "1,63,Male,cleveland,typical angina,,233,1,normal,150,0,0,flat,0,normal,0",
        "switzerland": "2,51,Male,switzerland,asymptomatic,140,,,normal,60,0,-1.5,,,,2",
        "hungary": "3,40,Female,hungary,non-anginal,,,0,normal,1,1,1,,,,1",
        "long-beach": "4,41,Male,long-beach,non-anginal,120,200,0,normal,99,1,1,,,,1",
    }


@pytest.mark.parametrize("name", COUNTS)
def test_every_split_has_both_diagnoses_on_both_sides(name: str) -> None:
    read = heart.read(FOLDER / f"{name}.csv")
    total, sick = COUNTS[name]
    for training in read.training:
        assert training.sum() == sick * 7 // 10 + (total - sick) * 7 // 10
        for side in (training, ~training):
            assert 0 < read.sick[side].sum() < side.sum()
    assert len({training.tobytes() for training in read.training}) == heart.SPLITS


def test_pooling_keeps_everybodys_splits(sites: dict[str, Path], tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    for name, path in sites.items():
        shutil.copy(path, pool / f"{name}.csv")
    together = np.concatenate([heart.read(sites[name]).training for name in sorted(COUNTS)], axis=1)
    assert np.array_equal(heart.read(pool).training, together)
    assert np.array_equal(moments(pool), sum(moments(path) for path in sites.values()))


@pytest.mark.parametrize("name", COUNTS)
def test_the_sums_are_exact_in_24_bits(name: str) -> None:
    vector = moments(FOLDER / f"{name}.csv")
    assert vector.shape == (heart.SPLITS * 3 * len(heart.NUMBERS),)
    scaled = vector * 2.0**24
    assert np.array_equal(scaled, np.rint(scaled))
    assert np.abs(scaled).max() < 2.0**53


def test_the_sums_are_those_of_the_training_patients() -> None:
    path = FOLDER / "long-beach.csv"
    rows, training = patients(path), heart.read(path).training
    first = [float(row["chol"]) for row, chosen in zip(rows, training[3], strict=True) if chosen and row["chol"]]
    cholesterol = moments(path).reshape(heart.SPLITS, 3, len(heart.NUMBERS))[3, :, 2]
    assert cholesterol.tolist() == [sum(first), sum(value**2 for value in first), len(first)]


def test_a_held_out_patient_changes_no_sum_of_its_split(sites: dict[str, Path]) -> None:
    path = sites["hungary"]
    before, training = moments(path).reshape(heart.SPLITS, -1), heart.read(path).training
    rows = patients(path)
    rows[7]["age"] = "99"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    changed = (moments(path).reshape(heart.SPLITS, -1) != before).any(axis=1)
    assert changed.tolist() == training[:, 7].tolist()
    assert 0 < changed.sum() < heart.SPLITS


def test_auc_is_the_share_of_pairs_in_order() -> None:
    scores, sick = np.array([0.1, 0.4, 0.4, 0.9, 0.3]), np.array([False, False, True, True, True])
    pairs = [(a, b) for a in scores[sick] for b in scores[~sick]]
    assert heart.auc(scores, sick) == pytest.approx(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
    assert heart.auc(-scores, sick) == pytest.approx(1 - heart.auc(scores, sick))


def federated(sites: dict[str, Path]) -> tuple[dict[str, float], float]:
    """Return the AUC per hospital after ten rounds of FedAvg, and the largest weighted update value of all rounds."""
    tasks: dict[str, Task] = {name: load_task(SPEC) for name in sites}
    published = {heart.MOMENTS: sum(moments(path) for path in sites.values())}
    arrays, largest = initial_model(tasks["hungary"]), 0.0
    for number in range(1, ROUNDS + 1):
        context = RoundContext("heart-risk", number, published)
        updates = [run_training(tasks[name], arrays, path, context) for name, path in sites.items()]
        shares = [weighted(update.delta, update.num_examples, WEIGHT_BOUND) for update in updates]
        largest = max([largest, *(float(np.abs(share).max()) for share in shares)])
        total = np.sum(shares, axis=0)
        examples = sum(update.num_examples for update in updates)
        arrays = FedAvg().step(arrays, {}, Totals({"update": total}, examples, WEIGHT_BOUND)).model
    last = RoundContext("heart-risk", ROUNDS, published)
    return {name: run_evaluation(tasks[name], arrays, path, last)["auc"] for name, path in sites.items()}, largest


def test_together_is_as_good_as_centralised_and_writes_reports(sites: dict[str, Path]) -> None:
    together, largest = federated(sites)
    centralised = train(SPEC, list(sites.values()), ROUNDS)["auc"]
    assert np.mean(list(together.values())) == pytest.approx(np.mean(list(centralised.values())), abs=0.01)
    assert {name for name in sites if abs(together[name] - centralised[name]) > 0.02} == set()
    assert 0.1 < largest < 0.5
    for name, path in sites.items():
        report = json.loads(path.with_suffix(".report.json").read_text())
        assert report["auc"]["mean"] == together[name]
        assert (report["job"], report["round"], report["patients"]) == ("heart-risk", ROUNDS, COUNTS[name][0])
        assert len(report["auc"]["splits"]) == heart.SPLITS
        assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, f"{name}.report.json"]


def test_alone_uses_the_hospitals_own_sums(sites: dict[str, Path]) -> None:
    alone = train(SPEC, [sites["switzerland"]], ROUNDS)
    assert alone["examples"] == 115 * 7 // 10 + 8 * 7 // 10
    assert 0.5 < alone["auc"]["switzerland"] < 1
    assert list(sites["switzerland"].parent.glob("*.json")) == []


def test_the_report_goes_where_the_site_says(sites: dict[str, Path], tmp_path: Path) -> None:
    task = load_task(SPEC, {"report": str(tmp_path / "mine.json")})
    published = {heart.MOMENTS: moments(sites["hungary"])}
    run_evaluation(task, initial_model(task), sites["hungary"], RoundContext("heart-risk", 4, published))
    assert json.loads((tmp_path / "mine.json").read_text())["round"] == 4


def test_a_measurement_nobody_took_is_no_division_by_zero(sites: dict[str, Path]) -> None:
    task = load_task(SPEC)
    published = {heart.MOMENTS: moments(sites["switzerland"])}
    update = run_training(task, initial_model(task), sites["switzerland"], RoundContext("heart-risk", 1, published))
    cholesterol = update.delta[heart.SPLITS :].reshape(heart.SPLITS, heart.FEATURES)[:, 2]
    assert cholesterol.tolist() == [0.0] * heart.SPLITS


def test_the_sums_must_be_of_this_task(sites: dict[str, Path]) -> None:
    task = load_task(SPEC)
    context = RoundContext("heart-risk", 1, {heart.MOMENTS: np.zeros(3)})
    with pytest.raises(BadInput, match=r"shape \(3,\)"):
        run_training(task, initial_model(task), sites["hungary"], context)
    assert isinstance(load_task(f"{FOLDER / 'task.py'}:MomentsTask"), SumTask)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,hungary,0,abc,Male,asymptomatic,120,200,1,normal,150,0,1", "Line 2 of bad.csv"),
        ("1,hungary,0,63,Male,asymptomatic,12000,200,1,normal,150,0,1", "out of range"),
        ("1,hungary,0,nan,Male,asymptomatic,120,200,1,normal,150,0,1", "out of range"),
        ("1,hungary,,63,Male,asymptomatic,120,200,1,normal,150,0,1", "no num"),
        ("1,hungary,0,63", "is not a patient"),
        ("", "holds no patient"),
    ],
)
def test_a_file_that_is_not_as_described_is_refused(tmp_path: Path, line: str, words: str) -> None:
    header = "patient,hospital,num,age,sex,cp,trestbps,chol,fbs,restecg,thalch,exang,oldpeak"
    (tmp_path / "bad.csv").write_text(f"{header}\n{line}\n")
    with pytest.raises(BadInput, match=words):
        heart.read(tmp_path / "bad.csv")
