"""What must hold of every message when it is handed to the network, before the weather.

`one-voice` two different messages of one member in one step of one attempt, or two chunks in one place: a mask used
twice. `one-opening` answers of one member to two attempts, or both shares of one peer. `minimum` an answer that opens
fewer than max(t, K_min), or a manifest with fewer seats than its job began with. `durable` an acknowledged message or
chunk that a restart forgot. `bound` and `isolated`: what an input may be summed over (simulation_known). Of an
aggregator that means harm nothing is asked.
Leaves to others: what is left at the end (simulation_oracles).
"""

from msgspec import UNSET

from secagg.crypto.derive import sha256
from secagg.crypto.seal import SealingKey
from secagg.daemon.vault import RoundKeys
from secagg.ids import RoundId
from secagg.protocol.manifest import Manifest, fewest_entrusted
from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import Answer, DeliverShares, Freeze, Unmask
from secagg.protocol.paillier.messages import Decrypt, Piece
from secagg.protocol.paillier.messages import Freeze as EntrustedFreeze
from secagg.protocol.paillier.trustee import answer_info
from secagg.protocol.round.messages import Propose
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.wire.chunks import ChunkAck, ChunkHeader
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed
from support.simulation_known import Known
from support.simulation_roles import AggregatorMachine, Machine
from support.simulation_world import World

SPOKEN_ONCE = frozenset(
    {"AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask", "Attend", "Witness", "Decrypt"}
)


