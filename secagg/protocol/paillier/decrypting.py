"""A trustee's work on the frozen set: verify every upload, multiply it in, decrypt the product with its own share.

Rules (protocol §5, attacks 19, 31): the product is this trustee's own, and nobody hands it one. It is made from the
complete uploads that the headers of the frozen set sign for, each with its proof of knowledge. Memory is one vector.
Leaves to others: fetching uploads by their digest (the shell), whether to open at all (trustee.py).
"""

from collections.abc import Mapping
from concurrent.futures import Executor

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.decryption import prove_decryption
from secagg.crypto.paillier.numbers import Numbers
from secagg.crypto.paillier.partial import Opening, decrypt_partially
from secagg.crypto.paillier.private import PrivateKey
from secagg.crypto.paillier.product import Product
from secagg.crypto.paillier.threshold import Share
from secagg.crypto.rng import Rng
from secagg.errors import ProtocolViolation
from secagg.protocol.custody import custody_of
from secagg.protocol.manifest import Manifest
from secagg.protocol.paillier.accepting import check_upload
from secagg.protocol.paillier.door import threshold_key
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import Answer, EncryptedInput, Plain
from secagg.protocol.paillier.phases import Decrypted, Decrypting
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed

Secret = Share | PrivateKey
"""What a trustee decrypts with: its share, or the whole key of a single holder."""


class Collector:
    """The product of a frozen set's uploads, made upload by upload as they arrive, each once, in any order."""

    def __init__(self, manifest: Manifest, scope: Scope, u: bytes, executor: Executor | None = None) -> None:
        self._layout, self._scope, self._executor = Layout(manifest), scope, executor
        entries = decode(tuple[Signed, ...], u, LIMIT_LIST)
        self._left = {entry.sender: decode(EncryptedInput, entry.body) for entry in entries}
        self._product = Product(self._layout.ring, self._layout.ciphertexts, executor)

    def wanted(self) -> Mapping[str, bytes]:
        """Return the SHA-256 of every upload that is still missing, by member."""
        return {member: header.upload for member, header in self._left.items()}

    def add(self, member: str, data: bytes) -> None:
        """Verify a member's upload and multiply it in.

        Raises: ProtocolViolation naming the member when it does not hold; the product is then unchanged.
        """
        if member not in self._left:
            raise ProtocolViolation(f"An upload of {member} is not wanted.", "It is discarded.", rule="upload.unwanted")
        check_upload(self._layout, self._scope, member, self._left[member], data, self._executor)
        self._product.multiply(data)
        del self._left[member]

    def close(self) -> Numbers:
        """Return the product of all uploads.

        Raises: ProtocolViolation (upload.missing, paillier.gcd).
        """
        if self._left:
            raise ProtocolViolation(
                f"The uploads of {', '.join(self._left)} are missing.", "Fetch them.", rule="upload.missing"
            )
        return self._product.close()


def collect(phase: Decrypting, executor: Executor | None = None) -> Collector:
    """Return a collector for the set that this trustee decided to open."""
    return Collector(phase.manifest, phase.scope, phase.u, executor)


def answer(
    phase: Decrypting, secret: Secret, products: Numbers, rng: Rng, executor: Executor | None = None
) -> Decrypted:
    """Decrypt the products of a closed collector and prove it; the one place that uses the secret.

    Raises: ProtocolViolation, rule paillier.gcd; ValueError when the secret is not of this custody's kind.
    """
    custody, u = custody_of(phase.manifest), sha256(phase.u)
    if isinstance(secret, Share):
        opening = Opening(phase.scope.manifest, phase.names)
        partial = decrypt_partially(threshold_key(custody), secret, opening, products, rng, executor)
        return Decrypted(Answer(u, partial=partial))
    ring = Layout(phase.manifest).ring
    words = secret.decrypt(ring, products, rng, executor)
    proof = prove_decryption(secret, ring, phase.scope.manifest, u, products, words, rng)
    return Decrypted(Answer(u, plain=Plain(ring.write_plain(words), proof)))
