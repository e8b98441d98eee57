"""The aggregator as a process: its configuration, its keys, its log, its link.

Rules: relative paths are relative to the file that names them; keys lie in the state directory under a passphrase.
Leaves to others: the loop (secagg.daemon), decisions (aggregator.service), enrolment (secagg.daemon.enrolment).
Source: docs/operations.md "Configuration".
"""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from aggregator.service import AggregatorService
from secagg.crypto.rng import system_rng
from secagg.crypto.sign import SigningKey
from secagg.daemon.admin import SOCKET
from secagg.daemon.config import load, means
from secagg.daemon.enrolment import KEYS
from secagg.daemon.federation import BrokerSection, FederationSection
from secagg.daemon.process import run_daemon
from secagg.daemon.vault import RoundKeys, load_keys, passphrase, private_directory
from secagg.errors import BadConfiguration
from secagg.ids import Name
from secagg.log.durable import TileLog
from secagg.transport.zmq_link import ZmqLink


class AggregatorSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[aggregator]`: its member name and where it keeps what it knows; `passphrase_file` opens its key file."""

    name: Annotated[Name, means("Its name as a member.")]
    state_dir: Annotated[str, means("Where it keeps what it knows, mode 0700.")]
    passphrase_file: Annotated[str, means("The file that opens its key file.")] = ""


class AggregatorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """aggregator.toml."""

    aggregator: AggregatorSection
    broker: BrokerSection
    federation: FederationSection


def state_directory(path: Path) -> Path:
    """Return the state directory that a configuration file names.

    Raises: BadConfiguration.
    """
    return path.parent / load(path, AggregatorConfig).aggregator.state_dir


def admin_socket(path: Path) -> Path:
    """Return the admin socket of the aggregator that a configuration file describes."""
    return state_directory(path) / SOCKET


def serve(
    path: Path, *, verbosity: int = 0, color: bool = True, service: type[AggregatorService] = AggregatorService
) -> None:
    """Serve as the configuration at `path` says until SIGTERM or SIGINT, deciding as `service` does.

    Raises: BadConfiguration for what cannot be used.
    """
    config = load(path, AggregatorConfig)
    own = config.aggregator
    state = private_directory(path.parent / own.state_dir)
    if not (state / KEYS).exists():
        raise BadConfiguration(f"There are no keys in {state}.", "Run `secagg aggregator join` first.")
    file = path.parent / own.passphrase_file if own.passphrase_file else None
    ring = load_keys(state / KEYS, passphrase(file))
    key = SigningKey.from_private_bytes(ring.sign.reveal())
    origin = f"{config.federation.name}/rounds"
    audit = private_directory(state / "audit")
    log = TileLog(audit / "rounds", origin, origin, key)
    keys = RoundKeys(state / "opening", ring.storage, system_rng)
    decides = service(own.name, key, config.federation.pin(), state, log, keys, system_rng)
    addresses, broker_key = config.broker.addresses(), config.broker.key()
    run_daemon(
        decides, lambda: ZmqLink(addresses, broker_key, ring.curve), state, own.name, "aggregator",
        verbosity=verbosity, color=color, federation=config.federation.name,
    )  # fmt: skip
