"""Row 3: an input is summed over one set of members, and every node holds a frozen set against what each header says.

The aggregator is the attacker: it freezes whom it likes and logs it correctly. What members' headers say is theirs.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.errors import Refused
from secagg.ids import EVERYBODY
from secagg.log.log import MemoryLog
from secagg.log.statements import Contributors, OverlapAllowed, parse_statement, sign_statement
from secagg.protocol import inputs
from secagg.protocol.binding import Only, seats_digest
from secagg.protocol.inputs import Counted
from secagg.protocol.manifest import Seat
from secagg.protocol.masks.messages import Freeze, MaskedInput
from secagg.protocol.masks.phases import Uploaded
from secagg.rehearsal.federation import START_OF_TIME, Federation, propose
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, logged, stop_before
from support.federation import make

NAMES = ("node-00", "node-01", "node-02", "node-03", "node-04")


def freeze(
    scene: Scene, bounds: dict[str, Only], names: Iterable[str] = NAMES, leaves: tuple[bytes, ...] = ()
) -> Freeze:
    """Return a freeze of `names`, logged by the book, in which these members say to what they are bound."""
    honest: Freeze = scene.body(Freeze)
    assert isinstance(scene.party.phase, Uploaded)
    headers = decode(tuple[Signed, ...], honest.u3, LIMIT_BULK)
    found = {entry.sender: entry for entry in headers if entry.sender in names}
    for name, only in bounds.items():
        found[name] = bound_so(scene, found[name], only)
    found["node-00"] = scene.party.phase.header
    u3 = encode(tuple(found.values()))
    statement, _, _, _ = parse_statement(honest.leaf)
    assert isinstance(statement, Contributors)
    frozen = tuple(member for member in statement.members if member.member in names)
    last = scene.party.notebook.last(scene.party.ctx.expect.log_origin)
    assert last is not None
    lied = replace(statement, u3=sha256(u3).hex(), members=frozen)
    assert isinstance(scene.table.log, MemoryLog)
    leaf, proof = logged(scene.federation, lied, scene.table.log, last.size)
    return Freeze(u3, leaf, proof, leaves)


def bound_so(scene: Scene, header: Signed, only: Only) -> Signed:
    """Return a member's header that says another `only`, signed by that member."""
    body = decode(MaskedInput, header.body)
    said = encode(replace(body, bound=replace(body.bound, only=only)))
    key = scene.federation.members[header.sender]
    return sign(key, "MaskedInput", scene.scope, header.sender, EVERYBODY, said)


def stopped(only: Only | None = None, excused: tuple[tuple[Seat, ...], ...] = ()) -> Scene:
    """Play a round of five until its freeze is about to reach node-00, whose own header says `only`."""
    federation = make(5, purpose="sum", bits=64, scalars=())
    scene = stop_before("Freeze", federation=federation, count=5)
    phase = scene.party.phase
    assert isinstance(phase, Uploaded)
    if only:
        scene.party.phase = replace(phase, header=bound_so(scene, phase.header, only), excused=excused)
    return scene


def refused(scene: Scene, content: Freeze) -> str:
    with pytest.raises(Refused) as caught:
        scene.show(content)
    return caught.value.rule


def allowance(of: Federation, name: str, job: str = "", **changes: Any) -> bytes:
    spec = of.spec
    said = OverlapAllowed(
        federation=changes.get("federation", spec.federation), time=START_OF_TIME, member=changes.get("member", name),
        job=job or spec.name,
    )  # fmt: skip
    key: SigningKey = changes.get("key") or of.members[name]
    return sign_statement(said, name, key)


def test_a_set_that_fits_every_header_is_agreed_to_and_counted() -> None:
    scene = stopped()
    bound = Only("same", seats_digest(propose(scene.federation).members))
    done = scene.show(freeze(scene, {"node-01": bound, "node-02": Only("any")}))
    assert [kind for kind, _ in done.send] == ["ConsistencyCheck"]
    entry = scene.party.notebook.counted(scene.scope.round)
    assert entry is not None
    assert (entry.state, entry.seats) == ("frozen", propose(scene.federation).members)


def test_one_member_less_than_an_input_is_bound_to_is_refused_by_everybody_in_the_set() -> None:
    """Σ over five, then over four of them: the difference is the fifth's."""
    scene = stopped()
    everybody = Only("same", seats_digest(propose(scene.federation).members))
    assert refused(scene, freeze(scene, {"node-01": everybody}, NAMES[:4])) == "ledger.only"
    assert refused(scene, freeze(scene, {"node-01": Only("nothing")})) == "ledger.only"


