"""What the simulator knows of inputs, whatever anybody says of them: whose they are, what they were computed from.

`Known` follows every message: which U2 was told, which header was signed over which input, and which shares and
decisions were released, into simulation_openings. An input is named by the source that the node's own task reads. For
training it is also named by the model that the node holds, its zeros unsigned. Where that model was handed out, it is
named by the source alone. Rules: what is told here comes from the plan and from the node's disk, and never from a field
of a job. `bound`: a header that says `any` of an input that is in a sum already, and was not lifted from it. `edition`:
one that binds the first input of next year's file to a set.
Leaves to others: judging what was released (simulation_openings), opening sealed answers (simulation_watch).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET

from aggregator.records import Job as Submitted
from node import records
from secagg.crypto.derive import sha256
from secagg.ids import RoundId
from secagg.learning.layout import decode_model
from secagg.log.durable import read_entries
from secagg.log.statements import Aborted, parse_statement
from secagg.protocol.manifest import (
    Custody,
    Manifest,
    default_colluders,
    fewest_entrusted,
    minimum_contributors,
    threshold,
)
from secagg.protocol.masks.messages import Answer, MaskedInput
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.rehearsal.federation import AGGREGATOR
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed
from support.simulation_openings import Collected, Row, Unknown, isolated
from support.simulation_plan import WHOLE, Plan, original
from support.simulation_world import World


class Known:
    """Everything that was released, and whose inputs it was computed from."""

    def __init__(self, world: World, plan: Plan, colluders: int) -> None:
        self._world, self._plan, self._colluders = world, plan, colluders
        self.collected = Collected()
        self._made: dict[str, set[bytes]] = {}
        self._frozen: dict[tuple[str, bytes], tuple[str, ...]] = {}
        self._entrusted: dict[tuple[str, str], Unknown] = {}
        self._allowed: dict[str, set[str]] = {}
        self._order: dict[tuple[str, str], int] = {}
        self._opened: set[tuple[str, str]] = set()
        self._cohorts: dict[str, int] = {}
        self._seen: set[tuple[str, str]] = set()
        self._lines: set[tuple[str, str]] = set()

    # What is told ----------------------------------------------------------------------------------------------------

    def needed(self, job: str) -> int:
        """Return max(t, K_min) of a job with engine masks: by the cohort it was submitted for, not by a manifest."""
        return minimum_contributors(self.seats(job), self._colluders)

    def seats(self, job: str) -> int:
        """Return how many members a job was submitted for."""
        if job not in self._cohorts:
            kept = self._world.machines[AGGREGATOR].journal.get(f"job/{job}")
            self._cohorts[job] = len(decode(Submitted, kept, WHOLE).spec.cohort)
        return self._cohorts[job]

    def proposed(self, manifest: Manifest) -> None:
        """Learn of an attempt."""
        label = manifest.round.label()
        if isinstance(manifest.custody, Custody):
            self.seats(manifest.round.job)
            shares = manifest.custody.threshold - manifest.custody.colluders
            self.collected.attempt(label, max(1, shares), fewest_entrusted(self._colluders), 0)
        else:
            job = manifest.round.job
            shares = threshold(self.seats(job), self._colluders)
            self.collected.attempt(label, shares, self.needed(job), self._colluders)

    def masked_over(self, round_id: RoundId, u2: bytes) -> None:
        """Learn a U2."""
        self.collected.masked_over(round_id.label(), sha256(u2), senders(u2))

    def frozen(self, round_id: RoundId, u: bytes) -> None:
        """Learn the set that a trustee was told."""
        self._frozen[round_id.label(), sha256(u)] = senders(u)

    def header(self, sender: str, manifest: Manifest, envelope: Signed) -> None:
        """Learn of an upload, from its signed header."""
        label = manifest.round.label()
        if (label, sender) in self._seen:
            return
        self._seen.add((label, sender))
        unknown = self._unknown(sender, manifest)
        if manifest.custody is UNSET:
            body: MaskedInput | EncryptedInput = decode(MaskedInput, envelope.body)
            self.collected.upload(label, body.u2, sender, unknown)  # type: ignore[union-attr]
        else:
            body = decode(EncryptedInput, envelope.body)
            self._entrusted[label, sender] = unknown
        self._order.setdefault((label, unknown.seat), len(self._order))
        self._bound(sender, manifest.round, unknown, body)
        self._begins(sender, manifest.round, body)

    def answered(self, sender: str, round_id: RoundId, answer: Answer) -> None:
        """Learn what a member released."""
        self._opened.add((round_id.label(), sender))
        for shares, kind in ((answer.seeds, "seed"), (answer.keys, "key")):
            for share in shares:
                self.collected.share(round_id.label(), kind, share.owner, sender)

    def decided(self, sender: str, round_id: RoundId, u: bytes) -> int:
        """Learn that a trustee released its part of a sum; return of how many inputs it is."""
        label = round_id.label()
        members = self._frozen[label, u]
        self.collected.decided(label, sender, [self._entrusted[label, member] for member in members])
        return len(members)

    def allowed(self, member: str, job: str) -> None:
        """Learn that a person allows a job over another set than before."""
        self._allowed.setdefault(job, set()).add(member)

    def opened(self) -> bool:
        """Say whether some sum can be made."""
        return bool(self.collected.rows())

    # What follows ----------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Say which inputs are isolated by what was released."""
        rows = self.collected.rows()
        self._world.count["sum that can be made"] += len(rows)
        for told in isolated(rows, excused=self._excused):
            self._world.violate("isolated", told)

    def _excused(self, one: Row, other: Row) -> bool:
        """Say whether every member of either set allowed the job of the later one beside the earlier one."""
        later = max((one, other), key=self._began)
        allowed = self._allowed.get(_job(later), set())
        return _job(one) != _job(other) and {unknown.seat for row in (one, other) for unknown in row.inputs} <= allowed

    def _began(self, row: Row) -> int:
        return min(self._order.get((row.where, unknown.seat), 0) for unknown in row.inputs)

    def _bound(self, sender: str, round_id: RoundId, unknown: Unknown, body: MaskedInput | EncryptedInput) -> None:
        if body.bound.only.kind != "any" or sender in self._allowed.get(round_id.job, set()):
            return
        for row in self.collected.rows():
            if unknown in row.inputs and row.where != round_id.label() and not self._lifted(sender, row.where):
                told = f"{sender} binds its input in {round_id.label()} to no set; it is in {row.where}"
                self._world.violate("bound", told)

    def _begins(self, sender: str, round_id: RoundId, body: MaskedInput | EncryptedInput) -> None:
        """Watch the first header over a new edition: nothing was summed of it, so that nothing binds it."""
        if not self._plan.edition or original(round_id.job) != "b":
            return
        line = self._world.machines[sender].seat, self._source(sender, round_id.job)
        if line not in self._lines and body.bound.only.kind in ("same", "overlap"):
            told = f"{sender} binds its first input of {line[1]}, in {round_id.label()}, to a set"
            self._world.violate("edition", told)
        self._lines.add(line)

    def _source(self, sender: str, job: str) -> str:
        """Return what names the data that a node's task of a job reads now."""
        source = self._plan.jobs[original(job)].source
        edition = self._world.machines[sender].editions.get(source, "")
        return f"{source} of {edition}" if edition else source

    def _lifted(self, sender: str, label: str) -> bool:
        """Say whether a logged end of an attempt lets this member forget it: it must not have opened it."""
        if (label, sender) in self._opened:
            return False
        leaves = read_entries(self._world.machines[AGGREGATOR].root / "audit" / "rounds")[0]
        ends = (statement for leaf in leaves if isinstance(statement := parse_statement(leaf)[0], Aborted))
        return any(f"{end.job}.{end.round}.{end.attempt}.{end.group}" == label for end in ends)

    def _unknown(self, sender: str, manifest: Manifest) -> Unknown:
        planned = self._plan.jobs[original(manifest.round.job)]
        machine, source = self._world.machines[sender], self._source(sender, manifest.round.job)
        if planned.purpose == "sum":
            return Unknown(machine.seat, f"{source} summed")
        model = self._model(sender, machine, manifest.round.job)
        return Unknown(machine.seat, f"{source} trained from {model}")

    def _model(self, sender: str, machine: Any, name: str) -> str:
        """Return what names the model that a node trains from: nothing of it when it was handed out."""
        jobs = [decode(records.Job, value, WHOLE) for _, value in machine.journal.scan("job/")]
        made = self._made.setdefault(sender, set())
        digest = b""
        for job in jobs:
            if job.spec.purpose != "training" or not machine.has(job.model):
                continue
            values = _values(machine.blob(job.model))
            if job.model_digest != job.spec.initial_model:
                made.add(values)
            if job.spec.name == name:
                digest = values
        return digest.hex()[:12] if digest in made else "what was handed out"


@lru_cache(maxsize=64)
def _values(path: Path) -> bytes:
    """Return what names the values of a model: blobs are named by their bytes and never change."""
    arrays = decode_model(path.read_bytes())
    return sha256(b"".join(np.ascontiguousarray(arrays[name] + 0.0).tobytes() for name in sorted(arrays)))


def _job(row: Row) -> str:
    return row.where.split(".")[0]


def senders(listed: bytes) -> tuple[str, ...]:
    """Return the senders of an encoded list of signed messages."""
    return tuple(entry.sender for entry in decode(tuple[Signed, ...], listed, LIMIT_LIST))


def colluders_of(nodes: int) -> int:
    """Return c of a federation of so many institutions."""
    return default_colluders(nodes)
