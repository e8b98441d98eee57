"""Row 31: a trustee is handed something that is not the sum of the frozen, signed uploads."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.errors import ProtocolViolation, Refused
from secagg.protocol.paillier.decrypting import answer, collect
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.phases import Decrypted
from secagg.rehearsal.entrusted import propose
from secagg.wire.codec import decode
from support.malice import Scene, advance, listed, stop_before

Swap = Callable[[Scene], bytes]


def one_position(scene: Scene) -> bytes:
    """Return an upload in which one position is another member's ciphertext alone."""
    width = scene.layout.ring.width
    return scene.played.uploads["node-00"][:width] + scene.played.uploads["node-02"][width:]


def all_of_one(scene: Scene) -> bytes:
    return scene.played.uploads["node-00"]


def nothing(scene: Scene) -> bytes:
    """Return encryptions of zero without randomness: a product with them leaves everything else as it was."""
    return scene.layout.ring.write([scene.layout.ring.embed(0)] * scene.layout.ciphertexts)  # type: ignore[arg-type]


def turned_round(scene: Scene) -> bytes:
    width = scene.layout.ring.width
    data = scene.played.uploads["node-02"]
    return data[width:] + data[:width]


SWAPS: list[Swap] = [one_position, all_of_one, nothing, turned_round]


@pytest.mark.parametrize("swap", SWAPS)
def test_an_upload_that_is_not_the_frozen_one_is_not_multiplied(swap: Swap) -> None:
    scene = stop_before("Freeze")
    asked = scene.witnessed(listed(*scene.headers().values()))
    with pytest.raises(ProtocolViolation, match="node-02") as caught:
        scene.opens("ana", asked, {**scene.played.uploads, "node-02": swap(scene)})
    assert caught.value.rule == "upload.digest"


@pytest.mark.parametrize("swap", SWAPS)
def test_a_member_that_signs_for_it_has_no_proof(swap: Swap) -> None:
    scene = stop_before("Freeze")
    evil = swap(scene)
    proof = decode(EncryptedInput, scene.headers()["node-02"].body).proof
    u = listed(*{**scene.headers(), "node-02": scene.forge("node-02", evil, proof)}.values())
    with pytest.raises(ProtocolViolation, match="node-02") as caught:
        scene.opens("ana", scene.witnessed(u), {**scene.played.uploads, "node-02": evil})
    assert caught.value.rule == "paillier.knowledge"


def test_a_missing_upload_is_waited_for_and_a_strange_one_refused() -> None:
    scene = stop_before("Freeze")
    step = scene.show(scene.witnessed(listed(*scene.headers().values())), "Open")
    collector = collect(step.phase)  # type: ignore[arg-type]
    for member in ("node-00", "node-01", "node-02"):
        collector.add(member, scene.played.uploads[member])
    with pytest.raises(ProtocolViolation, match="node-03 are missing") as caught:
        collector.close()
    assert caught.value.rule == "upload.missing"
    with pytest.raises(ProtocolViolation) as caught:
        collector.add("node-00", scene.played.uploads["node-00"])
    assert caught.value.rule == "upload.unwanted"


def test_an_answer_is_sent_for_the_set_that_was_decided_only() -> None:
    scene = stop_before("Freeze")
    step = scene.show(scene.witnessed(listed(*scene.headers().values())), "Open")
    products = scene.layout.ring.read(scene.played.uploads["node-00"])
    made = answer(step.phase, scene.entrusted.secrets[scene.victim], products, scene.holder().ctx.rng)  # type: ignore[arg-type]
    with pytest.raises(ProtocolViolation) as caught:
        advance(scene.holder(), Decrypted(replace(made.answer, u=bytes(32))))
    assert caught.value.rule == "answer.set"


@pytest.mark.parametrize("kept", [("node-00",), ("node-00", "node-03"), ()])
def test_a_set_below_k_min_is_not_witnessed(kept: tuple[str, ...]) -> None:
    scene = stop_before("Freeze")
    u = listed(*(signed for name, signed in scene.headers().items() if name in kept))
    with pytest.raises(Refused) as caught:
        scene.show(scene.logged(u)("ana"), "Freeze")
    assert caught.value.rule == "u.enough"


def test_a_member_counts_once_and_in_its_place() -> None:
    scene = stop_before("Freeze")
    found = scene.headers()
    doubled = [found["node-00"], found["node-00"], found["node-01"], found["node-02"]]
    for entries in (doubled, [*list(found.values())[::-1]]):
        with pytest.raises(ProtocolViolation) as caught:
            scene.show(scene.logged(listed(*entries))("ana"), "Freeze")
        assert caught.value.rule == "list.members"


def test_a_manifest_of_few_or_strange_members_is_refused() -> None:
    scene = stop_before("Freeze")
    honest = propose(scene.entrusted, attempt=2)
    stranger = replace(honest.members[3], name="node-04")
    cases = {
        "k_min": replace(honest, k_min=2), "colluders": replace(honest, colluders=0),
        "members": replace(honest, members=(*honest.members[:3], stranger)),
        "threshold": replace(honest, threshold=1), "engine": replace(honest, engine="masks"),
    }  # fmt: skip
    for rule, manifest in cases.items():
        with pytest.raises(Refused) as caught:
            scene.attempt(manifest)
        assert caught.value.rule == f"trustee.{rule}"
