"""A federation with trustees in process for tests and benchmarks: keys, shares, custody, manifest, parties.

Rules: the same structs and checks as the roles; randomness comes from the caller's generator, so a rehearsal can be
repeated. Keys below 2048 bits are possible here and nowhere else, and only with policies that say so.
Leaves to others: real ceremonies (secagg.protocol.ceremony), real enrolment (keyserver), real jobs (aggregator).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.encrypt import obfuscate
from secagg.crypto.paillier.keys import FLOOR_BITS
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table as Powers
from secagg.crypto.paillier.threshold import Share, ThresholdKey
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.log.checkpoint import read_checkpoint
from secagg.log.log import MemoryLog
from secagg.log.statements import KeyDealt, sign_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.custody import accept_key, key_digest
from secagg.protocol.lanes import Contribution, Groups, words_of
from secagg.protocol.manifest import Custody, JobSpec, Manifest, Seat
from secagg.protocol.paillier.decrypting import Secret, answer
from secagg.protocol.paillier.encrypting import protect
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import ANSWERED_BY
from secagg.protocol.paillier.phases import Decrypting, Encrypting
from secagg.protocol.round.asked import Named
from secagg.protocol.round.phases import within
from secagg.protocol.round.trustees import TrusteeContext, TrusteeExpectation
from secagg.rehearsal import federation
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, OpenLog
from secagg.rehearsal.notebook import Notebook
from secagg.rehearsal.run import Holder, Party, Table
from secagg.roster.members import Member as Enrolled
from secagg.wire.codec import encode

AHEAD = 2**22
"""Bytes of the table of powers: rounds in process are small."""


@dataclass(frozen=True)
class Entrusted:
    """A federation of nodes, and the trustees that open its sums with their signing keys and secrets."""

    nodes: federation.Federation
    trustees: Mapping[str, SigningKey]
    secrets: Mapping[str, Secret]
    custody: Custody
    policy: Policy
    powers: Powers


@dataclass
class Rehearsal(Table):
    """A table at which members encrypt with powers that serve many rounds, and trustees may fall silent."""

    powers: Powers = field(kw_only=True)
    whole: PrivateKey | None = None

    def steps_of(self, name: str) -> Mapping[str, str]:
        """Return the step in which a member or a trustee answers each message."""
        return {"Propose": "Attend", **ANSWERED_BY} if name in self.holders else super().steps_of(name)

    def protect(self, name: str, phase: object, given: Contribution) -> tuple[bytes, Named]:
        """Encrypt a member's words."""
        rng = self.parties[name].ctx.rng
        groups = words_of(self.manifest, given)
        return protect(within(phase, Encrypting), name, groups, lambda count: obfuscate(self.powers, count, rng), rng)

    def answer(self, name: str, phase: object, collected: bytes) -> object:
        """Answer with a single holder's key as it is: one that is short would not be read from a disk."""
        if self.whole is None:
            return super().answer(name, phase, collected)
        products = Layout(self.manifest).ring.read(collected)
        return answer(within(phase, Decrypting), self.whole, products, self.holders[name].ctx.rng, self.executor)


