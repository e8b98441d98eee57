"""Row 34 for trustees: opening without a logged, witnessed freeze."""

import pytest
from msgspec.structs import replace

from secagg.errors import ProtocolViolation, Refused, VerificationFailed
from secagg.log.log import MemoryLog
from secagg.protocol.paillier.messages import Open
from secagg.protocol.round.messages import Cosignature
from support.malice import Scene, listed, stop_before


def everybody(scene: Scene) -> bytes:
    return listed(*scene.headers().values())


def elsewhere(scene: Scene) -> MemoryLog:
    """Return another log of the same aggregator under the same name: a fork."""
    origin = f"{scene.entrusted.nodes.spec.federation}/rounds"
    log = MemoryLog(origin, origin, scene.entrusted.nodes.aggregator)
    for entry in range(9):
        log.append(b"%d" % entry)
    return log


def test_a_freeze_in_another_log_is_refused() -> None:
    scene = stop_before("Freeze")
    with pytest.raises(VerificationFailed):
        scene.show(scene.logged(everybody(scene), elsewhere(scene))("ana"), "Freeze")


def test_an_entry_of_another_set_is_no_freeze_of_this_one() -> None:
    scene = stop_before("Freeze")
    three = listed(*(signed for name, signed in scene.headers().items() if name != "node-03"))
    proved = scene.logged(three)("ana")
    with pytest.raises(Refused) as caught:
        scene.show(replace(proved, u=everybody(scene)), "Freeze")
    assert caught.value.rule == "freeze.statement"


def test_a_proof_from_another_checkpoint_than_the_last_is_refused() -> None:
    scene = stop_before("Freeze")
    proved = scene.logged(everybody(scene))("ana")
    with pytest.raises(VerificationFailed) as caught:
        scene.show(replace(proved, proof=replace(proved.proof, old_size=0, consistency=())), "Freeze")
    assert caught.value.code == "E-BEHIND"


def without(asked: Open, agreements: int = 0, cosignatures: int = 0) -> Open:
    return Open(asked.agreements[agreements:], asked.cosignatures[cosignatures:])


def test_fewer_than_the_quorum_open_nothing() -> None:
    for lacking, rule in (({"agreements": 2}, "open.threshold"), ({"cosignatures": 2}, "open.quorum")):
        scene = stop_before("Freeze")
        asked = scene.witnessed(everybody(scene))
        with pytest.raises(Refused) as caught:
            scene.show(without(asked, **lacking), "Open")
        assert caught.value.rule == rule


def test_one_witness_counts_once() -> None:
    scene = stop_before("Freeze")
    asked = scene.witnessed(everybody(scene))
    with pytest.raises(Refused) as caught:
        scene.show(Open((asked.agreements[0],) * 3, asked.cosignatures), "Open")
    assert caught.value.rule == "open.threshold"
    with pytest.raises(Refused) as caught:
        scene.show(Open(asked.agreements, (asked.cosignatures[0],) * 3), "Open")
    assert caught.value.rule == "open.quorum"


def test_members_are_no_witnesses() -> None:
    scene = stop_before("Freeze")
    asked = scene.witnessed(everybody(scene))
    renamed = tuple(Cosignature(name, one.line) for name, one in zip(scene.headers(), asked.cosignatures, strict=False))
    with pytest.raises(Refused) as caught:
        scene.show(Open(asked.agreements, renamed), "Open")
    assert caught.value.rule == "open.witness"
    with pytest.raises(Refused) as caught:
        scene.show(Open(tuple(scene.headers().values()), asked.cosignatures), "Open")
    assert caught.value.rule == "open.signer"


def test_witnesses_of_another_fork_do_not_count() -> None:
    """ana and ben see one freeze, cyd another: with one honest trustee for each fork, neither has a quorum."""
    scene = stop_before("Freeze")
    asked = scene.witnessed(everybody(scene), ("ana",))
    three = listed(*(signed for name, signed in scene.headers().items() if name != "node-03"))
    other = scene.witnessed(three, ("ben", "cyd"))
    with pytest.raises(ProtocolViolation) as caught:
        scene.show(Open((*asked.agreements, *other.agreements), asked.cosignatures), "Open")
    assert caught.value.rule == "open.same-set"


def test_a_witness_counts_for_the_checkpoint_that_it_signed() -> None:
    scene, fork = stop_before("Freeze"), stop_before("Freeze")
    fork.played.log.append(b"another entry")
    asked, other = scene.witnessed(everybody(scene)), fork.witnessed(everybody(fork))
    with pytest.raises(VerificationFailed):
        scene.show(Open(asked.agreements, other.cosignatures), "Open")
