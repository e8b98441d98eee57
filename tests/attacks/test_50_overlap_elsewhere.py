"""Row 50 where trustees open: a person's word for another set, and a member of the earlier set who gave none.

Members or other trustees summed the data of four. Then three of these allow another set, and the fourth, whom the
difference would show, says nothing. The trustees of the second job never heard of the first set, and members see no
freeze there. So each of the three holds the words that came with the proposal against its own ledger.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from attacks.test_50_holders import SECOND, decided, done, one_job, play
from secagg.crypto.derive import sha256
from secagg.errors import Refused
from secagg.log.statements import OverlapAllowed, sign_statement
from secagg.protocol.binding import NOTHING, Bound, Only, seats_digest
from secagg.protocol.inputs import rehearsed
from secagg.protocol.paillier import node
from secagg.protocol.paillier.bound import own_bound
from secagg.protocol.paillier.phases import Encrypting
from secagg.protocol.round.messages import Propose
from secagg.rehearsal.entrusted import member
from secagg.rehearsal.federation import START_OF_TIME
from secagg.wire.codec import decode
from support.bound import heedless
from support.entrusted_hall import EntrustedWard
from support.living import allow
from support.malice import stop_before

pytestmark = pytest.mark.usefixtures("short_keys")

FOUR = ("node-00", "node-01", "node-02", "node-03")


@pytest.fixture
def lies() -> Iterator[None]:
    """The aggregator waits for no set and freezes whoever uploaded."""
    with heedless():
        yield


def summed_then_asked(tmp_path: Path, first: str, words: tuple[str, ...], without: tuple[str, ...]) -> EntrustedWard:
    """Sum the data of all four by an engine, then by other trustees without some, once these persons allowed it."""

    async def script(ward: EntrustedWard) -> None:
        await one_job(ward, engine=first)
        ward.custody = tmp_path / "second.bin"
        allow(ward, "second", *words)
        await ward.wait(4)
        await one_job(ward, name="second", task="again", without=without)

    return play(tmp_path, script)


@pytest.mark.parametrize("first", ["masks", "paillier"])
@pytest.mark.usefixtures("lies")
def test_who_was_in_the_earlier_set_is_asked_where_trustees_open(tmp_path: Path, first: str) -> None:
    ward = summed_then_asked(tmp_path, first, FOUR[:3], ("node-03",))
    assert done(ward) == ["job"]
    assert decided(ward, SECOND) == []
    for name in FOUR[:3]:
        (refusal,) = [event for event in ward.nodes[name].named("refuse") if event["job"] == "second"][:1]
        assert refusal["rule"] == "ledger.overlap"
        assert "node-03 did not allow second" in str(refusal["cause"])


def test_with_everybodys_word_trustees_open_it(tmp_path: Path) -> None:
    ward = summed_then_asked(tmp_path, "masks", FOUR, ("node-03",))
    assert done(ward) == ["job", "second"]


def test_the_same_set_needs_nobodys_word(tmp_path: Path) -> None:
    """Where some said it and not all, their headers say what they would have said without it."""
    ward = summed_then_asked(tmp_path, "masks", FOUR[:2], ())
    assert done(ward) == ["job", "second"]
    assert [event for node in ward.nodes.values() for event in node.named("refuse")] == []


# The rule itself -----------------------------------------------------------------------------------------------------


def test_what_a_header_says_while_somebody_did_not_allow_it() -> None:
    manifest = (scene := stop_before("Freeze")).played.manifest
    seats, three = manifest.members, manifest.members[:3]
    overlap, same = (Only(kind, seats_digest(three)) for kind in ("overlap", "same"))
    one = rehearsed(manifest, scene.scope, "node-00")
    one = replace(one, bound=Bound(sha256(b"tag"), overlap), excused=(three,), otherwise=same)

    def say(allowed: tuple[str, ...], **fields: object) -> Only:
        phase = Encrypting(scene.scope, manifest, allowed)
        return own_bound(phase, replace(one, **fields), seats).only

    assert say(FOUR) == overlap
    assert say(FOUR[:3]) == overlap, "the trustees ask those of the new set"
    for lacking in three:
        with pytest.raises(Refused) as caught:
            say(tuple(name for name in FOUR if name != lacking.name))
        assert (caught.value.rule, lacking.name in caught.value.cause) == ("ledger.overlap", True)
    with pytest.raises(Refused):
        say((), otherwise=NOTHING)
    mine = Only("same", seats_digest(seats))
    assert say((), otherwise=mine) == mine, "the cohort is the very set"
    with pytest.raises(Refused):
        say(FOUR[:2], excused=(three, seats[2:]), otherwise=NOTHING)


def test_a_word_that_is_no_members_allows_nothing() -> None:
    """It allows nothing, and it is judged when it comes, not when the header is signed."""
    scene = stop_before("Propose")
    honest, mine = decode(Propose, scene.message.data), member(scene.entrusted, "node-00").ctx
    said = OverlapAllowed(federation="fed", time=START_OF_TIME, member="node-03", job="job")
    nodes = scene.entrusted.nodes
    for key, allowed in ((nodes.members["node-03"], ("node-03",)), (nodes.aggregator, ())):
        proposed = replace(honest, allowances=(sign_statement(said, "node-03", key),))
        assert node.start(proposed, mine).phase == Encrypting(scene.scope, scene.played.manifest, allowed)
