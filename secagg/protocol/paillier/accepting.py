"""An upload at anybody's door: the aggregator's, every trustee's, the auditor's (protocol §5).

Rules: an upload counts when it has the length of the manifest's layout, and the SHA-256 and the Merkle root of its
signed header. Its ciphertexts are in range, and a proof shows that its sender knows what is in them. Ciphertexts are
malleable: without the proof an aggregator with one node could upload the inverse of the others' product and have one
update opened.
Leaves to others: the header's signature (masks.checks.signed_list), which uploads are counted.
"""

from concurrent.futures import Executor

from secagg.crypto.derive import sha256
from secagg.crypto.paillier.knowledge import verify_knowledge
from secagg.errors import ProtocolViolation
from secagg.ids import NO_DIGEST
from secagg.protocol.paillier.layout import Layout
from secagg.protocol.paillier.messages import EncryptedInput
from secagg.wire.signed import Scope


def check_header(layout: Layout, member: str, header: EncryptedInput) -> None:
    """Refuse a header whose upload could never count, or that does not name its input.

    Raises: ProtocolViolation, rule upload.length or upload.input.
    """
    if header.bound.input == NO_DIGEST:
        raise _refusal(member, "input", "of no input that could be told from others")
    if header.length != layout.upload_bytes:
        raise ProtocolViolation(
            f"The upload of {member} has {header.length} bytes, not {layout.upload_bytes}.", "Do not count it.",
            rule="upload.length",
        )  # fmt: skip


def check_upload(
    layout: Layout, scope: Scope, member: str, header: EncryptedInput, data: bytes, executor: Executor | None = None
) -> None:
    """Hold the bytes of an upload against its signed header, and its proof of knowledge against both.

    Raises: ProtocolViolation (upload.length, digest, root; paillier.range, gcd, knowledge); the text names the member.
    """
    check_header(layout, member, header)
    if len(data) != header.length or sha256(data) != header.upload:
        raise _refusal(member, "digest", "not the one it signed for")
    if layout.root(data) != header.root:
        raise _refusal(member, "root", "of another root than its header")
    try:
        verify_knowledge(layout.ring, scope.manifest, member, data, header.proof, executor)
    except ProtocolViolation as error:
        raise ProtocolViolation(f"The upload of {member}: {error.cause}", error.remedy, rule=error.rule) from None


def _refusal(member: str, rule: str, why: str) -> ProtocolViolation:
    return ProtocolViolation(f"The upload of {member} is {why}.", "Do not count it.", rule=f"upload.{rule}")