class Watch:
    """Everything that was handed to the network."""

    def __init__(self, world: World, known: Known, colluders: int, *, malice: bool = False) -> None:
        self._world, self._known, self._colluders, self._malice = world, known, colluders, malice
        self._spoken: dict[tuple[object, ...], bytes] = {}
        self._answered: dict[tuple[object, ...], int] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        self._manifests: dict[str, tuple[Manifest, bytes]] = {}
        self._openers: dict[bytes, SealingKey] = {}
        self._acked: dict[str, dict[tuple[str, bytes], None]] = {}
        self._chunks: dict[tuple[str, str, int], bytes] = {}

    def sent(self, to: str, message: Received) -> None:
        """Take a message that a role hands to the network."""
        sender = message.sender
        header = decode(RoundHeader, message.header) if message.kind == "round" else None
        label = f" {header.kind} {header.round.label()}" if header else ""
        self._world.note(sender, f"-> {to} {message.kind}{label} {len(message.body)}")
        if message.kind == "ack":
            self._acknowledged(sender, to, message.id)
        elif header and sender == AGGREGATOR:
            self._from_aggregator(header, message.body)
        elif header and header.round.label() in self._manifests:
            self._from_member(sender, header, message.body)
        elif message.kind == "chunk":
            self._chunk(sender, message)
        elif message.kind == "ack-chunk":
            receipt = decode(ChunkAck, decode(Signed, message.body).body)
            self._chunks[receipt.round.label(), receipt.node, receipt.index] = receipt.hash

    def _once(self, key: tuple[object, ...], data: bytes, what: str) -> None:
        digest = sha256(data)
        if self._spoken.setdefault(key, digest) != digest:
            self._world.violate("one-voice", what)

    def _from_aggregator(self, header: RoundHeader, body: bytes) -> None:
        label = header.round.label()
        if header.kind == "Propose":
            signed = decode(Propose, body, LIMIT_BULK).manifest
            manifest = decode(Manifest, signed.body, LIMIT_BULK)
            self._manifests[label] = (manifest, sha256(signed.body))
            if not self._malice:
                self._once((label, "Manifest"), signed.body, f"two manifests for {label}")
                self._seats(manifest)
            self._known.proposed(manifest)
            self._learn(manifest.round.job, manifest.opening_key)
        elif header.kind == "DeliverShares":
            told = decode(DeliverShares, decode(Signed, body, LIMIT_BULK).body, LIMIT_BULK)
            self._known.masked_over(header.round, told.u2)
        elif header.kind == "Freeze":
            self._froze(header.round, decode(Signed, body, LIMIT_BULK).body)

    def _seats(self, manifest: Manifest) -> None:
        """Watch that n, and what a round needs, stay what the job was submitted with, whoever is revoked."""
        job, label = manifest.round.job, manifest.round.label()
        fewest = fewest_entrusted(self._colluders) if manifest.custody is not UNSET else self._known.needed(job)
        if len(manifest.members) != self._known.seats(job) or manifest.needed < fewest:
            self._world.violate("minimum", f"{label} is of {len(manifest.members)} and needs {manifest.needed}")

    def _froze(self, round_id: RoundId, body: bytes) -> None:
        label = round_id.label()
        if self._manifests[label][0].custody is UNSET:
            freeze = decode(Freeze, body, LIMIT_BULK)
            listed, leaf = freeze.u3, freeze.leaf
        else:
            entrusted = decode(EntrustedFreeze, body, LIMIT_BULK)
            listed, leaf = entrusted.u, entrusted.leaf
            self._known.frozen(round_id, listed)
        if not self._malice:
            self._once((label, "U3"), listed, f"two frozen sets for {label}")
            self._once((label, "freeze"), leaf, f"two freezes for {label}")

    def _learn(self, job: str, public: bytes) -> None:
        """Learn the key that opens a job's answers, from where the aggregator keeps it."""
        machine = self._world.machines[AGGREGATOR]
        if public in self._openers or not isinstance(machine, AggregatorMachine):
            return
        label = f"{job}.opening"
        vault = RoundKeys(machine.root / "opening", machine.ring.storage, machine.rng)
        sealed = machine.journal.get(f"opening/{job}")
        if sealed:
            self._openers[public] = SealingKey.from_private_bytes(vault.open(label, sealed))

    def _from_member(self, sender: str, header: RoundHeader, body: bytes) -> None:
        label = header.round.label()
        if header.kind in SPOKEN_ONCE:
            self._once((sender, label, header.kind), body, f"two {header.kind} of {sender} in {label}")
        if header.kind in ("Unmask", "Decrypt"):
            place = (sender, header.round.opening)
            if self._answered.setdefault(place, header.round.attempt) != header.round.attempt:
                self._world.violate("one-opening", f"{sender} answers two attempts of {label}")
        if header.kind in ("MaskedInput", "EncryptedInput"):
            self._known.header(sender, self._manifests[label][0], decode(Signed, body, LIMIT_BULK))
        elif header.kind == "Unmask":
            self._answer(sender, header.round, decode(Signed, body, LIMIT_BULK))
        elif header.kind == "Decrypt":
            self._decrypt(sender, header.round, decode(Signed, body, LIMIT_BULK))

    def _answer(self, sender: str, round_id: RoundId, envelope: Signed) -> None:
        label, needed = round_id.label(), self._known.needed(round_id.job)
        manifest, digest = self._manifests[label]
        info = keys.answer_info(Scope(round_id, digest), sender, AGGREGATOR)
        sealed = decode(Unmask, envelope.body, LIMIT_BULK).sealed
        inner = decode(Signed, self._openers[manifest.opening_key].open(sealed, info), LIMIT_BULK)
        answer = decode(Answer, inner.body, LIMIT_BULK)
        if len(answer.seeds) < needed:
            self._world.violate("minimum", f"{sender} opens {len(answer.seeds)} of {needed} in {label}")
        for shares, kind in ((answer.seeds, "seed"), (answer.keys, "key")):
            for share in shares:
                if self._kinds.setdefault((label, share.owner), kind) != kind:
                    self._world.violate("one-opening", f"both shares of {share.owner} in {label}")
        self._known.answered(sender, round_id, answer)

    def _decrypt(self, sender: str, round_id: RoundId, envelope: Signed) -> None:
        manifest, digest = self._manifests[round_id.label()]
        info = answer_info(Scope(round_id, digest), sender, AGGREGATOR)
        sealed = decode(Decrypt, envelope.body, LIMIT_BULK).sealed
        inner = decode(Signed, self._openers[manifest.opening_key].open(sealed, info), LIMIT_BULK)
        opened = self._known.decided(sender, round_id, decode(Piece, inner.body, LIMIT_BULK).u)
        fewest = fewest_entrusted(self._colluders)
        if opened < fewest:
            self._world.violate("minimum", f"{sender} opens the sum of {opened} members in {round_id.label()}")

    def _chunk(self, sender: str, message: Received) -> None:
        header = decode(ChunkHeader, decode(Signed, message.header).body)
        place = (sender, header.round.label(), header.index)
        self._once(place, message.body, f"{sender} uploads two ciphertexts under one mask in {place[1]}")

    def _acknowledged(self, by: str, to: str, id: bytes) -> None:
        machine = self._world.machines[by]
        if self._malice and by == AGGREGATOR:
            return
        if machine.journal.handled(to, id):
            self._acked.setdefault(by, {})[to, id] = None
        elif machine.refused[to] > 0:
            machine.refused[to] -= 1
        else:
            self._world.violate("durable", f"{by} acknowledges what it neither kept nor refused")

    def replaced(self, name: str) -> None:
        """Forget what a machine acknowledged that another one has taken the place of."""
        self._acked.pop(name, None)

    def restarted(self, machine: Machine) -> None:
        """Look whether a new life remembers what earlier ones acknowledged."""
        if self._malice and machine.name == AGGREGATOR:
            return
        for sender, id in self._acked.get(machine.name, ()):
            if not machine.journal.handled(sender, id):
                self._world.violate("durable", f"{machine.name} forgot a message of {sender} that it acknowledged")
        if isinstance(machine, AggregatorMachine):
            self._restarted_uploads(machine)

    def _restarted_uploads(self, machine: AggregatorMachine) -> None:
        with machine.journal.transaction() as transaction:
            phase = machine.service._schedule.rounds.running(transaction)  # type: ignore[arg-type]
        if type(phase).__name__ not in ("Uploading", "Collecting"):
            return
        label = phase.scope.round.label()  # type: ignore[union-attr]
        uploads = machine.service._desk.uploads
        for (round_label, node, index), digest in self._chunks.items():
            if round_label != label:
                continue
            partial = uploads._partial(phase, node)  # type: ignore[arg-type]
            header = machine.journal.get(f"header/{node}")
            whole = header is not None and uploads.whole(phase, node, decode(Signed, header))  # type: ignore[arg-type]
            if partial.hash_of(index) != digest and not whole:
                self._world.violate("durable", f"the aggregator forgot chunk {index} of {node} that it acknowledged")
