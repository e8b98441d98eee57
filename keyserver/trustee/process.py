"""The trustee as a process: its configuration, its keys, its shares, its link.

Leaves to others: the loop (secagg.daemon), decisions (service), enrolment (secagg.daemon.enrolment).
Source: docs/operations.md "Configuration".
"""

from pathlib import Path

from keyserver.trustee.config import Identity, state_directory
from keyserver.trustee.service import TrusteeService
from secagg.crypto.rng import system_rng
from secagg.daemon.admin import SOCKET
from secagg.daemon.process import run_daemon
from secagg.transport.zmq_link import ZmqLink


def admin_socket(path: Path) -> Path:
    """Return the admin socket of the trustee that a configuration file describes. Raises: BadConfiguration."""
    return state_directory(path) / SOCKET


def serve(path: Path, *, verbosity: int = 0, color: bool = True) -> None:
    """Serve as the configuration at `path` says until SIGTERM or SIGINT.

    Raises: BadConfiguration for what cannot be used.
    """
    own = Identity(path)
    config, name = own.config, own.config.trustee.name
    service = TrusteeService(name, own.key, config.federation.pin(), own.state, own.ring.storage, system_rng)
    addresses, broker_key = config.broker.addresses(), config.broker.key()
    run_daemon(
        service, lambda: ZmqLink(addresses, broker_key, own.ring.curve), own.state, name, "trustee",
        verbosity=verbosity, color=color, federation=config.federation.name,
    )  # fmt: skip
