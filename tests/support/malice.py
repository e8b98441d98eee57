"""A malicious aggregator against trustees: it holds its own keys, a node's, and every byte that was sent.

It stops an honest round when a message would reach a trustee; from there it freezes, logs and asks for what it likes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.knowledge import KnowledgeProof
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.log.log import MemoryLog
from secagg.log.statements import sign_statement
from secagg.protocol.binding import ANY, Bound
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier import trustee
from secagg.protocol.paillier.decrypting import answer, collect
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import Answer, EncryptedInput, Freeze, Open, Witness
from secagg.protocol.paillier.phases import Decrypting, TrusteePhase
from secagg.protocol.round import stating
from secagg.protocol.round.events import FromNode, Send
from secagg.protocol.round.messages import Cosignature, Propose
from secagg.rehearsal.entrusted import Entrusted, Rehearsal, propose, table
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME
from secagg.rehearsal.run import Holder, run_round
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.adversary import Reached, Tripwire
from support.entrusted import inputs, make


@dataclass
class Scene:
    """A round stopped before `message` reaches the trustee `victim`."""

    entrusted: Entrusted
    played: Rehearsal
    victim: str
    message: Send

    @property
    def scope(self) -> Scope:
        """Return the round's scope."""
        return Scope(self.played.manifest.round, sha256(encode(self.played.manifest)))

    @property
    def layout(self) -> Layout:
        """Return the layout of uploads."""
        return Layout(self.played.manifest)

    def holder(self, name: str = "") -> Holder:
        """Return a trustee, the victim unless named."""
        return self.played.holders[name or self.victim]

    def headers(self) -> dict[str, Signed]:
        """Return what members signed, by name."""
        sent = [item for item in self.played.wire if isinstance(item, FromNode) and item.kind == "EncryptedInput"]
        return {item.sender: decode(Signed, item.data) for item in sent}

    def body(self, kind: type[Any]) -> Any:
        """Return the honest message's content."""
        return decode(kind, decode(Signed, self.message.data, LIMIT_BULK).body, LIMIT_BULK)

    def show(self, content: object, kind: str, to: str = "") -> trustee.Step:
        """Deliver `content` to a trustee, signed by the aggregator; what it records is kept."""
        holder, name = self.holder(to), to or self.victim
        signed = sign(self.entrusted.nodes.aggregator, kind, self.scope, AGGREGATOR, name, encode(content))
        return advance(holder, signed)

    def attempt(self, manifest: Manifest, to: str = "") -> trustee.Step:
        """Propose any manifest to a trustee, signed and logged in the log of this round; what it records is kept."""
        holder, key = self.holder(to), self.entrusted.nodes.aggregator
        body = encode(manifest)
        signed = sign(key, "Manifest", Scope(manifest.round, NO_DIGEST), AGGREGATOR, EVERYBODY, body)
        scope = Scope(manifest.round, sha256(body))
        leaf = sign_statement(stating.manifest_logged(scope, signed, 1, START_OF_TIME), AGGREGATOR, key)
        index = self.played.log.append(leaf)
        self.played.log.publish()
        proof = self.played.log.prove(index, self._last(holder))
        step = trustee.start(Propose(signed, leaf, proof), holder.ctx)
        holder.phase = step.phase
        holder.notebook.records.extend(step.records)
        return step

    def _last(self, holder: Holder) -> int:
        last = holder.notebook.last(f"{self.entrusted.nodes.spec.federation}/rounds")
        return last.size if last else 0

    def forge(self, member: str, upload: bytes, proof: KnowledgeProof) -> Signed:
        """Return a header of any upload, signed with the key of a member that colludes."""
        bound = Bound(sha256(member.encode()), ANY)
        said = EncryptedInput(self.layout.root(upload), len(upload), sha256(upload), proof, bound)
        key = self.entrusted.nodes.members[member]
        return sign(key, "EncryptedInput", self.scope, member, EVERYBODY, encode(said))

    def logged(self, u: bytes, log: MemoryLog | None = None) -> Callable[[str], Freeze]:
        """Log any set as frozen; return what proves it to a trustee from the checkpoint that it holds."""
        into: Any = log or self.played.log
        statement = stating.contributors(self.scope, stating.contributor_list(u), START_OF_TIME, u3=u)
        leaf = sign_statement(statement, AGGREGATOR, self.entrusted.nodes.aggregator)
        index = into.append(leaf)
        into.publish()

        def proved(to: str) -> Freeze:
            return Freeze(u, leaf, into.prove(index, self._last(self.holder(to))))

        return proved

    def witnessed(self, u: bytes, names: tuple[str, ...] = (), allowances: tuple[bytes, ...] = ()) -> Open:
        """Have every trustee witness a freeze, and return what the aggregator may then ask with."""
        found, proved = [], self.logged(u)
        for name in names or tuple(self.played.holders):
            step = self.show(replace(proved(name), allowances=allowances), "Freeze", name)
            found.append((name, decode(Witness, step.send[0][1])))
        return Open(
            tuple(said.agreement for _, said in found), tuple(Cosignature(name, said.rounds) for name, said in found)
        )

    def opens(self, name: str, asked: Open, uploads: Mapping[str, bytes]) -> Answer:
        """Ask a trustee to open, hand it uploads as it fetches them, and return its answer."""
        step = self.show(asked, "Open", name)
        assert isinstance(step.phase, Decrypting)
        collector = collect(step.phase)
        for member in tuple(collector.wanted()):
            collector.add(member, uploads[member])
        holder = self.holder(name)
        done = answer(step.phase, self.entrusted.secrets[name], collector.close(), holder.ctx.rng)
        advance(holder, done)
        return done.answer


def advance(holder: Holder, event: Any) -> trustee.Step:
    """Let a trustee take one event; its phase and records are kept."""
    assert holder.phase is not None
    step = trustee.advance(cast(TrusteePhase, holder.phase), event, holder.ctx)
    holder.phase = step.phase
    holder.notebook.records.extend(step.records)
    return step


def listed(*headers: Signed) -> bytes:
    """Return a list of headers as everybody hashes it."""
    return encode(tuple(headers))


def stop_before(kind: str, victim: str = "ana", entrusted: Entrusted | None = None, **parts: Any) -> Scene:
    """Play an honest round until `kind` is about to reach a trustee; `parts` may replace the manifest or parties."""
    seated = entrusted or make(4)
    played = table(seated, inputs(seated, parts.get("manifest") or propose(seated)), {}, **parts)
    played.wire = Tripwire(kind, victim)
    try:
        run_round(played)
    except Reached as reached:
        return Scene(seated, played, victim, reached.message)
    raise AssertionError(f"no {kind} reached {victim}")
