"""RFC 6962 Merkle tree: leaf and node hashes, roots, and the verification of inclusion and consistency.

Rules: 0x00 before a leaf, 0x01 before a node, so that neither can pass as the other; an empty tree hashes to SHA-256 of
nothing. Verification follows RFC 9162 §2.1.3.2 and §2.1.4.2. Leaves to others: proofs (growing), storage (tiles),
signatures (note).
"""

from collections.abc import Sequence

from secagg.crypto.derive import sha256, sha256_after
from secagg.errors import VerificationFailed

_leaf = sha256_after(b"\x00")


def leaf_hash(data: bytes | memoryview) -> bytes:
    """Return SHA-256(0x00 ‖ data)."""
    return _leaf(data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right)


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of leaf hashes."""
    if not leaves:
        return sha256(b"")
    level = list(leaves)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def pieces(data: bytes | bytearray | memoryview, size: int) -> list[bytes]:
    """Return the leaf hashes of `data` cut into pieces of `size` bytes; the last one may be shorter."""
    view = memoryview(data)
    return [leaf_hash(view[start : start + size]) for start in range(0, len(view), size)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that leaf hash `leaf` stands at `index` in the tree of `size` leaves with root `expected`.

    Raises: VerificationFailed.
    """
    if not 0 <= index < size:
        raise VerificationFailed(f"Entry {index} is outside a log of {size}.", "Ask for a newer checkpoint.")
    position, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise VerificationFailed("An inclusion proof is too long.", "Ask the operator for the log.")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last or found != expected:
        raise VerificationFailed(f"Entry {index} is not in the log.", "Ask the operator for the log.")


def verify_consistency(old_size: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (`old_size`, `old_root`) is a prefix of (`size`, `new_root`).

    Raises: VerificationFailed when the log was rolled back, forked, or the proof does not fit.
    """
    if old_size > size:
        raise VerificationFailed(f"The log shrank from {old_size} to {size} entries.", "Keep both checkpoints.")
    if old_size in (0, size):
        if proof or (old_size == size and old_root != new_root):
            raise VerificationFailed("Two checkpoints of one size differ.", "Keep both: they prove a fork.")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if _walk(old_size, size, path) != (old_root, new_root):
        raise VerificationFailed("The log is not an extension of the one seen before.", "Keep both checkpoints.")


def _walk(old_size: int, size: int, path: list[bytes]) -> tuple[bytes, bytes] | None:
    position, last = old_size - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    if not path:
        return None
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    return None if last else (old, new)
