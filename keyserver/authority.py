"""What makes a key server the one of its federation: the root's delegation and the online key, and how both are made.

Rules: the root key signs once, when the federation is founded, and lies in a file of its own that belongs on another
medium. The daemon never opens it. Leaves to others: files' modes and passphrases (secagg.daemon.vault).
Source: docs/operations.md "Enrolment" (TUF's pattern).
"""

from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from secagg.crypto.rng import Rng
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon import vault
from secagg.errors import BadConfiguration, WireError
from secagg.ids import Key, Name, Signature
from secagg.roster.chain import Delegation, delegate, fingerprint, sign_roster
from secagg.roster.fingerprints import member_fingerprint
from secagg.roster.members import Member, Roster
from secagg.transport.curve import public_key
from secagg.wire.codec import decode, encode

KEYS, ROOT, FOUNDED = "keys", "root.key", "delegation"
"""Files in the state directory: online keys, the offline root (move it away), the root's word."""


class Founded(Struct, frozen=True, forbid_unknown_fields=True):
    """The public file of a federation: its root key and what that delegated."""

    federation: Name
    root_key: Key
    delegation: bytes
    signature: Signature


@dataclass(frozen=True)
class Authority:
    """A federation's online authority; `curve` is the secret of its link."""

    founded: Founded
    online: SigningKey
    curve: Secret

    @property
    def federation(self) -> str:
        """Return the federation's name."""
        return self.founded.federation

    @property
    def root_fingerprint(self) -> str:
        """Return what everybody pins."""
        return fingerprint(self.founded.root_key)

    @property
    def origin(self) -> str:
        """Return the origin of the directory log."""
        return f"{self.federation}/directory"

    @property
    def delegated_until(self) -> int:
        """Return when the root has to sign again, unix seconds."""
        return decode(Delegation, self.founded.delegation).expires

    @property
    def curve_key(self) -> bytes:
        """Return the CURVE key (32 bytes) by which the broker knows the key server."""
        return public_key(self.curve)

    def fingerprint_of(self, member: Member) -> bytes:
        """Return the fingerprint of a member of this federation (32 bytes)."""
        return member_fingerprint(self.federation, self.root_fingerprint, member)

    def sign(self, roster: Roster) -> bytes:
        """Return the signed roster's bytes."""
        delegation = self.founded.delegation, self.founded.signature
        return sign_roster(roster, self.founded.root_key, delegation, self.online)


def make_authority(federation: str, root: Secret, ring: vault.KeyRing, expires: int) -> Authority:
    """Let the root (32-byte seed) delegate to the ring's signing key until `expires` (unix seconds)."""
    key, online = (SigningKey.from_private_bytes(seed.reveal()) for seed in (root, ring.sign))
    delegation, signature = delegate(key, Delegation(federation, online.public, expires))
    return Authority(Founded(federation, key.public, delegation, signature), online, ring.curve)


def found(state_dir: Path, federation: str, phrase: Secret, expires: int, rng: Rng) -> Authority:
    """Make root, online and CURVE keys and write them to the state directory.

    Raises: BadConfiguration when a federation was founded there before, or the directory is open to others.
    """
    vault.private_directory(state_dir)
    if (state_dir / KEYS).exists() or (state_dir / FOUNDED).exists():
        raise BadConfiguration(
            f"A federation was founded in {state_dir} before.", "Choose another --state-dir; nothing was changed."
        )
    root, ring = vault.generate_keys(rng), vault.generate_keys(rng)
    authority = make_authority(federation, root.sign, ring, expires)
    vault.save_keys(state_dir / ROOT, root, phrase, rng)
    vault.save_keys(state_dir / KEYS, ring, phrase, rng)
    vault.write_private(state_dir / FOUNDED, encode(authority.founded))
    return authority


def load_authority(state_dir: Path, phrase: Secret) -> Authority:
    """Read what `found` wrote, without the root key.

    Raises: BadConfiguration.
    """
    ring = vault.load_keys(state_dir / KEYS, phrase)
    vault.check_private(state_dir / FOUNDED)
    try:
        founded = decode(Founded, (state_dir / FOUNDED).read_bytes())
    except WireError:
        raise BadConfiguration(f"{state_dir / FOUNDED} is damaged.", "Restore it from the backup.") from None
    return Authority(founded, SigningKey.from_private_bytes(ring.sign.reveal()), ring.curve)
