"""Row 10: a weak generator or a short seed: seeds of 256 bits from the system, AES-CTR, no other generator anywhere.

The masks of a real upload are computed a second time with an AES, a curve and an HKDF of the tests' own.
"""

import subprocess
import sys
from dataclasses import replace as with_fields
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.crypto.prg import BLOCK, Keystream, Sums
from secagg.crypto.rng import system_rng
from secagg.protocol.lanes import Ready, from_upload, packing
from secagg.protocol.masks import masking
from secagg.protocol.masks.phases import Masking, Shared
from support.adversary import Scene, stop_before
from support.federation import make
from support.noise import blocks, chi_square, is_noise
from vectors.plain.aes import key_stream
from vectors.plain.curves import x25519, x25519_public
from vectors.plain.forms import context, fields, hkdf

ROOT = Path(__file__).resolve().parents[2]
Words = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]]]

KNOWN = {
    # FIPS 197 appendix C (keys 00 01 02 …), block 0; the GCM specification's H and E(K, 1) of the zero key.
    "128": (bytes(range(16)), 0, "c6a13b37878f5b826f4f8162a1c8d879"),
    "256": (bytes(range(32)), 0, "f29000b62a499fd0a9f39a6add2e7780"),
    "zero": (bytes(16), 0, "66e94bd4ef8a2c3b884cfa59ca342b2e"),
    "counter": (bytes(16), 16, "58e2fccefa7e3061367f1d57a4e7455a"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_generator_is_aes_in_counter_mode(name: str) -> None:
    key, offset, expected = KNOWN[name]
    out = bytearray(BLOCK + 16)
    Keystream(key, offset).fill(memoryview(out), 16)
    assert bytes(out[:16]).hex() == expected


def test_a_key_stream_that_is_used_again_makes_no_block_twice() -> None:
    """What one thread left half way goes on elsewhere in the array: every place has its own block, the right one."""
    key, length = bytes(range(16)), 1024
    lent, words = Sums([(key, True)]), np.zeros(4 * length, dtype=np.uint64)
    for part in (2, 0, 3, 1):
        with lent.at(8 * length * part) as streams:
            streams.combine(words[length * part : length * (part + 1)])
    assert words.tobytes() == key_stream(key, words.nbytes)
    assert len(blocks(words)) == words.nbytes // 16


def ready(parameters: int) -> tuple[Scene, Masking]:
    """Return a scene whose victim knows U2 and is about to mask that many numbers."""
    scene = stop_before("DeliverShares", "node-01", federation=make(4, parameters=parameters))
    phase = scene.deliver(scene.message.data).phase
    assert isinstance(phase, Masking)
    return scene, phase


def masks(phase: Masking) -> Words:
    """Return what masks zeros become."""
    zeros = {group.name: np.zeros(packing(group).words, packing(group).dtype) for group in phase.manifest.groups}
    upload = masking.contribute(Ready(zeros), phase, "node-01")
    return from_upload(phase.manifest, bytes(upload.data))


def test_the_masks_of_an_upload_are_those_of_the_specification() -> None:
    _, phase = ready(40)
    where = {"round": {name: getattr(phase.scope.round, name) for name in phase.scope.round.__struct_fields__},
             "manifest": phase.scope.manifest}  # fmt: skip
    me, own = "node-01", x25519_public(phase.mask_private)
    for group, found in masks(phase).items():
        expected = np.zeros(len(found), dtype=np.uint64)

        def stream(material: bytes, info: bytes, length: int = found.nbytes) -> np.ndarray:
            key = hkdf(material, phase.scope.manifest, info, 16)
            return np.frombuffer(key_stream(key, length), dtype="<u8")

        expected += stream(phase.seed, context("secagg/v1/masks/self", group, where, me, me))
        for peer in phase.peers:
            if peer.name == me:
                continue
            lo, hi = sorted(((me, own), (peer.name, peer.keys.mask_key)))
            info = context("secagg/v1/masks/pair", group, where, lo[0], hi[0]) + fields(phase.u2, lo[1], hi[1])
            shared = stream(x25519(phase.mask_private, peer.keys.mask_key), info)
            expected += shared if lo[0] == me else -shared
        assert found.tobytes() == expected.tobytes()


def test_every_secret_is_a_whole_draw_of_at_least_256_bits() -> None:
    federation, draws = make(4), []

    def recording(count: int) -> bytes:
        draws.append(federation.rng(count))
        return draws[-1]

    scene = stop_before("DeliverShares", federation=with_fields(federation, rng=recording))
    phase = scene.party.phase
    assert isinstance(phase, Shared)
    for secret, size in ((phase.seed, 32), (phase.mask_private, 32), (phase.seal_private, 96)):
        assert len(secret) == size
        assert draws.count(secret) == 1
    long = [draw for draw in draws if len(draw) >= 32]
    assert len(set(long)) == len(long)


@pytest.mark.parametrize("bit", [0, 7, 128, 255])
def test_seeds_that_differ_in_one_bit_share_no_block(bit: int) -> None:
    _, phase = ready(6000)
    number = int.from_bytes(phase.seed, "big") ^ 1 << bit
    one, other = masks(phase), masks(replace(phase, seed=number.to_bytes(32, "big")))
    for group in ("scalars", "update"):
        assert not blocks(one[group]) & blocks(other[group])
    assert is_noise(one["update"] - other["update"])


def test_no_block_of_a_mask_comes_twice_and_every_byte_is_as_likely() -> None:
    _, phase = ready(30_000)
    words = masks(phase)["update"]
    assert len(blocks(words)) == words.nbytes // 16
    assert is_noise(words)


def test_the_distinguisher_knows_noise_from_what_is_none() -> None:
    """A seed of 32 bits, a counter, a generator that repeats, and floats: none of them passes for a mask."""
    good = np.frombuffer(key_stream(bytes(16), 16_384), dtype=np.uint64)
    assert is_noise(good)
    assert not is_noise(np.arange(4096, dtype=np.uint64))
    assert not is_noise(good >> np.uint64(1))
    assert not is_noise(np.frombuffer(good.tobytes(), dtype=np.uint32).astype(np.float64))
    repeated = np.tile(good[:256], 8)
    assert len(blocks(repeated)) < repeated.nbytes // 16
    assert chi_square(bytes(65_536)) > 10**6


def test_the_systems_generator_does_not_repeat() -> None:
    draws = [system_rng(32) for _ in range(256)]
    assert len(set(draws)) == 256
    assert abs(chi_square(b"".join(draws)) - 255) < 12 * np.sqrt(2 * 255)


GENERATORS = {
    "random": "import random\n",
    "numpy": "import numpy as np\nx = np.random.default_rng(1)\n",
    "from numpy": "from numpy.random import default_rng\n",
    "urandom": "import os\nx = os.urandom(4)\n",
    "getrandom": "import os\nx = os.getrandom(4)\n",
    "secrets": "import secrets\n",
    "uuid": "from uuid import uuid4\n",
}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("room", ["secagg/protocol/masks/x.py", "node/x.py"])
def test_lint_bans_every_other_generator(name: str, room: str) -> None:
    line = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--stdin-filename", room, "-"]
    found = subprocess.run(line, cwd=ROOT, input=GENERATORS[name], capture_output=True, text=True, check=False)
    assert (found.returncode, "TID251" in found.stdout) == (1, True)
