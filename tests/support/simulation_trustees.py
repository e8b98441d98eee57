"""Trustees in the simulator: a federation whose sums three of them open, two at a time, and what a trustee is there.

A ceremony is held once per process with the real key server, dealer and checks; only the key's primes are weak. The
process that decrypts is a call here, with the trustee's own randomness, so that a seed stays a history.
Rules watched: an answer is one for each (job, round, group) whatever the attempt, of the set that was frozen, which is
large enough. A trustee holds neither a round nor an upload when everything is over.
Leaves to others: everything else that happens to them (simulation), what a node or an aggregator must do (oracles).
"""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyserver.trustee import records
from keyserver.trustee.service import TrusteeService
from keyserver.trustee.store import Store
from secagg.crypto.paillier import keys as lengths
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.threshold import Share, ThresholdKey
from secagg.crypto.seal import SealingKey
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon.enrolment import Newcomer
from secagg.daemon.loop import Service
from secagg.daemon.participant import WHOLE, Round
from secagg.daemon.vault import KeyRing, private_directory
from secagg.protocol.ceremony.accepting import assemble, receive
from secagg.protocol.ceremony.dealing import Plan, hold
from secagg.protocol.ceremony.files import Card, sign_card
from secagg.protocol.custody import accept_key, key_digest
from secagg.protocol.manifest import Custody
from secagg.protocol.paillier import member
from secagg.protocol.paillier.decrypting import answer
from secagg.protocol.paillier.phases import Decrypting
from secagg.wire.codec import decode, encode
from support.federation import counted_rng
from support.keyservers import START, Office
from support.paillier_keys import SMALL, seeded
from support.simulation_founding import Founded, found
from support.simulation_plan import shelf
from support.simulation_roles import MemberMachine, NodeMachine
from support.simulation_world import PLACES, World

TRUSTEES = ("ana", "ben", "cyd")
THRESHOLD = 2
BITS = SMALL
"""What `short_keys` lets everybody take: histories are the question here, and powers would be most of their time."""

WINDOW = 8
"""Of the table of powers: as large as a node asks for at the longest vector."""

TRUSTEE_PLACES = (
    "trustee: before it saved",
    "trustee: after it saved, before it sent",
    "trustee: between decision and answer",
    "trustee: between two events",
)
"""Lines of the crash table that there are only with trustees."""

ALL_PLACES = (*PLACES, *TRUSTEE_PLACES)


@contextmanager
def short_keys() -> Iterator[None]:
    """Let every role take a Paillier key of 512 bits until the end of the block."""
    floor, lengths.FLOOR_BITS = lengths.FLOOR_BITS, BITS
    try:
        yield
    finally:
        lengths.FLOOR_BITS = floor


@dataclass(frozen=True)
class Entrusted:
    """A federation after its ceremony: what a job names, and what each trustee keeps."""

    given: Founded
    custody: Custody
    secrets: dict[str, Secret]


@functools.cache
def entrusted(nodes: int) -> Entrusted:
    """Enrol a federation with trustees, and hold their ceremony, once per process."""
    held: list[tuple[Custody, dict[str, Secret]]] = []

    async def seat(office: Office) -> dict[str, KeyRing]:
        seated = {name: await office.enrol(name, role="trustee") for name in TRUSTEES}
        key, transcript, custody, secrets = _ceremony(office.authority.root_fingerprint, seated)
        await office.ask("key.log", key=key.hex(), transcript=transcript.decode())
        held.append((custody, secrets))
        return {name: newcomer.ring for name, newcomer in seated.items()}

    given = found(nodes, seat)
    custody, secrets = held[0]
    _warm(custody)
    return Entrusted(given, custody, secrets)


def _ceremony(root: str, seated: dict[str, Newcomer]) -> tuple[bytes, bytes, Custody, dict[str, Secret]]:
    sealing = {name: SealingKey.from_private_bytes(seeded(f"card/{name}")(96)) for name in seated}
    keys = {name: SigningKey.from_private_bytes(one.ring.sign.reveal()) for name, one in seated.items()}
    cards = {
        name: sign_card(keys[name], Card("fed", root, one.member, sealing[name].public)) for name, one in seated.items()
    }
    dealt = hold(Plan(THRESHOLD, 0, BITS), list(cards.values()), seeded("ceremony"), lambda: START, weak=True)
    given = dealt.key, dealt.transcript
    secrets = {
        name: receive(*given, share, seated[name].member, ("fed", root), sealing[name], cards[name], weak=True)
        for name, share in dealt.shares
    }
    accepted = [encode(accept_key(key, "fed", name, dealt.key)) for name, key in keys.items()]
    return dealt.key, dealt.transcript, assemble(dealt.key, dealt.transcript, accepted, 1, weak=True), secrets


def _warm(custody: Custody) -> None:
    """Have the table of powers in memory before the first seed: a history cannot depend on which seed builds it."""
    place = Path(tempfile.mkdtemp(prefix="secagg-tables-", dir=shelf()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    ring = Ring(decode(ThresholdKey, custody.key).public, custody.s)
    member._KEPT.of(ring, WINDOW, place, None)  # type: ignore[arg-type]


class EntrustingNode(NodeMachine):
    """A node whose institution allows engine `paillier`, and a key of a trial."""

    engines = ("masks", "paillier")


class TrusteeMachine(MemberMachine):
    """A trustee with the share that it accepted."""

    service: TrusteeService

    def __init__(self, world: World, name: str, root: Path, seed: int, given: Entrusted) -> None:
        storage = given.given.rings[name].storage
        Store(private_directory(root), storage, counted_rng(name.encode())).keep(given.custody.key, given.secrets[name])
        super().__init__(world, name, root, seed, given.given)

    def make(self, log: Any) -> Service:
        return TrusteeService(self.name, self.key, self.pin, self.root, self.ring.storage, self.rng, self._decrypt)

    def place(self, where: str) -> str:
        """Return the line of the crash table for a crash at the point `where`."""
        if any(isinstance(phase, Decrypting) for phase in self.phases()):
            return "trustee: between decision and answer"
        if where.startswith(("journal", "disk")) and where != "journal.synced":
            return "trustee: before it saved"
        sent = where in ("journal.synced", "link.send")
        return "trustee: after it saved, before it sent" if sent else "trustee: between two events"

    def phases(self) -> list[object]:
        """Return the phase of every round that it judges."""
        return [_phase(kept) for _, kept in self.journal.scan("round/")]

    def left(self) -> list[str]:
        """Return what it still keeps of rounds."""
        files = [path.name for path in (self.root / "blobs").rglob("*") if path.is_file()]
        return [*(key for key, _ in self.journal.scan("round/")), *files]

    def _decrypt(
        self, engine: str, phase: object, name: str, collected: bytes, state_dir: Path, storage: Secret
    ) -> object:
        assert isinstance(phase, Decrypting)
        custody = phase.manifest.custody
        assert isinstance(custody, Custody)
        secret = Store(state_dir, storage, self.rng).share(key_digest(custody.key))
        products = Ring(decode(ThresholdKey, custody.key).public, custody.s).read(collected)
        return answer(phase, Share(custody.names().index(name) + 1, secret), products, self.rng)


@functools.lru_cache(maxsize=64)
def _phase(kept: bytes) -> object:
    return records.read(decode(Round, kept, WHOLE))
