"""Heart disease at four hospitals: the tasks that each of them runs on its own patients.

Ten random 70/30 splits are ten logistic regressions stacked in one module, so one federation trains all ten. Which
patients a split trains on follows from SHA-256 of split and patient, stratified by diagnosis. It is the same on every
machine, without a seed to agree on. Both diagnoses are on both sides at every hospital (Switzerland has 8 healthy
patients of 123). A model never sees a patient that its split holds out, and neither do the sums for standardisation.

`MomentsTask` gives, per split and measurement, Σx, Σx² and the number of patients measured. `HeartRisk` standardises
with the means and variances of all hospitals together, as a secure sum published them. A missing value becomes the mean
(0 after standardisation). Not used: `ca` and `thal`, hardly recorded outside Cleveland, and `slope`, missing for half
of two hospitals. Their absence would say more about the hospital than about the heart.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from node.task import RoundContext, Trained
from secagg.errors import BadInput

Floats = npt.NDArray[np.float64]

SPLITS = 10
MOMENTS = "heart-moments"
NUMBERS = ("age", "trestbps", "chol", "thalch", "oldpeak")
# A category is +1/2 when it holds, −1/2 when not, 0 when nobody wrote it down; the last of each kind is left out.
CATEGORIES = (
    ("sex", "Male"),
    ("cp", "asymptomatic"),
    ("cp", "atypical angina"),
    ("cp", "non-anginal"),
    ("fbs", "1"),
    ("restecg", "lv hypertrophy"),
    ("restecg", "st-t abnormality"),
    ("exang", "1"),
)
FEATURES = len(NUMBERS) + len(CATEGORIES)
# Rounding to 1/1024 makes x² exact at 20 bits after the binary point: the sums of all hospitals are exact too.
GRID = 1024.0
# A slip of the keyboard must not decide a mean; nothing in these columns comes near it.
LARGEST = 1000.0

LOCAL_STEPS = 5
LEARNING_RATE = 0.5
LARGEST_LOSS = 16.0
PENALTY = 0.01


class Patients(NamedTuple):
    """Rows of one hospital, or of several: numbers (n, 5) with NaN for missing, categories (n, 8), diagnosis (n,)."""

    numbers: Floats
    categories: Floats
    sick: npt.NDArray[np.bool_]
    training: npt.NDArray[np.bool_]
    """(10, n): who trains in which split; the others are held out."""


class MomentsTask:
    """Sums for the standardisation, of the training patients of each split."""

    def vector(self, data: Path, round: RoundContext) -> Floats:
        """Return Σx, Σx² and the count of measured patients, (10, 3, 5) flattened."""
        patients = read(data)
        measured = ~np.isnan(patients.numbers)
        numbers = np.where(measured, patients.numbers, 0.0)
        sums = [[numbers[t].sum(0), (numbers[t] ** 2).sum(0), measured[t].sum(0)] for t in patients.training]
        return np.array(sums, dtype=np.float64).ravel()


class StackedLogistic(torch.nn.Module):
    """Ten logistic regressions; `mean` and `scale` are buffers: they stay at the hospital, only the weights travel."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(SPLITS, FEATURES))
        self.bias = torch.nn.Parameter(torch.zeros(SPLITS))
        self.register_buffer("mean", torch.zeros(SPLITS, len(NUMBERS)))
        self.register_buffer("scale", torch.ones(SPLITS, len(NUMBERS)))

    def features(self, patients: Patients) -> torch.Tensor:
        """Return (10, n, 13): what each of the ten models sees of every patient."""
        numbers = torch.from_numpy(patients.numbers).float()
        standard = torch.nan_to_num((numbers - self.mean[:, None]) / self.scale[:, None], nan=0.0)
        categories = torch.from_numpy(patients.categories).float().expand(SPLITS, -1, -1)
        return torch.cat([standard, categories], dim=2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits (10, n) of disease."""
        return torch.einsum("snf,sf->sn", features, self.weight) + self.bias[:, None]


class HeartRisk:
    """Risk of heart disease; each hospital writes its own report, which nobody else reads.

    Options: `report`, the path of the report file; beside the data when left out.
    """

    metrics = {"loss": LARGEST_LOSS}  # noqa: RUF012 - read by the node, which lets no job ask for other metrics
    sums = {MOMENTS: MomentsTask()}  # noqa: RUF012 - read by `secagg node train`, which has no federation to ask

    def __init__(self, report: str | None = None) -> None:
        self.report = report
        self._round = RoundContext("none", 0)

    def model(self) -> StackedLogistic:
        """Return ten regressions at zero."""
        return StackedLogistic()

    def prepare(self, model: StackedLogistic, round: RoundContext) -> None:
        """Set the standardisation from the sums that the hospitals published together."""
        self._round = round
        sums = round.sums(MOMENTS)
        if sums.shape != (SPLITS * 3 * len(NUMBERS),):
            raise BadInput(
                f"The sums of {MOMENTS} have shape {sums.shape}.", "Run the job with MomentsTask of this very file."
            )
        first, second, count = sums.reshape(SPLITS, 3, len(NUMBERS)).swapaxes(0, 1)
        mean = first / np.maximum(count, 1)
        variance = np.maximum(second / np.maximum(count, 1) - mean**2, 0)
        model.mean.copy_(torch.from_numpy(mean))
        # A measurement that nobody took, or that never varies, tells nothing: any scale will do.
        model.scale.copy_(torch.from_numpy(np.where(variance > 0, np.sqrt(variance), 1.0)))

    def train(self, model: StackedLogistic, data: Path, round: RoundContext) -> Trained:
        """Take a few gradient steps over all training patients of every split at once."""
        patients = read(data)
        features = model.features(patients)
        sick = torch.from_numpy(patients.sick).float().expand(SPLITS, -1)
        training = torch.from_numpy(patients.training).float()
        share = training / training.sum(1, keepdim=True)
        parameters = list(model.parameters())
        loss = torch.zeros(())
        for _ in range(LOCAL_STEPS):
            errors = torch.nn.functional.binary_cross_entropy_with_logits(model(features), sick, reduction="none")
            loss = (errors * share).sum()
            # The models share no parameter, so the gradient of the sum is each one's own.
            whole = loss + PENALTY / 2 * model.weight.square().sum()
            # Plain descent by hand: to import torch.optim takes longer than all ten rounds.
            slopes = torch.autograd.grad(whole, parameters)
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.grad = slope
            # The algorithm of the job may have its word; it writes into these very slopes.
            round.correct(model)
            with torch.no_grad():
                for parameter, slope in zip(parameters, slopes, strict=True):
                    parameter.add_(slope, alpha=-LEARNING_RATE)
        return Trained(int(patients.training[0].sum()), {"loss": min(loss.item() / SPLITS, LARGEST_LOSS)})

    def evaluate(self, model: StackedLogistic, data: Path) -> dict[str, float]:
        """Return the AUC of every split on its held-out patients, their mean and spread, and write the report."""
        patients = read(data)
        with torch.no_grad():
            logits = model(model.features(patients)).double().numpy()
        held_out = ~patients.training
        values = [auc(logits[s, held_out[s]], patients.sick[held_out[s]]) for s in range(SPLITS)]
        metrics = {"auc": float(np.mean(values)), "auc-spread": float(np.std(values))}
        metrics |= {f"auc-{split}": value for split, value in enumerate(values, start=1)}
        self._write(data, patients, values, metrics)
        return metrics

    def _write(self, data: Path, patients: Patients, values: list[float], metrics: dict[str, float]) -> None:
        report = {
            "job": self._round.job,
            "round": self._round.round,
            "patients": len(patients.sick),
            "held_out": int((~patients.training[0]).sum()),
            "auc": {"mean": metrics["auc"], "spread": metrics["auc-spread"], "splits": values},
        }
        path = Path(self.report) if self.report else data.with_suffix(".report.json")
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)


def read(data: Path) -> Patients:
    """Return the patients of a file, or of every .csv file in a directory, with the ten splits.

    Raises: BadInput naming file and column when something is not as the README beside this file says.
    """
    files = sorted(data.glob("*.csv")) if data.is_dir() else [data]
    rows = [row for file in files for row in _rows(file)]
    if not rows:
        raise BadInput(f"{data} holds no patient.", "Name a file made by clean.py.")
    sick = np.array([row["sick"] for row in rows], dtype=np.bool_)
    strata = [f"{row['hospital']}/{row['sick']}" for row in rows]
    names = [f"{row['hospital']}/{row['patient']}" for row in rows]
    return Patients(
        numbers=np.array([row["numbers"] for row in rows], dtype=np.float64),
        categories=np.array([row["categories"] for row in rows], dtype=np.float64),
        sick=sick,
        training=np.array([_training(split, names, strata) for split in range(SPLITS)]),
    )


def auc(scores: Floats, sick: npt.NDArray[np.bool_]) -> float:
    """Return the probability that a sick patient scores above a healthy one, a tie counting one half."""
    above = scores[sick][:, None] - scores[~sick][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def _training(split: int, names: list[str], strata: list[str]) -> npt.NDArray[np.bool_]:
    """Return who trains: in each stratum, the seven tenths whose hash comes first."""
    chosen = np.zeros(len(names), dtype=np.bool_)
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(f"{split}/{names[i]}".encode()).digest())
    for stratum in sorted(set(strata)):
        members = [i for i in order if strata[i] == stratum]
        chosen[members[: len(members) * 7 // 10]] = True
    return chosen


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                yield {
                    "hospital": row["hospital"],
                    "patient": row["patient"],
                    "sick": row["num"] != "0" if row["num"] else _missing("num"),
                    "numbers": [_number(row[column]) for column in NUMBERS],
                    "categories": [_category(row[column], value) for column, value in CATEGORIES],
                }
            except (KeyError, ValueError, TypeError) as error:
                raise BadInput(
                    f"Line {number} of {file.name} is not a patient: {type(error).__name__} {error}.",
                    "Make the file with clean.py.",
                ) from error


def _missing(column: str) -> bool:
    raise ValueError(f"no {column}")


def _number(text: str) -> float:
    if text == "":
        return float("nan")
    value = float(text)
    if not abs(value) <= LARGEST:
        raise ValueError(f"{text} is out of range")
    return round(value * GRID) / GRID


def _category(text: str, value: str) -> float:
    return 0.0 if text == "" else 0.5 if text == value else -0.5
