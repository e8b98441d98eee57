"""A member's fingerprint, which two people compare by voice before the operator approves: hex groups and eight words.

It is a hash over federation, root, name, organisation, role and every public key. So whoever changes one of them on the
way changes the words. Rules: the words are the first eight bytes; the hex is all of it. Leaves to others: asking for
the words (keyserver), the root's own fingerprint (chain.py). Source: docs/operations.md "Enrolment".
"""

from collections.abc import Sequence

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.errors import VerificationFailed
from secagg.roster.members import Member
from secagg.roster.words import WORDS

LABEL = "secagg/v1/member"
SPOKEN = 8
ASKED = 2
"""How many of the words the institution reads out at least: one guess in 2^16 / 28 gets past."""


def member_fingerprint(federation: str, root_fingerprint: str, member: Member) -> bytes:
    """Return the fingerprint of a member (32 bytes)."""
    return sha256(
        fields(
            LABEL, federation, root_fingerprint, member.name, member.organisation, member.role,
            member.sign_key, member.curve_key,
        )
    )  # fmt: skip


def groups(digest: bytes) -> str:
    """Return a fingerprint as groups of four hex digits."""
    text = digest.hex()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def words(digest: bytes) -> tuple[str, ...]:
    """Return the eight words of a fingerprint."""
    return tuple(WORDS[byte] for byte in digest[:SPOKEN])


def check_words(digest: bytes, heard: Sequence[str]) -> None:
    """Check that at least two words were read out, in the order of the fingerprint, and all of them belong to it.

    Raises: VerificationFailed.
    """
    left = iter(words(digest))
    spoken = [word.strip().lower() for word in heard]
    if len(spoken) < ASKED or not all(word in left for word in spoken):
        raise VerificationFailed(
            "These words are not of the fingerprint that this key server was sent.",
            "Do not approve: ask the institution to read its words again; if they differ, somebody is in between.",
            code="E-WORDS",
        )
