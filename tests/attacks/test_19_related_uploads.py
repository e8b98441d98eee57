"""Row 19: somebody's ciphertexts, or ones related to others', under another name, to have a single update opened."""

from typing import Any

import pytest
from gmpy2 import invert
from msgspec.structs import replace

from secagg.crypto.paillier.encrypt import encrypt, obfuscate
from secagg.crypto.paillier.knowledge import prove_knowledge
from secagg.errors import ProtocolViolation
from secagg.protocol.paillier import shell
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.protocol.paillier.rounds import Collecting
from secagg.wire.codec import decode
from support.federation import another_key
from support.malice import Scene, listed, stop_before

EVIL, VICTIM = "node-03", "node-00"


def related(scene: Scene, how: str) -> bytes:
    """Return an upload made of others' ciphertexts."""
    ring, uploads = scene.layout.ring, scene.played.uploads
    read = {name: ring.read(data) for name, data in uploads.items()}
    if how == "copy":
        return uploads[VICTIM]
    if how == "inverse of the rest":
        # Times everybody's it leaves the victim's update alone.
        rest = [one * two % ring.cipher for one, two in zip(read["node-01"], read["node-02"], strict=True)]
        return ring.write([invert(one, ring.cipher) for one in rest])
    if how == "one position":
        return ring.write([read[VICTIM][0], *read[EVIL][1:]])
    if how == "shifted copy":
        return ring.write([one * (1 + ring.n) % ring.cipher for one in read[VICTIM]])
    fresh = encrypt(ring, [1] * len(read[VICTIM]), obfuscate(scene.entrusted.powers, len(read[VICTIM]), rng(scene)))  # type: ignore[list-item]
    return ring.write([one * two % ring.cipher for one, two in zip(read[VICTIM], fresh, strict=True)])


def rng(scene: Scene) -> Any:
    return scene.entrusted.nodes.rng


def proofs(scene: Scene, upload: bytes) -> list[Any]:
    """Return what a thief can offer: the victim's proof, its own, and one made of words that it would like to know."""
    headers = {name: decode(EncryptedInput, signed.body) for name, signed in scene.headers().items()}
    count = scene.layout.ciphertexts
    guess = prove_knowledge(
        scene.layout.ring, scene.scope.manifest, EVIL, upload, [1] * count, [1] * count, rng(scene)  # type: ignore[list-item]
    )
    return [headers[VICTIM].proof, headers[EVIL].proof, guess]


HOW = ("copy", "inverse of the rest", "one position", "shifted copy", "rerandomised copy")


@pytest.mark.parametrize("how", HOW)
def test_no_trustee_multiplies_it(how: str) -> None:
    for index in range(3):
        scene = stop_before("Freeze")
        upload = related(scene, how)
        forged = scene.forge(EVIL, upload, proofs(scene, upload)[index])
        u = listed(*{**scene.headers(), EVIL: forged}.values())
        asked = scene.witnessed(u)
        with pytest.raises(ProtocolViolation, match=EVIL) as caught:
            scene.opens("ana", asked, {**scene.played.uploads, EVIL: upload})
        assert caught.value.rule == "paillier.knowledge"


@pytest.mark.parametrize("how", HOW)
def test_an_honest_aggregator_does_not_count_it(how: str) -> None:
    scene = stop_before("Freeze")
    upload = related(scene, how)
    for proof in proofs(scene, upload):
        phase = Collecting(scene.scope, scene.played.manifest, scene.headers()[VICTIM], (), 1)
        with pytest.raises(ProtocolViolation, match=EVIL) as caught:
            shell.verify(phase, EVIL, scene.forge(EVIL, upload, proof), upload)
        assert caught.value.rule == "paillier.knowledge"


def test_a_proof_serves_one_round_only() -> None:
    """The same key serves many rounds: yesterday's upload, with its true proof, is nothing today."""
    scene = stop_before("Freeze")
    header = decode(EncryptedInput, scene.headers()[EVIL].body)
    another = stop_before("Freeze", manifest=replace(scene.played.manifest, opening_key=another_key()))
    assert another.scope != scene.scope
    forged = another.forge(EVIL, scene.played.uploads[EVIL], header.proof)
    asked = another.witnessed(listed(*{**another.headers(), EVIL: forged}.values()))
    with pytest.raises(ProtocolViolation, match=EVIL) as caught:
        another.opens("ana", asked, {**another.played.uploads, EVIL: scene.played.uploads[EVIL]})
    assert caught.value.rule == "paillier.knowledge"


def test_what_the_attack_would_give() -> None:
    """The inverse of the rest really leaves one update: the proof is what stands in the way, and nothing else."""
    scene = stop_before("Freeze")
    ring, uploads = scene.layout.ring, scene.played.uploads
    product = ring.read(related(scene, "inverse of the rest"))
    for name in ("node-00", "node-01", "node-02"):
        product = [one * two % ring.cipher for one, two in zip(product, ring.read(uploads[name]), strict=True)]
    assert product == ring.read(uploads[VICTIM])
