"""Rounds against whoever carries the messages: every interleaving that Hypothesis draws, and what must hold in all.

Three to five members and an aggregator, as their shells run them: check, save, send. The adversary holds every byte
that was ever sent and the clock. It delays, loses, doubles, reorders, alters and shows them to somebody else, lets
deadlines pass, cuts members off, and starts the next attempt. It restores the aggregator to any earlier state, or to
one that takes fewer members than it may. So several histories go on from there, as under an aggregator that lies. Every
phase and every record lives only as its own encoding. Without loss, deadline and lie the round must close.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.errors import Refused, SecaggError
from secagg.ids import EVERYBODY, STEPS
from secagg.log.log import MemoryLog, publish_entry
from secagg.log.statements import sign_statement
from secagg.protocol.inputs import rehearsed
from secagg.protocol.lanes import Groups, Ready, from_upload
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import aggregator, intake, keys, masking, node
from secagg.protocol.masks import phases as members
from secagg.protocol.masks import rounds as keeping
from secagg.protocol.masks.aggregator import Turned
from secagg.protocol.masks.judging import judge
from secagg.protocol.masks.messages import Answer, MaskedInput, Unmask
from secagg.protocol.masks.phases import Advertised, Masking, Protected
from secagg.protocol.masks.recovery import recover, unmask
from secagg.protocol.masks.rounds import Unmasked
from secagg.protocol.memory import Accepted, Opened, Record, Witnessed
from secagg.protocol.refusals import named
from secagg.protocol.round import events
from secagg.protocol.round.events import Deadline, Event, FromNode, Judge, Logged, Send
from secagg.protocol.round.messages import Propose, Refuse
from secagg.protocol.round.parties import AggregatorContext
from secagg.protocol.round.phases import Closed, Failed, Standing
from secagg.rehearsal.federation import AGGREGATOR, START_OF_TIME, party, propose
from secagg.rehearsal.run import Party
from secagg.vector.ring import add_into
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed, sign
from support.federation import inputs_of, make, reference

ANY = st.integers(0, 2**16)
ATTEMPTS = 3
STRANGER = "stranger"
SEEN: Counter[str] = Counter()
"""How runs ended and what was refused: a machine in which nothing happens proves nothing."""


COLLECTED = {
    "AdvertiseKeys": ("keys",),
    "ShareKeys": ("shares",),
    "MaskedInput": ("headers",),
    "ConsistencyCheck": ("agreements", "cosignatures", "directory"),
    "Unmask": ("answers",),
}
"""What an aggregator has of its members in each step."""


@dataclass(frozen=True)
class Letter:
    """A message on its way, with the sender that the link stamps."""

    sender: str
    to: str
    kind: str
    data: bytes


def survived(kind: Any, phase: Any) -> Any:
    """Return a phase or record from its encoding, which is all that a restart leaves."""
    back = decode(kind, encode(phase), LIMIT_LIST)
    assert back == phase
    return back


def _step(phase: intake.Collecting) -> str:
    return intake.STEP[type(phase)]


class RoundMachine(RuleBasedStateMachine):
    """One round in up to three attempts."""

    phase: keeping.Phase

    @initialize(count=st.sampled_from((4, 5, 3)), seed=st.binary(min_size=1, max_size=2), begun=st.integers(0, 45))
    def found(self, count: int, seed: bytes, begun: int) -> None:
        """Found a federation and carry the first messages of a round, so that the adversary comes in anywhere."""
        self.federation = make(count, seed)
        self.parties: dict[str, Party] = {name: party(self.federation, name) for name in self.federation.members}
        self.names = tuple(self.parties)
        self.manifest = propose(self.federation)
        self.inputs = inputs_of(self.federation, self.manifest)
        origin = f"{self.federation.spec.federation}/rounds"
        self.log = MemoryLog(origin, origin, self.federation.aggregator)
        self.keeper = AggregatorContext(
            AGGREGATOR, self.federation.aggregator, self.federation.rng, self.federation.opening, START_OF_TIME
        )
        self.pending: list[Letter] = []
        self.captured: list[Letter] = []
        self.blobs: dict[bytes, bytes] = {}
        self.own: dict[str, bytes] = {}
        self.answers: dict[str, set[bytes]] = defaultdict(set)
        self.revealed: dict[tuple[bytes, str], dict[str, set[str]]] = defaultdict(lambda: {"b": set(), "sk": set()})
        self.agreed: dict[tuple[bytes, bytes], set[str]] = defaultdict(set)
        self.published: set[bytes] = set()
        self.silent: set[str] = set()
        self.disturbed = False
        self.history: list[keeping.Phase] = []
        self.attempt = 0
        self.next_attempt()
        self.carry(begun)

    # What the adversary does -----------------------------------------------------------------------------------------

    @rule(at=ANY)
    @precondition(lambda self: self.pending)
    def deliver(self, at: int) -> None:
        """Let any message arrive: what is older waits, so this reorders and delays too."""
        self.arrive(self.pending.pop(at % len(self.pending)))

    @rule(count=st.integers(1, 16))
    def carry(self, count: int) -> None:
        """Carry messages as an honest link does, and let members mask, so that rounds get somewhere."""
        for _ in range(count):
            self.mask_all()
            if self.pending:
                self.arrive(self.pending.pop(0))

    @rule(at=ANY)
    @precondition(lambda self: self.pending)
    def double(self, at: int) -> None:
        self.arrive(self.pending[at % len(self.pending)])

    @rule(at=ANY)
    @precondition(lambda self: self.pending)
    def lose(self, at: int) -> None:
        self.disturbed = True
        self.pending.pop(at % len(self.pending))

    @rule(at=ANY)
    @precondition(lambda self: not self.silent)
    def silence(self, at: int) -> None:
        """Cut a member off for good: it drops out wherever it is."""
        self.disturbed = True
        self.silent.add(self.names[at % len(self.names)])

    @rule(at=ANY, other=ANY)
    def replay(self, at: int, other: int) -> None:
        """Show captured bytes again, to whoever they were for or to somebody else, under any name."""
        letter = self.captured[at % len(self.captured)]
        self.arrive(letter)
        chosen = (*self.names, STRANGER)[other % (len(self.names) + 1)]
        if letter.to == AGGREGATOR:
            self.arrive(Letter(chosen, AGGREGATOR, letter.kind, letter.data))
        elif chosen != STRANGER:
            self.arrive(Letter(AGGREGATOR, chosen, letter.kind, letter.data))

    @rule(at=ANY, place=ANY, bit=st.integers(0, 7))
    def alter(self, at: int, place: int, bit: int) -> None:
        letter = self.captured[at % len(self.captured)]
        data = bytearray(letter.data)
        data[place % len(data)] ^= 1 << bit
        self.arrive(Letter(letter.sender, letter.to, letter.kind, bytes(data)))

    @rule(at=ANY)
    def mask(self, at: int) -> None:
        """One member finishes masking; the others still compute."""
        waiting = [name for name in self.names if isinstance(self.parties[name].phase, Masking)]
        if waiting:
            self.protect(waiting[at % len(waiting)])

    @rule(step=st.sampled_from((*STEPS, "OpenBeacon")))
    def deadline(self, step: str) -> None:
        """A deadline passes: usually of another step than the present one, which means nothing."""
        before = self.phase
        self.turn(Deadline(step))
        if isinstance(before, intake.Collecting) and _step(before) == step:
            self.disturbed = True
        else:
            assert self.phase == before

    @rule(chance=st.integers(0, 2))
    def time_is_up(self, chance: int) -> None:
        if not chance and isinstance(self.phase, intake.Collecting):
            self.disturbed = True
            self.turn(Deadline(_step(self.phase)))

    @rule(at=ANY, chance=st.integers(0, 2))
    def restore(self, at: int, chance: int) -> None:
        """The aggregator goes on from an earlier state, also of an earlier attempt."""
        if not chance:
            self.disturbed = True
            self.phase = self.history[at % len(self.history)]

    @rule(step=st.sampled_from(STEPS), count=st.integers(2, 5), carried=st.integers(0, 8))
    def lie(self, step: str, count: int, carried: int) -> None:
        """The aggregator ends a step with fewer members than it has, as if two were enough."""
        found = [phase for phase in self.history if isinstance(phase, intake.Collecting) and _step(phase) == step]
        if found and len(intake.received(found[-1])) >= 2:
            self.disturbed = True
            fewer = {name: getattr(found[-1], name)[:count] for name in COLLECTED[step]}
            manifest = replace(found[-1].manifest, threshold=1, k_min=2)
            self.phase = replace(found[-1], manifest=manifest, **fewer)
            self.turn(Deadline(step))
            self.carry(carried)

    @rule(chance=st.integers(0, 2))
    @precondition(lambda self: self.attempt < ATTEMPTS)
    def try_again(self, chance: int) -> None:
        if not chance:
            self.disturbed = True
            self.next_attempt()

    def next_attempt(self) -> None:
        """The aggregator proposes the next attempt, whatever became of the one before."""
        self.attempt += 1
        proposed = propose(self.federation, attempt=self.attempt)
        standings = tuple(Standing(name, self.held(name)) for name in self.names)
        self.keep(aggregator.start(proposed, standings, self.keeper))

    # What the shells do ----------------------------------------------------------------------------------------------

    def held(self, name: str) -> int:
        entry = self.parties[name]
        last = entry.notebook.last(entry.ctx.expect.log_origin)
        return last.size if last else 0

    def post(self, letter: Letter) -> None:
        self.pending.append(letter)
        self.captured.append(letter)
        if letter.kind == "ConsistencyCheck":
            phase = self.parties[letter.sender].phase
            assert isinstance(phase, members.Agreed)
            self.agreed[phase.scope.manifest, phase.u3].add(letter.sender)
        if letter.kind == "Unmask":
            self.note_answer(letter)

    def arrive(self, letter: Letter) -> None:
        if self.silent & {letter.sender, letter.to}:
            return
        if letter.to == AGGREGATOR:
            self.refusing("aggregator", lambda: self.turn(FromNode(letter.sender, letter.kind, letter.data)))
        elif letter.kind == "Propose":
            self.refusing("member", lambda: self.proposed(letter.to, letter.data))
        else:
            self.refusing("member", lambda: self.told(letter.to, decode(Signed, letter.data, LIMIT_LIST)))

    def refusing(self, who: str, act: Callable[[], None]) -> None:
        """Let somebody act; what is refused is refused by an error of ours, and changes nobody's phase."""
        before = self.phase, {name: entry.phase for name, entry in self.parties.items()}
        try:
            act()
        except Refused:
            raise AssertionError("a refusal is the shell's to turn into leaving") from None
        except SecaggError as error:
            SEEN[f"{who} refuses: {getattr(error, 'rule', '') or error.code}"] += 1
            assert before == (self.phase, {name: entry.phase for name, entry in self.parties.items()})

    def turn(self, event: Event) -> None:
        self.keep(aggregator.advance(self.phase, event, self.keeper))

    def keep(self, turned: Turned) -> None:
        """Save the aggregator's phase, then carry out what it asks for."""
        self.phase = survived(keeping.Phase, turned.phase)
        for effect in turned.effects:
            match effect:
                case events.Append(statement):
                    self.log.append(sign_statement(statement, AGGREGATOR, self.federation.aggregator))
                case events.Log(statement, old_sizes):
                    leaf = sign_statement(statement, AGGREGATOR, self.federation.aggregator)
                    self.turn(Logged(leaf, publish_entry(self.log, leaf, old_sizes)))
                case Send(to, kind, data):
                    self.post(Letter(AGGREGATOR, to, kind, data))
                case Judge():
                    assert isinstance(self.phase, keeping.Judging)
                    self.turn(judge(self.phase))
                case keeping.Unmask():
                    self.turn(Unmasked(self.clear_sum()))
        self.history.append(self.phase)

    def clear_sum(self) -> Groups:
        assert isinstance(self.phase, keeping.Unmasking)
        sums: Groups = {}
        for header in decode(tuple[Signed, ...], self.phase.u3, LIMIT_LIST):
            upload = self.blobs[decode(MaskedInput, header.body).upload]
            for group, words in from_upload(self.manifest, upload).items():
                if group in sums:
                    add_into(sums[group], words)
                else:
                    sums[group] = words
        proof = intake.evidence(self.phase)
        unmask(sums, proof, recover(proof))
        return sums

    def proposed(self, name: str, data: bytes) -> None:
        entry, propose_ = self.parties[name], decode(Propose, data, LIMIT_BULK)
        manifest = decode(Manifest, propose_.manifest.body, LIMIT_BULK)
        scope = Scope(round=manifest.round, manifest=sha256(propose_.manifest.body))
        if entry.phase and cast(members.Phase, entry.phase).scope == scope:
            if isinstance(entry.phase, Advertised):
                self.post(Letter(name, AGGREGATOR, "AdvertiseKeys", self.own[name]))
            return
        if any((known.round, known.manifest) == (scope.round, scope.manifest) for known in entry.notebook.accepted()):
            return
        try:
            done = node.start(propose_, entry.ctx)
        except Refused as refusal:
            self.leave(name, scope, refusal)
            return
        self.own[name] = done.send[0][1]
        self.save(name, done)

    def told(self, name: str, message: Signed | Protected) -> None:
        entry = self.parties[name]
        phase = cast(members.Phase | None, entry.phase)
        if phase is None:
            return
        try:
            done = node.advance(phase, message, entry.ctx)
        except Refused as refusal:
            self.leave(name, phase.scope, refusal)
            return
        self.save(name, done)

    def save(self, name: str, done: node.Step) -> None:
        entry = self.parties[name]
        entry.notebook.records.extend(survived(Record, record) for record in done.records)
        entry.phase = survived(members.Phase, done.phase)
        for kind, data in done.send:
            self.post(Letter(name, AGGREGATOR, kind, data))

    def leave(self, name: str, scope: Scope, refusal: Refused) -> None:
        SEEN[f"member leaves: {refusal.rule}"] += 1
        entry = self.parties[name]
        if entry.phase and cast(members.Phase, entry.phase).scope == scope:
            entry.phase = None
        said = encode(Refuse(named(refusal)))
        signed = sign(entry.ctx.key, "Refuse", scope, name, EVERYBODY, said)
        self.post(Letter(name, AGGREGATOR, "Refuse", encode(signed)))

    def mask_all(self) -> None:
        for name in self.names:
            if isinstance(self.parties[name].phase, Masking):
                self.protect(name)

    def protect(self, name: str) -> None:
        phase = cast(Masking, self.parties[name].phase)
        upload = masking.contribute(Ready(self.inputs[name]), phase, name)
        self.blobs[upload.root] = bytes(upload.data)
        entry = rehearsed(phase.manifest, phase.scope, name)
        done = Protected(upload.root, len(upload.data), upload.chunks, entry)
        self.refusing("member", lambda: self.told(name, done))

    # What must hold --------------------------------------------------------------------------------------------------

    def note_answer(self, letter: Letter) -> None:
        """Read an answer as the aggregator does, also one that never reaches it."""
        envelope = decode(Signed, letter.data, LIMIT_BULK)
        self.answers[letter.sender].add(letter.data)
        phase = cast(members.Phase, self.parties[letter.sender].phase)
        assert phase is not None
        info = keys.answer_info(phase.scope, letter.sender, AGGREGATOR)
        sealed = decode(Unmask, envelope.body, LIMIT_BULK).sealed
        answer = decode(Answer, decode(Signed, self.federation.opening.open(sealed, info), LIMIT_BULK).body, LIMIT_BULK)
        b, sk = ({share.owner for share in shares} for shares in (answer.seeds, answer.keys))
        assert not b & sk, "both shares of one peer"
        assert letter.sender in self.agreed[phase.scope.manifest, answer.u3]
        assert len(self.agreed[phase.scope.manifest, answer.u3]) >= self.manifest.threshold
        for kind, owners in (("b", b), ("sk", sk)):
            for owner in owners:
                self.revealed[phase.scope.manifest, owner][kind].add(letter.sender)

    @invariant()
    def one_answer_and_one_opening_per_member(self) -> None:
        for name, entry in self.parties.items():
            assert len(self.answers[name]) <= 1
            assert len(entry.notebook.opened()) == len(self.answers[name])

    @invariant()
    def nobody_is_opened_both_ways(self) -> None:
        t = self.manifest.threshold
        for found in self.revealed.values():
            assert len(found["b"]) < t or len(found["sk"]) < t

    @invariant()
    def nothing_is_released_below_the_minimum(self) -> None:
        for entry in self.parties.values():
            for opened in entry.notebook.opened():
                assert len(opened.contributors) >= self.manifest.needed

    @invariant()
    def one_set_is_opened(self) -> None:
        """Over all attempts and all histories, fewer than t members answer about any set but one."""
        sets = Counter(opened.contributors for entry in self.parties.values() for opened in entry.notebook.opened())
        assert sum(count >= self.manifest.threshold for count in sets.values()) <= 1

    @invariant()
    def a_closed_round_holds_the_sum(self) -> None:
        if isinstance(self.phase, Closed):
            published = self.phase.published
            assert len(published.contributors) >= self.manifest.needed
            wanted = reference(self.inputs, published.contributors)
            assert {group.name: group.words for group in published.groups} == wanted
            self.published.add(encode(published))
            assert len(self.published) == 1

    @invariant()
    def members_remember_one_manifest_per_attempt(self) -> None:
        for entry in self.parties.values():
            kinds: dict[type, list[Any]] = defaultdict(list)
            for record in entry.notebook.records:
                kinds[type(record)].append(record)
            attempts = [record.round.attempt for record in kinds[Accepted]]
            assert attempts == sorted(set(attempts))
            sizes = [record.size for record in kinds[Witnessed]]
            assert sizes == sorted(sizes)
            assert len(kinds[Opened]) <= 1

    def teardown(self) -> None:
        """Without an adversary a round ends: carry everything, then let the deadline pass."""
        if not hasattr(self, "phase"):
            return
        for _ in range(2 * len(STEPS)):
            while self.pending:
                self.mask_all()
                self.arrive(self.pending.pop(0))
                self.mask_all()
            if isinstance(self.phase, intake.Collecting):
                self.turn(Deadline(_step(self.phase)))
        assert isinstance(self.phase, Closed | Failed)
        if not self.disturbed:
            SEEN["undisturbed"] += 1
            assert isinstance(self.phase, Closed)
            assert self.phase.published.contributors == self.names
            assert not self.phase.out
        if isinstance(self.phase, Closed):
            SEEN.update(f"closed, dropped at {entry.step}" for entry in self.phase.out)
        SEEN[type(self.phase).__name__] += 1
        SEEN[f"attempts: {self.attempt}"] += 1
        for check in (
            self.one_answer_and_one_opening_per_member, self.nobody_is_opened_both_ways, self.one_set_is_opened,
            self.nothing_is_released_below_the_minimum, self.a_closed_round_holds_the_sum,
        ):  # fmt: skip
            check()


