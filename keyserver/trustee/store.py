"""What a trustee keeps in files: the key that its next share is sealed to, and its shares.

    sealing.key            the sealing key of the card that is out, sealed under the storage key
    card                   that card, as it was handed out
    shares/<digest>.share  a share (or a single holder's private key), sealed under the storage key
    shares/<digest>.key    the public part of that key; once it is there, the share was accepted

Rules: a secret is on disk sealed, complete or not there (vault.write_private). A share is kept before its sealing key
is destroyed and before acceptance is signed, and never overwritten. Losing the disk retires the trustee.
Leaves to others: what is checked before a share is kept (secagg.protocol.ceremony), using it (decrypting).
"""

from pathlib import Path

from secagg.crypto import box
from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.secret import Secret
from secagg.daemon.vault import check_private, private_directory, sync_directory, write_private
from secagg.errors import BadConfiguration, BadInput, SealBroken

_LABEL = "secagg/v1/trustee/stored"
_SEALING, _CARD, _SHARES = "sealing.key", "card", "shares"
_SEED = 96


class Store:
    """The files of one trustee, in its state directory."""

    def __init__(self, state_dir: Path, storage: Secret, rng: Rng) -> None:
        self._place, self._storage, self._rng = private_directory(state_dir), storage, rng
        self._shares = private_directory(state_dir / _SHARES)

    # The card that is out --------------------------------------------------------------------------------------------

    def card(self) -> tuple[SealingKey, bytes] | None:
        """Return the sealing key of the card that is out, and the card's file; None when there is none.

        Raises: BadConfiguration when the file is open to others or damaged.
        """
        path = self._place / _CARD
        if not path.exists():
            return None
        return SealingKey.from_private_bytes(self._read(self._place / _SEALING).reveal()), path.read_bytes()

    def draw(self) -> SealingKey:
        """Make and keep a new sealing key; a card that was out is worthless from now on."""
        (self._place / _CARD).unlink(missing_ok=True)
        drawn = Secret(self._rng(_SEED))
        self._write(self._place / _SEALING, drawn)
        return SealingKey.from_private_bytes(drawn.reveal())

    def put_card(self, card: bytes) -> None:
        """Keep the card's file, so that it is handed out again as it is."""
        write_private(self._place / _CARD, card)

    def burn(self) -> None:
        """Destroy the sealing key: a sealed share that somebody kept opens no more."""
        path = self._place / _SEALING
        (self._place / _CARD).unlink(missing_ok=True)
        if path.exists():
            write_private(path, bytes(path.stat().st_size))
            path.unlink()
            sync_directory(self._place)

    # Shares ----------------------------------------------------------------------------------------------------------

    def keep(self, key: bytes, secret: Secret) -> None:
        """Keep a share of `key` (encoded public part); on disk when this returns. The same one twice is no error.

        Raises: BadInput when another share of this key is here.
        """
        share, public = self._paths(sha256(key))
        if public.exists() and self._read(share) != secret:
            raise BadInput("Another share of this key is kept here.", "Keep both files and ask the dealer.")
        if not public.exists():
            self._write(share, secret)
            write_private(public, key)

    def public_keys(self) -> list[bytes]:
        """Return the public parts of all keys with an accepted share."""
        return [path.read_bytes() for path in sorted(self._shares.glob("*.key"))]

    def has(self, digest: bytes) -> bool:
        """Say whether a share of the key with this digest was accepted."""
        return self._paths(digest)[1].exists()

    def share(self, digest: bytes) -> Secret:
        """Return the share of the key with this digest.

        Raises: BadInput when there is none; BadConfiguration when the file is open to others or damaged.
        """
        if not self.has(digest):
            raise BadInput(
                f"There is no share of the key {digest.hex()[:16]}… here.", "Run `secagg trustee accept` first.",
                code="E-SHARE",
            )  # fmt: skip
        return self._read(self._paths(digest)[0])

    def _paths(self, digest: bytes) -> tuple[Path, Path]:
        return self._shares / f"{digest.hex()}.share", self._shares / f"{digest.hex()}.key"

    def _write(self, path: Path, secret: Secret) -> None:
        context = fields(_LABEL, path.name)
        write_private(path, box.encrypt(self._storage.reveal(), secret.reveal(), context, self._rng))

    def _read(self, path: Path) -> Secret:
        check_private(path)
        try:
            return Secret(box.decrypt(self._storage.reveal(), path.read_bytes(), fields(_LABEL, path.name)))
        except SealBroken:
            raise BadConfiguration(f"{path} is damaged, or of another trustee.", "Restore it from its copy.") from None
