"""The tree against the reference of certificate-transparency, an independent library, and the words of RFC 6962."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from secagg.errors import BadInput, VerificationFailed
from secagg.log.growing import Tree
from secagg.log.tree import leaf_hash, root, verify_consistency, verify_inclusion

# The eight inputs and the roots over the first 1 … 8 of them in the tests of google/certificate-transparency.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
PATHS = {  # (index, size): the siblings, from the same tests
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
EXTENSIONS = {  # (old, new): consistency proofs, from the same tests
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def grown(count: int, data: list[bytes] | None = None) -> Tree:
    tree = Tree()
    for item in (data or [str(index).encode() for index in range(count)])[:count]:
        tree.append(leaf_hash(item))
    return tree


@pytest.mark.parametrize("size", range(1, 9))
def test_reference_roots(size: int) -> None:
    assert grown(size, INPUTS).root() == ROOTS[size - 1]
    assert root([leaf_hash(data) for data in INPUTS[:size]]) == ROOTS[size - 1]
    assert grown(8, INPUTS).root(size) == ROOTS[size - 1]


def test_an_empty_tree_is_the_hash_of_nothing() -> None:
    assert root([]) == Tree().root() == sha256(b"").digest()


@pytest.mark.parametrize("place", PATHS)
def test_reference_inclusion(place: tuple[int, int]) -> None:
    assert [value.hex() for value in grown(8, INPUTS).inclusion(*place)] == PATHS[place]


@pytest.mark.parametrize("sizes", EXTENSIONS)
def test_reference_consistency(sizes: tuple[int, int]) -> None:
    assert [value.hex() for value in grown(8, INPUTS).consistency(*sizes)] == EXTENSIONS[sizes]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 33])
def test_an_independent_library_finds_the_same_roots(size: int) -> None:
    oracle = InmemoryTree(algorithm="sha256")
    for index in range(size):
        oracle.append_entry(str(index).encode())
    assert grown(size).root() == oracle.get_root()


@settings(max_examples=60)
@given(st.data())
def test_every_proof_holds_and_no_other(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    tree = grown(70)
    proof, leaf = tree.inclusion(index, size), leaf_hash(str(index).encode())
    verify_inclusion(leaf, index, size, proof, tree.root(size))
    for bad_leaf, bad_index, bad_proof in (
        (leaf_hash(b"other"), index, proof),
        (leaf, size, proof),
        (leaf, index, (*proof, bytes(32))),
        (leaf, index, (bytes(32), *proof)),
        *((leaf, index, (*proof[:at], bytes(32), *proof[at + 1:])) for at in range(len(proof))),
        *((leaf, index, proof[:at]) for at in range(len(proof))),
        *((leaf, other, proof) for other in range(size) if other != index),
    ):
        with pytest.raises(VerificationFailed):
            verify_inclusion(bad_leaf, bad_index, size, bad_proof, tree.root(size))


@settings(max_examples=60)
@given(st.data())
def test_every_extension_holds_and_no_other(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, size - 1))
    tree = grown(70)
    before, after, proof = tree.root(old), tree.root(size), tree.consistency(old, size)
    verify_consistency(old, before, size, after, proof)
    for bad in (
        (old, bytes(32), size, after, proof),
        (old, before, size, bytes(32), proof),
        (old, before, size, after, ()),
        (old, before, size, after, (*proof, bytes(32))),
        (size, after, old, before, proof),
        *((old, before, size, after, (*proof[:at], bytes(32), *proof[at + 1:])) for at in range(len(proof))),
    ):
        with pytest.raises(VerificationFailed):
            verify_consistency(*bad)


def test_two_trees_of_one_size_are_a_fork() -> None:
    with pytest.raises(VerificationFailed, match="Two checkpoints of one size differ"):
        verify_consistency(3, bytes(32), 3, b"\x01" * 32, ())
    verify_consistency(3, bytes(32), 3, bytes(32), ())
    verify_consistency(0, Tree().root(), 3, bytes(32), ())


def test_a_leaf_cannot_pass_as_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != root([left, right])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 9)])
def test_no_proof_outside(index: int, size: int) -> None:
    with pytest.raises(BadInput):
        grown(8).inclusion(index, size)
    with pytest.raises(BadInput):
        grown(8).consistency(size + 1, size)
