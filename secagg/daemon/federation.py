"""The two sections that every role's configuration shares: whom to dial and whom to believe.

Rules: `address` is the base port of a broker, whose three sockets follow each other; `bulk` and `enrol` are written
only where they lie elsewhere. Leaves to others: each role's own section. Source: docs/operations.md "Configuration".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tomlkit
from msgspec import Struct

from secagg.daemon.config import means
from secagg.daemon.membership import Pin
from secagg.daemon.vault import write_private
from secagg.errors import BadConfiguration, BadInput
from secagg.ids import Name
from secagg.transport.curve import Addresses, parse_key

_HIGHEST = 65_533


class BrokerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[broker]`: `tcp://host:port` of the control socket, and the broker's CURVE key (Z85 or hex)."""

    address: Annotated[str, means("`tcp://host:port` of the broker's control socket.")]
    curve_key: Annotated[str, means("The broker's CURVE key, as Z85 or in hexadecimal.")]
    bulk: Annotated[str, means("Its socket for large messages; the next port unless written.")] = ""
    enrol: Annotated[str, means("Its socket for newcomers; the port after that unless written.")] = ""

    def addresses(self) -> Addresses:
        """Return where the three sockets are.

        Raises: BadConfiguration.
        """
        host, port = _split(self.address)
        return Addresses(
            self.address, self.bulk or f"{host}:{port + 1}", self.enrol or f"{host}:{port + 2}"
        )  # fmt: skip

    def key(self) -> bytes:
        """Return the broker's CURVE key (32 bytes).

        Raises: BadConfiguration.
        """
        try:
            return parse_key(self.curve_key)
        except BadInput as error:
            cause = "[broker] curve_key is no CURVE key."
            raise BadConfiguration(cause, error.remedy) from None


class FederationSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[federation]`: its name, and the fingerprint of its root key, compared over another channel."""

    name: Annotated[Name, means("The federation, by its name.")]
    root_fingerprint: Annotated[str, means("The fingerprint of its root key, compared over another channel.")]

    def pin(self) -> Pin:
        """Return whom this party believes."""
        return Pin(self.name, self.root_fingerprint)


def broker_section(found: Addresses, curve_key: str) -> dict[str, str]:
    """Return the section for a broker at these addresses."""
    section = {"address": found.control, "curve_key": curve_key}
    if BrokerSection(found.control, curve_key).addresses() != found:
        section |= {"bulk": found.bulk, "enrol": found.enrol}
    return section


def write_configuration(path: Path, sections: Mapping[str, Mapping[str, object]]) -> None:
    """Write a new configuration file (0600).

    Raises: BadConfiguration when there already is one, or it cannot be written.
    """
    if path.exists():
        raise BadConfiguration(f"{path} exists already.", "Move it away, or choose another path with --config-out.")
    document = tomlkit.document()
    for name, values in sections.items():
        table = tomlkit.table()
        for key, value in values.items():
            table.add(key, value)
        document.add(name, table)
    try:
        write_private(path, tomlkit.dumps(document).encode())
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be written: {error.strerror}.", "Choose another path.") from None


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host.startswith("tcp://") or not port.isdecimal() or not 0 < int(port) <= _HIGHEST:
        raise BadConfiguration(
            f"[broker] address {address!r} is no address.", "Write tcp://host:port, the broker's base port."
        )
    return host, int(port)
