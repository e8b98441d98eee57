"""A federation in process for examples, tests and benchmarks: keys, seats, job, manifest, parties for `run_round`.

Rules: the same structs and checks as the roles; keys come from the caller's generator, so a rehearsal can be repeated.
Leaves to others: real enrolment (keyserver), real jobs (aggregator).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.sign import SigningKey
from secagg.ids import EVERYBODY
from secagg.log.checkpoint import read_checkpoint
from secagg.log.log import Log, MemoryLog
from secagg.log.statements import JobCreated, RosterChanged, RosterRoot, sign_statement
from secagg.protocol import manifest as rules
from secagg.protocol.acceptance import Expectation, Policy
from secagg.protocol.deriving import Facts, derive
from secagg.protocol.lanes import Contribution, Groups
from secagg.protocol.manifest import JobSpec, Manifest, Seat
from secagg.protocol.round.parties import AggregatorContext, NodeContext
from secagg.protocol.session import job_scope
from secagg.rehearsal.notebook import Notebook
from secagg.rehearsal.run import Party, Table
from secagg.roster.chain import Delegation, delegate, sign_roster
from secagg.roster.members import Limits, Member, Roster
from secagg.wire.codec import encode
from secagg.wire.signed import sign

AGGREGATOR = "aggregator"
START_OF_TIME = 1_700_000_000
OpenLog = Callable[[str, str, SigningKey], Log]


@dataclass(frozen=True)
class Federation:
    """Everybody's keys, the job, the signed roster, the directory log that holds it and the roster's version."""

    spec: JobSpec
    colluders: int
    members: Mapping[str, SigningKey]
    aggregator: SigningKey
    opening: SealingKey
    online: SigningKey
    root_key: bytes
    roster: bytes
    directory: Log
    rng: Rng
    version: int = 1

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Return the seats of the cohort in roster order."""
        return tuple(Seat(name, name, key.public) for name, key in self.members.items())

    @property
    def directory_note(self) -> bytes:
        """Return the directory checkpoint that every manifest of this federation relies on."""
        return self.directory.prove(0).checkpoint


def found(
    names: tuple[str, ...], spec: JobSpec, rng: Rng, colluders: int | None = None, open_log: OpenLog = MemoryLog,
    others: tuple[Member, ...] = (),
) -> Federation:  # fmt: skip
    """Make a federation of `names` (sorted) with fresh keys, and `others`; c defaults to floor((R − 1)/3)."""
    members = {name: SigningKey.from_private_bytes(rng(32)) for name in names}
    aggregator, online, root = (SigningKey.from_private_bytes(rng(32)) for _ in range(3))
    c = rules.default_colluders(len(names)) if colluders is None else colluders
    nodes = tuple(Member(name, name, "node", key.public, rng(32)) for name, key in members.items())
    roster = Roster(
        spec.federation, 1, START_OF_TIME, START_OF_TIME + 86_400, bytes(32), Limits(c, 3),
        (*nodes, Member(AGGREGATOR, "operator", "aggregator", aggregator.public, rng(32)), *others),
    )  # fmt: skip
    delegation = delegate(root, Delegation(spec.federation, online.public, START_OF_TIME + 864_000))
    signed = sign_roster(roster, root.public, delegation, online)
    origin = f"{spec.federation}/directory"
    directory = open_log(origin, origin, online)
    when = {"federation": spec.federation, "time": START_OF_TIME}
    for statement in (
        RosterRoot(**when, root_key=root.public.hex(), online_key=online.public.hex()),  # type: ignore[arg-type]
        RosterChanged(**when, version=1, roster=sha256(signed).hex()),  # type: ignore[arg-type]
    ):
        directory.append(sign_statement(statement, "keyserver", online))
    directory.publish()
    opening = SealingKey.from_private_bytes(rng(96))
    return Federation(spec, c, members, aggregator, opening, online, root.public, signed, directory, rng)


def create_job(federation: Federation, log: Log) -> bytes:
    """Sign the federation's job, state it in the round log, and return the signed job, a side file of the audit."""
    spec = federation.spec
    signed = encode(sign(federation.aggregator, "JobSpec", job_scope(spec), AGGREGATOR, EVERYBODY, encode(spec)))
    created = JobCreated(federation=spec.federation, time=START_OF_TIME, job=spec.name, spec=sha256(signed).hex())
    log.append(sign_statement(created, AGGREGATOR, federation.aggregator))
    log.publish()
    return signed


def propose(federation: Federation, round_number: int = 1, attempt: int = 1) -> Manifest:
    """Return the honest manifest of a round."""
    spec = federation.spec
    facts = Facts(
        round=round_number, attempt=attempt, job_digest=sha256(encode(spec)), model=spec.initial_model,
        roster_version=federation.version, roster=sha256(federation.roster), seats=federation.seats,
        colluders=federation.colluders, aggregator=AGGREGATOR, directory=federation.directory_note,
        opening_key=federation.opening.public,
    )  # fmt: skip
    return derive(spec, facts)


def party(federation: Federation, name: str, round_number: int = 1, policy: Policy | None = None) -> Party:
    """Return a member who expects exactly this federation's job."""
    notebook, spec = Notebook(), federation.spec
    expect = Expectation(
        me=name, aggregator=AGGREGATOR, aggregator_key=federation.aggregator.public,
        log_origin=f"{spec.federation}/rounds", directory_origin=f"{spec.federation}/directory",
        directory_key=federation.online.public, spec=spec, spec_digest=sha256(encode(spec)),
        roster_version=federation.version, roster=sha256(federation.roster), seats=federation.seats,
        colluders=federation.colluders, policy=policy or Policy(exact_counts=True), model=spec.initial_model,
        round=round_number, directory=read_checkpoint(federation.directory_note),
    )  # fmt: skip
    key = federation.members[name]
    return Party(NodeContext(name, key, federation.rng, notebook, expect, START_OF_TIME), notebook)


def table(
    federation: Federation, inputs: Mapping[str, Groups | Contribution], drops: Mapping[str, str], **parts: object
) -> Table:
    """Seat a federation for `run_round`; `parts` may replace the manifest, the parties or the log."""
    seated: dict[str, object] = {
        "manifest": propose(federation),
        "parties": {name: party(federation, name) for name in federation.members},
        "log": MemoryLog(
            f"{federation.spec.federation}/rounds", f"{federation.spec.federation}/rounds", federation.aggregator
        ),
        **parts,
    }  # fmt: skip
    keeper = AggregatorContext(AGGREGATOR, federation.aggregator, federation.rng, federation.opening, START_OF_TIME)
    return Table(keeper=keeper, inputs=inputs, drops=drops, **seated)  # type: ignore[arg-type]
