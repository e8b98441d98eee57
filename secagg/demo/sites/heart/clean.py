"""Make the four hospitals' files from the UCI heart-disease file: `python clean.py heart_disease_uci.csv [INTO]`.

The rule, complete: there is one file per value of the column `dataset`. The columns keep their names, except that `id`
becomes `patient` and `dataset` becomes `hospital`. A cholesterol or a blood pressure of 0 means "not measured" and
becomes empty. TRUE and FALSE become 1 and 0. Everything else stays as it is, rows in their order, none left out, none
corrected. README.md beside this file lists what looks odd and was left.
"""

import csv
import sys
from pathlib import Path

HOSPITALS = {
    "Cleveland": "cleveland",
    "Hungary": "hungary",
    "Switzerland": "switzerland",
    "VA Long Beach": "long-beach",
}
RENAMED = {"id": "patient", "dataset": "hospital"}
# Nobody alive has a value of 0 in these.
ZERO_IS_MISSING = ("chol", "trestbps")
TRUTH = {"TRUE": "1", "FALSE": "0"}


def clean(row: dict[str, str]) -> dict[str, str]:
    """Return one patient by the rule above."""
    cleaned = {RENAMED.get(column, column): TRUTH.get(value, value) for column, value in row.items()}
    cleaned["hospital"] = HOSPITALS[cleaned["hospital"]]
    for column in ZERO_IS_MISSING:
        if cleaned[column] and float(cleaned[column]) == 0:
            cleaned[column] = ""
    return cleaned


def split(source: Path, into: Path) -> dict[str, int]:
    """Write `<hospital>.csv` for every hospital into a directory and return the number of patients in each."""
    with source.open(newline="", encoding="utf-8") as file:
        patients = [clean(row) for row in csv.DictReader(file)]
    counts = {}
    for hospital in HOSPITALS.values():
        rows = [patient for patient in patients if patient["hospital"] == hospital]
        with (into / f"{hospital}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        counts[hospital] = len(rows)
    return counts


if __name__ == "__main__":
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    print(split(Path(sys.argv[1]), target))