def entrust(
    names: tuple[str, ...], spec: JobSpec, key: ThresholdKey | PrivateKey, secrets: Mapping[str, Secret], rng: Rng,
    *, trustee_colluders: int = 0, s: int = 1, colluders: int | None = None, open_log: OpenLog = MemoryLog,
    stated: Callable[[Custody], Custody] = lambda custody: custody, beside: Mapping[str, SigningKey] | None = None,
) -> Entrusted:  # fmt: skip
    """Make a federation of `names` whose job is encrypted to `key`; the trustees, `secrets` by name, accept it.

    The directory states that the key was dealt as `stated` says: to whom, and by which numbers. Trustees `beside` them
    are in the roster and have no share of this key.
    """
    signing = {name: SigningKey.from_private_bytes(rng(32)) for name in secrets}
    seats = tuple(Seat(name, f"of-{name}", one.public) for name, one in signing.items())
    public, threshold = (key.public, 1) if isinstance(key, PrivateKey) else (key, key.threshold)
    encoded = encode(public)
    accepted = tuple(accept_key(one, spec.federation, name, encoded) for name, one in signing.items())
    custody = Custody(encoded, s, seats, threshold, trustee_colluders, accepted)
    others = tuple(Seat(name, f"of-{name}", one.public) for name, one in (beside or {}).items())
    enrolled = tuple(Enrolled(seat.name, seat.organisation, "trustee", seat.key, rng(32)) for seat in (*seats, *others))
    nodes = federation.found(
        names, replace(spec, engine="paillier", custody=custody), rng, colluders, open_log, enrolled
    )
    _state(nodes, stated(custody))
    policy = Policy(
        engines=("paillier",), exact_counts=True, allow_trials=not trustee_colluders,
        min_key_bits=min(key.public.bits, FLOOR_BITS),
    )  # fmt: skip
    return Entrusted(nodes, signing, dict(secrets), custody, policy, Powers.build(Ring(key.public, s), AHEAD))


def _state(nodes: federation.Federation, custody: Custody) -> None:
    """State in the directory that the key was dealt, as the key server does after a ceremony."""
    key = custody.key
    dealt = KeyDealt(
        federation=nodes.spec.federation, time=START_OF_TIME, key=sha256(key).hex(), transcript=sha256(b"").hex(),
        bits=0, trustees=custody.names(), threshold=custody.threshold, colluders=custody.colluders,
    )  # fmt: skip
    nodes.directory.append(sign_statement(dealt, "keyserver", nodes.online))
    nodes.directory.publish()


def propose(entrusted: Entrusted, round_number: int = 1, attempt: int = 1) -> Manifest:
    """Return the honest manifest of a round."""
    return federation.propose(entrusted.nodes, round_number, attempt)


def member(entrusted: Entrusted, name: str, round_number: int = 1, policy: Policy | None = None) -> Party:
    """Return a node that expects exactly this federation's job and its trustees."""
    party = federation.party(entrusted.nodes, name, round_number, policy or entrusted.policy)
    expect = dataclasses.replace(party.ctx.expect, trustees=entrusted.custody.trustees)
    return Party(dataclasses.replace(party.ctx, expect=expect), party.notebook)


def holder(entrusted: Entrusted, name: str) -> Holder:
    """Return a trustee that accepted its share of the federation's key."""
    nodes, spec, notebook = entrusted.nodes, entrusted.nodes.spec, Notebook()
    expect = TrusteeExpectation(
        me=name, federation=spec.federation, aggregator=AGGREGATOR, aggregator_key=nodes.aggregator.public,
        log_origin=f"{spec.federation}/rounds", directory_origin=f"{spec.federation}/directory",
        directory_key=nodes.online.public, roster_version=nodes.version, roster=sha256(nodes.roster),
        seats=nodes.seats, trustees=entrusted.custody.trustees, colluders=nodes.colluders,
        keys=(key_digest(entrusted.custody.key),), directory=read_checkpoint(nodes.directory_note),
    )  # fmt: skip
    ctx = TrusteeContext(name, entrusted.trustees[name], nodes.rng, notebook, expect, START_OF_TIME)
    secret = entrusted.secrets[name]
    return Holder(ctx, notebook, secret.secret if isinstance(secret, Share) else secret.private_bytes())


def table(
    entrusted: Entrusted, inputs: Mapping[str, Groups | Contribution], drops: Mapping[str, str] | None = None,
    **parts: object,
) -> Rehearsal:  # fmt: skip
    """Seat a federation for `run_round`; `parts` may replace the manifest, the parties or the log."""
    seated: dict[str, object] = {
        "parties": {name: member(entrusted, name) for name in entrusted.nodes.members},
        "holders": {name: holder(entrusted, name) for name in entrusted.trustees},
        **parts,
    }
    whole = next((secret for secret in entrusted.secrets.values() if isinstance(secret, PrivateKey)), None)
    made = federation.table(entrusted.nodes, inputs, drops or {}, **seated)
    return Rehearsal(**vars(made), powers=entrusted.powers, whole=whole)
