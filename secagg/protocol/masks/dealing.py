"""What a dealer signs of the shares it deals: a Merkle root over one leaf for each receiver, in roster order.

Rules (protocol §3 step 1): a leaf names its owner and the receiver's coordinate before the digests of the sealed piece
and of both shares. The list that everybody hashes holds roots only, so that U2 is O(n), and each receiver gets its leaf
with the path. Whoever has all leaves of a root knows that a coordinate stands in it once.
Leaves to others: sealing and dealing (node.py), what follows from a share that is not the listed one (recovery.py).
Source: RFC 6962 §2.1 for the tree.
"""

from collections.abc import Mapping, Sequence

from secagg.crypto.labels import fields
from secagg.errors import ProtocolViolation, Refused, VerificationFailed
from secagg.log.growing import Tree
from secagg.log.tree import leaf_hash, verify_inclusion
from secagg.protocol.masks.keys import LEAF_LABEL, Part
from secagg.protocol.masks.messages import ShareLeaf

Leaves = Mapping[int, ShareLeaf]
"""A dealer's leaves by the receiver's coordinate."""


def leaf_of(owner: str, leaf: ShareLeaf) -> bytes:
    """Return the leaf hash."""
    return leaf_hash(fields(LEAF_LABEL, owner, leaf.x, leaf.piece, leaf.seed, leaf.key))


def tree_of(owner: str, leaves: Sequence[ShareLeaf]) -> Tree:
    """Return the tree over a dealer's leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_of(owner, leaf))
    return tree


def listed(leaf: ShareLeaf, part: Part) -> bytes:
    """Return the digest of one share in a leaf."""
    return leaf.seed if part == "seed" else leaf.key


def check_leaf(owner: str, leaf: ShareLeaf, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf stands at this place under the root that its dealer signed.

    Raises: Refused (`u2.leaf`).
    """
    try:
        verify_inclusion(leaf_of(owner, leaf), index, size, path, root)
    except VerificationFailed:
        cause = f"A leaf of {owner} is not under its signed root."
        raise Refused(cause, "Leave the round.", rule="u2.leaf") from None


def all_leaves(owner: str, leaves: Sequence[ShareLeaf], root: bytes) -> Leaves:
    """Return a dealer's leaves by coordinate, once they are all that its root covers and none stands there twice.

    Raises: ProtocolViolation (`u2.root`).
    """
    xs = [leaf.x for leaf in leaves]
    if xs != sorted(set(xs)) or tree_of(owner, leaves).root() != root:
        raise ProtocolViolation(f"The leaves of {owner} are not those of its signed root.", rule="u2.root")
    return {leaf.x: leaf for leaf in leaves}
