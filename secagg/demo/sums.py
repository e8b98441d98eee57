"""Four hospitals sum what they know about their patients, in one process: the whole protocol, a drop-out, the audit.

Each hospital's vector is, per measurement, how many patients were measured, Σx and Σx²; plus patients and diagnoses.
The masked round gives the exact sums. One hospital falls silent on the way. Then the aggregator asks for the same data
without one hospital, which would reveal it by subtraction, and every node refuses. Data: secagg/demo/sites/heart.
Leaves to others: real processes over a real network (the roles), models (learning).
"""

import csv
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.demo.archive import keep
from secagg.demo.lying import CheatingTable, HeedlessTable
from secagg.demo.seen import Report, audit
from secagg.errors import ProtocolViolation
from secagg.ids import STEPS
from secagg.log.bundle import BundleWriter
from secagg.log.durable import TileLog
from secagg.log.log import Log, MemoryLog
from secagg.protocol.lanes import Groups, Sums, decode_sums, encode_sum, packing
from secagg.protocol.manifest import VECTOR, JobSpec, Manifest, Published
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.federation import Federation, create_job, found, party, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.roster.chain import fingerprint
from secagg.vector.codec import FRACTION, Fixed, Lane

HOSPITALS = ("cleveland", "hungary", "long-beach", "switzerland")
MEASUREMENTS = ("age", "trestbps", "chol", "thalch", "oldpeak")
FEDERATION = "heart"


@dataclass
class Story:
    """Everything the demonstration shows."""

    end: Closed | Failed
    sums: Sums | None
    reference: npt.NDArray[np.float64]
    clear: dict[str, bytes]
    masked: dict[str, bytes]
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: str = ""
    report: Report | None = None
    upload_bytes: int = 0


def vector_of(hospital: str) -> npt.NDArray[np.float64]:
    """Return a hospital's vector: patients, sick patients, then count, Σx and Σx² per measurement (float64, 17)."""
    with resources.files("secagg.demo").joinpath(f"sites/heart/{hospital}.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [float(len(rows)), float(sum(row["num"] != "0" for row in rows))]
    for name in MEASUREMENTS:
        known = [float(row[name]) for row in rows if row[name]]
        values += [float(len(known)), sum(known), sum(x * x for x in known)]
    return np.array(values, dtype=np.float64)


def run(bundle: Path, drop: dict[str, str], cheat: bool, rng: Rng) -> Story:
    """Play the demonstration and write its bundle into `bundle` (a fresh directory)."""

    def open_directory(origin: str, name: str, key: SigningKey) -> Log:
        return TileLog(bundle / "directory", origin, name, key)

    vectors = {name: vector_of(name) for name in HOSPITALS}
    federation = found(HOSPITALS, _job(len(vectors["cleveland"])), rng, open_log=open_directory)
    writer = BundleWriter(bundle)
    writer.put_root(FEDERATION, fingerprint(federation.root_key))
    writer.put_file(federation.roster)
    origin = f"{FEDERATION}/rounds"
    log = TileLog(bundle / "rounds", origin, origin, federation.aggregator)
    writer.put_file(create_job(federation, log))
    manifest = propose(federation)
    inputs = {name: encode_sum(manifest, vector) for name, vector in vectors.items()}
    seated = table(federation, inputs, drop, manifest=manifest, log=log)
    if cheat:
        seated = CheatingTable(**vars(seated))
    end = run_round(seated)
    story = Story(end, None, np.zeros(0), {}, dict(seated.uploads), steps=_steps(drop, end))
    story.clear = {name: b"".join(words.tobytes() for words in groups.values()) for name, groups in inputs.items()}
    keep(writer, seated, end)
    if isinstance(end, Closed):
        story.sums = _decoded(manifest, end.published)
        fixed = [np.rint(vectors[name] * 2.0**FRACTION) for name in end.published.contributors]
        story.reference = np.sum(fixed, axis=0) / 2.0**FRACTION
        story.upload_bytes = len(next(iter(seated.uploads.values())))
        story.refused = _ask_without_one(federation, seated)
    log.close()
    if isinstance(federation.directory, TileLog):
        federation.directory.close()
    story.report = audit(bundle)
    return story


def _job(parameters: int) -> JobSpec:
    return JobSpec(
        federation=FEDERATION, name="moments", purpose="sum", task="heart-moments", rounds=2, cohort=HOSPITALS,
        min_nodes=3, lanes=(Lane(VECTOR, parameters, Fixed()),), weight_bound=1, step_ms=3000, round_ms=60_000,
    )  # fmt: skip


def _decoded(manifest: Manifest, published: Published) -> Sums:
    words: Groups = {}
    for group, lanes in zip(published.groups, manifest.groups, strict=True):
        words[group.name] = np.frombuffer(group.words, dtype=np.uint8).view(packing(lanes).dtype)
    return decode_sums(manifest, words, len(published.contributors))


def _ask_without_one(federation: Federation, first: Table) -> str:
    """Ask for the same data without one hospital, as an honest aggregator would not; return the nodes' rule.

    It is played on a copy of the log: an auditor finds a set that does not fit in any log that holds it.
    """
    parties = {name: party(federation, name, 2) for name in HOSPITALS}
    for name in HOSPITALS:
        parties[name].notebook.records = list(first.parties[name].notebook.records)
    left_out = {HOSPITALS[-1]: "MaskedInput"}
    copy = MemoryLog(f"{FEDERATION}/rounds", f"{FEDERATION}/rounds", federation.aggregator)
    for index in range(first.log.size):
        copy.append(first.log.leaf(index))
    again = table(federation, first.inputs, left_out, manifest=propose(federation, 2), parties=parties, log=copy)
    try:
        run_round(HeedlessTable(**vars(again)))
    except ProtocolViolation as refusal:
        return refusal.rule
    return ""


def _steps(drop: dict[str, str], end: Closed | Failed) -> dict[str, dict[str, str]]:
    """Return what each hospital did in each step: sent, silent, or gone."""
    last = len(STEPS) if isinstance(end, Closed) else STEPS.index(end.step) + 1
    told = {}
    for name in HOSPITALS:
        silent = STEPS.index(drop[name]) if name in drop else len(STEPS)
        told[name] = {
            step: "sent" if at < silent else "silent" if at == silent else "gone"
            for at, step in enumerate(STEPS[:last])
        }
    return told


def means(sums: Sums) -> list[tuple[str, int, float, float]]:
    """Return (measurement, patients, mean, standard deviation) from the summed moments."""
    rows = []
    for at, name in enumerate(MEASUREMENTS):
        count, total, squares = sums.update[2 + 3 * at : 5 + 3 * at]
        mean = total / count
        rows.append((name, int(count), mean, float(np.sqrt(squares / count - mean * mean))))
    return rows
