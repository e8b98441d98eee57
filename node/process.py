"""The node as a process: its configuration, its keys, its tasks, its link.

Rules: relative paths are relative to the file that names them; what cannot be used is said before anything is opened.
Leaves to others: the loop (secagg.daemon), decisions (node.service), enrolment (secagg.daemon.enrolment).
Source: docs/operations.md "Configuration".
"""

from pathlib import Path

from node import config
from node.config import NodeConfig
from node.drill import Drill
from node.service import NodeService
from secagg.crypto.rng import system_rng
from secagg.crypto.sign import SigningKey
from secagg.daemon.admin import SOCKET
from secagg.daemon.enrolment import KEYS
from secagg.daemon.inputs import FILE, SqliteInputs
from secagg.daemon.process import run_daemon
from secagg.daemon.vault import RoundKeys, load_keys, passphrase, private_directory
from secagg.errors import BadConfiguration
from secagg.transport.zmq_link import ZmqLink

WORKERS = 4
"""Threads for work: a training, one that waits for it, and two for what must not wait: erasing keys, masks, results."""


def admin_socket(path: Path) -> Path:
    """Return the admin socket of the node that a configuration file describes. Raises: BadConfiguration."""
    return path.parent / config.read(path).node.state_dir / SOCKET


def run(path: Path, drill: Drill | None = None, *, verbosity: int = 0, color: bool = True) -> None:
    """Run as the configuration at `path` says until SIGTERM or SIGINT.

    Raises: BadConfiguration or BadInput for what cannot be used.
    """
    read = config.read(path)
    own, policy, tasks = read.node, read.policy.policy(), config.own_tasks(path, read)
    state = private_directory(path.parent / own.state_dir)
    if not (state / KEYS).exists():
        raise BadConfiguration(f"There are no keys in {state}.", "Run `secagg node join` first.")
    file = path.parent / own.passphrase_file if own.passphrase_file else None
    ring = load_keys(state / KEYS, passphrase(file))
    key = SigningKey.from_private_bytes(ring.sign.reveal())
    keys = RoundKeys(state / "rounds", ring.storage, system_rng)
    ledger = _ledger(path, read, key.public)
    service = NodeService(
        own.name, key, read.federation.pin(), policy, tasks, state, keys, system_rng, ledger, drill,
        read.policy.spot_leaves,
    )  # fmt: skip
    addresses, broker_key = read.broker.addresses(), read.broker.key()
    run_daemon(
        service, lambda: ZmqLink(addresses, broker_key, ring.curve), state, own.name, "node",
        verbosity=verbosity, color=color, workers=WORKERS, federation=read.federation.name,
    )  # fmt: skip


def _ledger(path: Path, read: NodeConfig, writer: bytes) -> SqliteInputs:
    """Open the ledger of inputs, which other nodes of this institution may share. Raises: BadConfiguration."""
    own, place = read.node, path.parent / read.node.state_dir
    file = path.parent / read.ledger.path if read.ledger.path else place.resolve().parent / FILE
    given = read.ledger.passphrase_file or own.passphrase_file
    return SqliteInputs(file, passphrase(path.parent / given if given else None), writer, system_rng)