def test_the_same_names_under_other_keys_are_another_set() -> None:
    scene = stopped()
    members = propose(scene.federation).members
    before = (*members[:4], replace(members[4], key=bytes(32)))
    assert refused(scene, freeze(scene, {"node-01": Only("same", seats_digest(before))})) == "ledger.only"


def test_another_set_beside_an_earlier_one_needs_the_word_of_every_member() -> None:
    scene = stopped()
    federation = scene.federation
    overlap = {"node-01": Only("overlap", seats_digest(propose(federation).members[:4]))}
    assert refused(scene, freeze(scene, overlap)) == "ledger.overlap"
    words = [allowance(federation, name) for name in NAMES]
    for missing in range(5):
        without = tuple(words[:missing] + words[missing + 1 :])
        assert refused(scene, freeze(scene, overlap, leaves=without)) == "ledger.overlap"
    for wrong in (
        allowance(federation, "node-04", "another-job"),
        allowance(federation, "node-04", federation="another"),
        allowance(federation, "node-03", member="node-04"),
    ):
        assert refused(scene, freeze(scene, overlap, leaves=(*words[:4], wrong))) == "ledger.overlap"
    forged = allowance(federation, "node-04", key=federation.aggregator)
    assert refused(scene, freeze(scene, overlap, leaves=(*words[:4], forged))) == "ledger.overlap"
    assert scene.show(freeze(scene, overlap, leaves=tuple(words))).send


def test_what_is_nobodys_word_takes_nothing_from_the_words_beside_it() -> None:
    """Who allowed it and was revoked since has no seat any more, and would stop the round of everybody else."""
    scene = stopped()
    federation = scene.federation
    overlap = {"node-01": Only("overlap", seats_digest(propose(federation).members[:4]))}
    words = [allowance(federation, name) for name in NAMES]
    gone = allowance(federation, "node-99", key=federation.aggregator)
    forged = allowance(federation, "node-04", key=federation.aggregator)
    assert scene.show(freeze(scene, overlap, leaves=(gone, forged, b"no statement", *words, gone, forged))).send


def test_a_node_that_excused_a_set_asks_for_the_words_of_those_who_were_in_it() -> None:
    """node-04 was in the earlier set and is not in this one: the difference shows its input, so it is asked too."""
    earlier = propose(make(5, purpose="sum", bits=64, scalars=())).members
    scene = stopped(Only("overlap", seats_digest(earlier)), (earlier,))
    words = [allowance(scene.federation, name) for name in NAMES]
    assert refused(scene, freeze(scene, {}, NAMES[:4], tuple(words[:4]))) == "ledger.overlap"
    assert scene.show(freeze(scene, {}, NAMES[:4], tuple(words))).send


def test_who_has_another_key_or_is_gone_has_one_word_and_not_two() -> None:
    members = propose(make(5, purpose="sum", bits=64, scalars=())).members
    earlier = (*members, replace(members[0], name="gone"), replace(members[4], key=bytes(32)))
    scene = stopped(Only("overlap", seats_digest(earlier)), (earlier,))
    words = tuple(allowance(scene.federation, name) for name in NAMES)
    assert scene.show(freeze(scene, {}, leaves=words)).send


def test_who_was_enrolled_anew_is_asked_for_what_its_earlier_key_gave() -> None:
    """node-04 stood in the earlier set under another key: the difference shows what it gave then."""
    members = propose(make(5, purpose="sum", bits=64, scalars=())).members
    earlier = (*members[:4], replace(members[4], name="its-old-name", key=bytes(32)))
    scene = stopped(Only("overlap", seats_digest(earlier)), (earlier,))
    words = tuple(allowance(scene.federation, name) for name in NAMES)
    assert refused(scene, freeze(scene, {}, NAMES[:4], words[:4])) == "ledger.overlap"
    assert scene.show(freeze(scene, {}, NAMES[:4], words)).send


def test_the_ledger_is_asked_again_before_anything_is_released() -> None:
    """A logged end of this attempt came between the agreement and the opening: it is never answered."""
    scene = stop_before("Open", count=5)
    entry = scene.party.notebook.counted(scene.scope.round)
    assert entry is not None
    scene.party.notebook.records.append(inputs.lift(entry))
    with pytest.raises(Refused) as caught:
        scene.deliver(scene.message.data)
    assert caught.value.rule == "ledger.lifted"
    scene.party.notebook.records.append(entry)
    assert scene.deliver(scene.message.data).send
    answered = scene.party.notebook.counted(scene.scope.round)
    assert answered is not None
    assert answered.answered


def test_without_its_entry_in_the_ledger_no_header_is_signed_and_nothing_is_agreed_to() -> None:
    scene = stopped()
    records = scene.party.notebook.records
    records[:] = [record for record in records if not isinstance(record, Counted)]
    assert refused(scene, scene.body(Freeze)) == "ledger.lost"
