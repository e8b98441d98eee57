"""keyserver.toml: where the key server keeps its state, which broker it dials, and the federation's limits."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from keyserver.desk import Settings
from secagg.daemon.config import load, means
from secagg.daemon.federation import BrokerSection, FederationSection
from secagg.ids import Count, Ordinal

PLACES = (Path("keyserver.toml"), Path("/etc/secagg/keyserver.toml"))
"""Where the file is looked for when `--config` does not name one."""


class KeyserverSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[keyserver]`: the state directory, and the file with the passphrase of its keys."""

    state_dir: Annotated[str, means("Where it keeps what it knows, mode 0700.")]
    passphrase_file: Annotated[str, means("The file with the passphrase of its keys.")] = ""


class LimitsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[limits]`: c, when it is not to follow the number of nodes, and the smallest cohort."""

    colluders: Annotated[Count | None, means("How many nodes may collude; else by their number.")] = None
    min_nodes: Annotated[Ordinal, means("The smallest cohort of a job.")] = 3


class Configuration(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    keyserver: KeyserverSection
    federation: FederationSection
    broker: BrokerSection
    limits: LimitsSection = LimitsSection()

    @property
    def state_dir(self) -> Path:
        """Return the state directory."""
        return Path(self.keyserver.state_dir)

    @property
    def passphrase_file(self) -> Path | None:
        """Return the passphrase's file, None when it comes from the service manager or a prompt."""
        return Path(self.keyserver.passphrase_file) if self.keyserver.passphrase_file else None

    def settings(self) -> Settings:
        """Return what the service works with.

        Raises: BadConfiguration when the broker's address or key is none.
        """
        return Settings(
            self.broker.addresses(), self.broker.key(), self.limits.colluders, self.limits.min_nodes
        )  # fmt: skip


def read(path: Path | None) -> Configuration:
    """Read the file that `--config` names, or the first that exists; relative paths are relative to it.

    Raises: BadConfiguration.
    """
    chosen = path or next((place for place in PLACES if place.exists()), PLACES[0])
    given = load(chosen, Configuration)
    own = given.keyserver
    file = str(chosen.parent / own.passphrase_file) if own.passphrase_file else ""
    return replace(given, keyserver=KeyserverSection(str(chosen.parent / own.state_dir), file))