def test_rounds_under_an_adversary() -> None:
    SEEN.clear()
    run_state_machine_as_test(RoundMachine, settings=settings(max_examples=200, stateful_step_count=30, deadline=None))
    for often in ("Closed", "Failed", "undisturbed", "attempts: 3", "member leaves: attempt.opened"):
        assert SEEN[often] > 0


def played(count: int, until: type) -> RoundMachine:
    """Return a quiet round of `count` members that has come to a phase of the aggregator."""
    machine = RoundMachine()
    machine.found(count, b"quiet", 0)
    while not isinstance(machine.phase, until):
        machine.carry(1)
    return machine


def test_without_an_adversary_the_round_closes() -> None:
    machine = played(4, Closed)
    assert isinstance(machine.phase, Closed)
    assert machine.phase.published.contributors == machine.names
    assert len(machine.answers) == 4
    machine.teardown()


def test_a_member_that_dropped_after_sharing_leaves_the_sum_of_the_others() -> None:
    machine = played(4, keeping.Uploading)
    machine.silence(1)
    machine.teardown()
    assert isinstance(machine.phase, Closed)
    assert machine.phase.published.contributors == (machine.names[0], *machine.names[2:])


def test_an_opening_that_too_few_agreed_to_is_refused() -> None:
    machine = played(5, keeping.Agreeing)
    for kind in ("Freeze", "ConsistencyCheck"):
        for letter in [found for found in machine.pending if found.kind == kind][:2]:
            machine.pending.remove(letter)
            machine.arrive(letter)
    SEEN.clear()
    machine.lie("ConsistencyCheck", 2, 40)
    assert SEEN["member leaves: open.threshold"] == 2
    assert not machine.answers
    machine.teardown()
