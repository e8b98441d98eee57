"""Lane groups to plaintext words of a key and back: which slots lie in which ciphertext of an upload.

Rules (protocol §2): slots of a group lie side by side in plaintexts of `capacity` bits. An upload is the ciphertexts of
all groups, one group after another, each group beginning a new ciphertext. Merkle leaves are 32 ciphertexts of one
group. Signed slots (64 bits: scalars, lossless sums) carry an offset, so that no sum is negative and nothing wraps.
Leaves to others: slots from floats (secagg.protocol.lanes), encryption (encrypting.py).
"""

from collections.abc import Iterator, Mapping

import numpy as np
from msgspec import UNSET

from secagg.crypto.paillier.numbers import Numbers
from secagg.crypto.paillier.packing import WordLayout
from secagg.crypto.paillier.ring import Ring
from secagg.errors import ProtocolViolation, Refused
from secagg.log.tree import leaf_hash, root
from secagg.protocol.custody import custody_of
from secagg.protocol.lanes import Groups, packing
from secagg.protocol.manifest import JobSpec, LaneGroup, Manifest, lane_groups
from secagg.protocol.paillier.door import public_key

LEAF_CIPHERTEXTS = 32

LONGEST_ANSWER = 64 * 2**20
"""An answer has as many bytes as an upload; a trustee keeps it in its journal, to repeat it."""


class Layout:
    """The uploads of one manifest; `ring` is the key's arithmetic."""

    def __init__(self, manifest: Manifest) -> None:
        """Raises: Refused or WireError when the manifest names no key; ProtocolViolation for slots that fit no word."""
        custody = custody_of(manifest)
        self.ring = Ring(public_key(custody), custody.s)
        try:
            self._lanes = [
                (group, WordLayout(self.ring.capacity, group.value_bits, len(manifest.members), group.count))
                for group in manifest.groups
            ]
        except ValueError as error:
            raise ProtocolViolation(
                f"The lane groups do not fit the key: {error}.", "The manifest is malformed.", rule="manifest.groups"
            ) from None

    @property
    def ciphertexts(self) -> int:
        """Return the ciphertexts of an upload."""
        return sum(words.words for _, words in self._lanes)

    @property
    def upload_bytes(self) -> int:
        """Return the length of an upload in bytes."""
        return self.ciphertexts * self.ring.width

    def pack(self, groups: Mapping[str, np.ndarray]) -> Numbers:
        """Return the plaintexts of one member's words per lane group.

        Raises: BadInput when a value does not fit its slot.
        """
        found: Numbers = []
        for group, words in self._lanes:
            slots = packing(group).unpack(groups[group.name]).view(np.uint64)
            found += words.pack(slots + np.uint64(_offset(group)))
        return found

    def unpack(self, numbers: Numbers, contributors: int) -> Groups:
        """Return the summed words per lane group of a decrypted sum.

        Raises: ProtocolViolation when it is not one of that many honest members' (paillier.slots, summands).
        """
        found: Groups = {}
        start = 0
        for group, words in self._lanes:
            sums = words.unpack(numbers[start : start + words.words], contributors)
            slots = sums - np.uint64(contributors * _offset(group) % 2**64)
            found[group.name] = packing(group).pack(slots.view(np.int64) if _signed(group) else slots)
            start += words.words
        return found

    def leaves(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """Yield the leaves of an upload in order."""
        view, start = memoryview(data), 0
        for _, words in self._lanes:
            stop, step = start + words.words * self.ring.width, LEAF_CIPHERTEXTS * self.ring.width
            for at in range(start, stop, step):
                yield view[at : min(at + step, stop)]
            start = stop

    def root(self, data: bytes | memoryview) -> bytes:
        """Return the Merkle root of an upload."""
        return root([leaf_hash(bytes(leaf)) for leaf in self.leaves(data)])


def upload_bytes_of(spec: JobSpec) -> int:
    """Return the length of an upload of every round of a job. Raises: as `Layout`."""
    if spec.custody is UNSET:
        raise Refused("The job names no trustees.", "Give it a custody.", rule="manifest.custody")
    ring, nodes = Ring(public_key(spec.custody), spec.custody.s), len(spec.cohort)
    groups = lane_groups(spec, nodes)
    return ring.width * sum(WordLayout(ring.capacity, one.value_bits, nodes, one.count).words for one in groups)


def _signed(group: LaneGroup) -> bool:
    """Say whether a group's slots are signed numbers; offset codes, which are not, never fill 64 bits."""
    return group.slot_bits == 64


def _offset(group: LaneGroup) -> int:
    return 1 << (group.value_bits - 1) if _signed(group) else 0
