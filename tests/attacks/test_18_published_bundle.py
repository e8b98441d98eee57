"""Row 18: no unblinded hash or commitment of an update is ever published: a dictionary attack on everything fails.

The attacker holds what an auditor gets and more: both logs, every side file, uploads, answers and salts, and every
message on the wire. It knows all other inputs, and that node-03 has one of eight. It may not learn which.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest

from secagg.crypto.derive import sha256
from secagg.crypto.prg import add
from secagg.log.tree import leaf_hash
from secagg.protocol.lanes import Groups, encode_training, packing, to_upload, upload_root
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, MaskedInput, ShareList
from secagg.protocol.masks.recovery import Evidence, recover
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import Federation, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Signed
from support.federation import inputs_of, make

VICTIM = "node-03"
CANDIDATES = [np.full(7, guess / 8) for guess in range(8)]
TRUE = 5


class Haul(NamedTuple):
    """Everything that was published of a round, or passed over the wire."""

    federation: Federation
    table: Table
    everything: bytes
    evidence: Evidence


class Watched(Table):
    """A table that keeps what opened the round."""

    opened: Unmasking

    def open_sum(self, asked: Effect | None = None) -> Event:
        assert isinstance(self.phase, Unmasking)
        self.opened = self.phase
        return super().open_sum(asked)


def words_of(manifest: Manifest, guess: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Groups:
    """Return the clear words of a guess; with all of W examples and at a power of two nothing is rounded."""
    return encode_training(manifest, guess, manifest.weight_bound, {"loss": 0.5}, lambda count: bytes(count))


@pytest.fixture(scope="module")
def haul() -> Haul:
    federation = make(5)
    manifest = propose(federation)
    inputs = {**inputs_of(federation, manifest), VICTIM: words_of(manifest, CANDIDATES[TRUE])}
    seated = Watched(**vars(table(federation, inputs, {"node-01": "MaskedInput"})))
    end = run_round(seated)
    assert isinstance(end, Closed)
    leaves = [seated.log.leaf(index) for index in range(seated.log.size)]
    parts = [*leaves, seated.log.checkpoint, *seated.files.values(), *seated.uploads.values(), encode(end.published)]
    parts += [end.salt, *(item.data for item in seated.wire)]
    texts = [bytes.fromhex(part) for leaf in leaves for part in _hex(leaf)]
    return Haul(federation, seated, b"|".join([*parts, *texts]), evidence_of(seated))


def _hex(leaf: bytes) -> list[str]:
    return [text for text in leaf.decode().split('"') if len(text) >= 64 and set(text) <= set("0123456789abcdef")]


def evidence_of(seated: Watched) -> Evidence:
    """Return what an auditor has after reading the bundle: every answer, so every secret that was opened."""
    phase = seated.opened
    u1, u2, u3 = (decode(tuple[Signed, ...], data, LIMIT_LIST) for data in (phase.u1, phase.u2, phase.u3))
    return Evidence(
        phase.manifest, phase.scope, sha256(phase.u2),
        {entry.sender: decode(AdvertiseKeys, entry.body) for entry in u1},
        {entry.sender: decode(ShareList, entry.body, LIMIT_BULK) for entry in u2},
        {entry.sender: tuple(one.sender for one in u1) for entry in u2},
        tuple(entry.sender for entry in u3),
        {entry.sender: decode(Answer, entry.body, LIMIT_BULK) for entry in phase.answers},
    )  # fmt: skip


def forms(manifest: Manifest, groups: Groups) -> Iterator[bytes]:
    """Yield an input in every form that a careless designer might hash."""
    yield to_upload(manifest, groups)
    yield encode({name: words.tobytes() for name, words in groups.items()})
    for group in manifest.groups:
        words = groups[group.name]
        yield words.tobytes()
        yield bytes(packing(group).to_wire(words))
        yield packing(group).unpack(words).tobytes()
        yield packing(group).unpack(words)[1:].tobytes()


def digests(haul: Haul, data: bytes) -> Iterator[bytes]:
    """Yield the hashes and commitments of some bytes under everything that the attacker knows."""
    yield sha256(data)
    yield leaf_hash(data)
    yield hashlib.sha512(data).digest()[:32]
    yield hashlib.blake2b(data, digest_size=32).digest()
    scope = haul.evidence.scope
    yield keys.commitment(data, scope, VICTIM)
    for key in (bytes(32), scope.manifest, haul.evidence.u2, b"fed", b"job"):
        yield hmac.digest(key, data, "sha256")
        yield sha256(key + data)


def guesses(haul: Haul) -> list[Groups]:
    return [words_of(haul.table.manifest, guess) for guess in CANDIDATES]


def test_no_digest_of_any_guess_is_anywhere(haul: Haul) -> None:
    looked = 0
    for groups in guesses(haul):
        for form in forms(haul.table.manifest, groups):
            assert form not in haul.everything
            for digest in digests(haul, form):
                assert digest not in haul.everything
                assert digest.hex().encode() not in haul.everything
                looked += 1
    assert looked > 1000


def unmasked_so_far(haul: Haul, groups: Groups) -> bytes:
    """Return the upload that a guess would have, with every mask that was opened."""
    seed = recover(haul.evidence).seeds[VICTIM].reveal()
    masked = {name: words.copy() for name, words in groups.items()}
    for name, words in masked.items():
        add(words, keys.self_key(seed, haul.evidence.scope, VICTIM, name))
    return to_upload(haul.table.manifest, masked)


def test_what_was_opened_does_not_tell_which_guess_is_right(haul: Haul) -> None:
    """The self mask was opened, as every round opens it; the pair masks of those who stayed never are."""
    header = next(
        decode(MaskedInput, decode(Signed, item.data).body) for item in haul.table.wire
        if item.kind == "MaskedInput" and getattr(item, "sender", "") == VICTIM
    )  # fmt: skip
    tried: list[Callable[[bytes], bool]] = [
        lambda upload: upload == haul.table.uploads[VICTIM],
        lambda upload: upload_root(haul.table.manifest, upload) == header.upload,
        lambda upload: sha256(upload).hex().encode() in haul.everything,
    ]
    for groups in guesses(haul):
        upload = unmasked_so_far(haul, groups)
        assert len(upload) == len(haul.table.uploads[VICTIM])
        assert not any(right(upload) for right in tried)


def test_the_differences_of_guesses_are_hidden_too(haul: Haul) -> None:
    """If any two words of the upload shared a mask, the right guess would be the one with equal differences."""
    group = next(group for group in haul.table.manifest.groups if group.name == "scalars")
    wire = haul.table.uploads[VICTIM][: packing(group).wire_bytes]
    seen = packing(group).from_wire(wire)
    clear = words_of(haul.table.manifest, CANDIDATES[TRUE])["scalars"]
    masks = [int(one) - int(other) & 2**64 - 1 for one, other in zip(seen, clear, strict=True)]
    assert len(set(masks)) == len(masks) > 3
    assert min(mask.bit_count() for mask in masks) > 8
