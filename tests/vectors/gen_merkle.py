"""Write merkle.json: roots and proofs by the recursive definitions of RFC 6962. `--check` compares only."""

from collections.abc import Sequence

from vectors.plain.forms import consistency, drawn, inclusion, leaf, tree_hash
from vectors.plain.writing import Vectors, finish

DATA = [b"", b"\0", b"\x10", *(drawn(f"entry {index}", index) for index in range(3, 12))]
LEAVES = [leaf(data) for data in DATA]


def included(at: int, of: int, **changes: object) -> dict[str, object]:
    """Return a claim of inclusion, with changes."""
    first = LEAVES[:of]
    claim: dict[str, object] = {"leaf": DATA[at], "index": at, "size": of, "proof": inclusion(at, first)}
    return {**claim, "root": tree_hash(first), **changes}


def extended(before: int, after: int, **changes: object) -> dict[str, object]:
    """Return a claim of consistency, with changes."""
    proof = consistency(before, LEAVES[:after]) if before else []
    claim: dict[str, object] = {"old_size": before, "old_root": tree_hash(LEAVES[:before]), "size": after}
    return {**claim, "root": tree_hash(LEAVES[:after]), "proof": proof, **changes}


def accepted(to: Vectors) -> None:
    """Add roots, and proofs that hold."""
    for size in (0, 1, 2, 3, 4, 7, 8, 12):
        to.accept(f"root of {size}", "root", {"leaves": DATA[:size]}, tree_hash(LEAVES[:size]))
    for index, size in ((0, 1), (0, 2), (1, 2), (2, 3), (0, 7), (6, 7), (3, 8), (11, 12), (8, 12)):
        to.accept(f"entry {index} of {size}", "inclusion", included(index, size), None)
    for old, size in ((0, 5), (1, 2), (1, 7), (2, 3), (3, 7), (4, 8), (6, 8), (7, 12), (8, 12), (5, 5)):
        to.accept(f"{old} entries of {size}", "consistency", extended(old, size), None)


def without(name: str, to: Vectors, do: str, claims: Sequence[tuple[str, dict[str, object]]]) -> None:
    """Add claims that do not hold."""
    for what, claim in claims:
        to.refuse(f"{name}: {what}", do, claim, "VerificationFailed")


def not_included(to: Vectors) -> None:
    """Add false claims of inclusion."""
    good, first = inclusion(3, LEAVES[:8]), LEAVES[:8]
    without("inclusion", to, "inclusion", [
        ("another entry", included(3, 8, leaf=DATA[4])),
        ("another index", included(3, 8, index=2)),
        ("another index on the right edge", included(6, 7, index=5)),
        ("another size", included(6, 7, size=8)),
        ("index is the size", included(7, 8, index=8)),
        ("index below 0", included(0, 8, index=-1)),
        ("empty tree", included(0, 1, size=0)),
        ("another root", included(3, 8, root=tree_hash(LEAVES[:7]))),
        ("proof too short", included(3, 8, proof=good[:-1])),
        ("proof too long", included(3, 8, proof=[*good, good[-1]])),
        ("proof upside down", included(3, 8, proof=good[::-1])),
        ("empty proof", included(3, 8, proof=[])),
        ("proof of a single entry", included(0, 1, proof=[LEAVES[0]])),
        ("a node passed as an entry", {
            "leaf": LEAVES[0] + LEAVES[1], "index": 0, "size": 4, "proof": [tree_hash(LEAVES[2:4])],
            "root": tree_hash(LEAVES[:4]),
        }),
        ("a node at the wrong height", included(0, 8, index=0, size=4, proof=inclusion(0, first)[1:])),
    ])  # fmt: skip


def not_extended(to: Vectors) -> None:
    """Add false claims of consistency."""
    good = consistency(3, LEAVES[:7])
    without("consistency", to, "consistency", [
        ("a log that shrank", extended(3, 7, old_size=8)),
        ("another old root", extended(3, 7, old_root=tree_hash(LEAVES[1:4]))),
        ("another new root", extended(3, 7, root=tree_hash(LEAVES[:8]))),
        ("a fork of one size", extended(5, 5, root=tree_hash(LEAVES[1:6]))),
        ("a fork behind a power of two", extended(4, 8, old_root=tree_hash(LEAVES[1:5]))),
        ("proof too short", extended(3, 7, proof=good[:-1])),
        ("proof too long", extended(3, 7, proof=[*good, good[0]])),
        ("empty proof", extended(3, 7, proof=[])),
        ("empty proof from a power of two", extended(4, 8, proof=[])),
        ("proof upside down", extended(3, 7, proof=good[::-1])),
        ("proof where none belongs", extended(5, 5, proof=[LEAVES[0]])),
        ("proof from nothing", extended(0, 5, proof=[LEAVES[0]])),
        ("another old size", extended(3, 7, old_size=2)),
        ("another new size", extended(6, 8, size=9)),
    ])  # fmt: skip


def text() -> str:
    """Return the file's text."""
    to = Vectors("Merkle trees of RFC 6962: roots over entries, inclusion, consistency.")
    for add in (accepted, not_included, not_extended):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
