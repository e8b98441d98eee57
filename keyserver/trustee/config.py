"""trustee.toml: who this trustee is, whom it dials and believes, and what it opens.

Rules: relative paths are relative to the file that names them; what [policy] does not name has its strict default.
Leaves to others: keys and shares (store), judging a round (secagg.protocol). Source: docs/operations.md
"Configuration".
"""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from keyserver.trustee.store import Store
from secagg.crypto.rng import system_rng
from secagg.crypto.sign import SigningKey
from secagg.daemon.config import load, means
from secagg.daemon.enrolment import KEYS
from secagg.daemon.federation import BrokerSection, FederationSection
from secagg.daemon.vault import KeyRing, load_keys, passphrase, private_directory
from secagg.errors import BadConfiguration
from secagg.ids import Name
from secagg.roster.members import Member
from secagg.transport.curve import public_key


class TrusteeSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[trustee]`: its member name, its organisation, and where it keeps what it knows."""

    name: Annotated[Name, means("Its name as a member.")]
    organisation: Annotated[str, means("The organisation that it belongs to.")]
    state_dir: Annotated[str, means("Where it keeps what it knows, mode 0700.")]
    passphrase_file: Annotated[str, means("The file that opens its key file.")] = ""


class TrusteeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    trustee: TrusteeSection
    broker: BrokerSection
    federation: FederationSection


class Identity:
    """A trustee's configuration, opened: its keys, its store, and how the roster has to show it."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path` and open the key file.

        Raises: BadConfiguration for what cannot be used.
        """
        self.config = load(path, TrusteeConfig)
        own = self.config.trustee
        self.state: Path = private_directory(path.parent / own.state_dir)
        if not (self.state / KEYS).exists():
            raise BadConfiguration(f"There are no keys in {self.state}.", "Run `secagg trustee join` first.")
        file = path.parent / own.passphrase_file if own.passphrase_file else None
        self.ring: KeyRing = load_keys(self.state / KEYS, passphrase(file))
        self.key = SigningKey.from_private_bytes(self.ring.sign.reveal())
        self.store = Store(self.state, self.ring.storage, system_rng)
        self.member = Member(own.name, own.organisation, "trustee", self.key.public, public_key(self.ring.curve))


def state_directory(path: Path) -> Path:
    """Return the state directory that a configuration file names. Raises: BadConfiguration."""
    return path.parent / load(path, TrusteeConfig).trustee.state_dir
