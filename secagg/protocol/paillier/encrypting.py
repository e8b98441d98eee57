"""A node's clear words to an encrypted upload, with the proof that it knows what it holds (protocol §5).

Rules: every ciphertext has an obfuscator of its own, which comes ready made (a pool) or from the table. The proof is
bound to the manifest, the sender and all ciphertexts. Clear words and exponents are never written.
Leaves to others: storing the upload (the shell), signing its header (node.py).
"""

from collections.abc import Callable, Mapping

import numpy as np

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.encrypt import Obfuscators, encrypt
from secagg.crypto.paillier.knowledge import prove_knowledge
from secagg.crypto.rng import Rng
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.phases import Encrypted, Encrypting

Source = Callable[[int], Obfuscators]
"""Gives that many fresh obfuscators of the manifest's key; each is used once."""


def protect(
    phase: Encrypting, me: str, groups: Mapping[str, np.ndarray], source: Source, rng: Rng
) -> tuple[bytes, Encrypted]:
    """Encrypt one member's words per lane group; return the upload's bytes and what its header says.

    Raises: BadInput when a value does not fit its slot.
    """
    layout = Layout(phase.manifest)
    words = layout.pack(groups)
    obfuscators = source(len(words))
    upload = layout.ring.write(encrypt(layout.ring, words, obfuscators))
    proof = prove_knowledge(layout.ring, phase.scope.manifest, me, upload, words, obfuscators.exponents, rng)
    size = phase.manifest.chunk_bytes
    chunks = tuple(sha256(upload[at : at + size]) for at in range(0, len(upload), size))
    return upload, Encrypted(layout.root(upload), len(upload), sha256(upload), proof, chunks)
