"""The shared sections of a configuration: addresses from a base port, keys in two forms, a file that opens again."""

from pathlib import Path

import pytest
from msgspec import Struct

from secagg.daemon.config import load
from secagg.daemon.federation import BrokerSection, FederationSection, broker_section, write_configuration
from secagg.errors import BadConfiguration
from secagg.transport.curve import Addresses, key_text

KEY = bytes(range(32))


class Own(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class File(Struct, frozen=True, forbid_unknown_fields=True):
    node: Own
    broker: BrokerSection
    federation: FederationSection


def test_sockets_follow_each_other_unless_told() -> None:
    here = BrokerSection("tcp://b.example:7700", key_text(KEY))
    assert here.addresses() == Addresses("tcp://b.example:7700", "tcp://b.example:7701", "tcp://b.example:7702")
    elsewhere = BrokerSection("tcp://[::1]:5", KEY.hex(), bulk="tcp://[::1]:9", enrol="tcp://[::1]:2")
    assert elsewhere.addresses() == Addresses("tcp://[::1]:5", "tcp://[::1]:9", "tcp://[::1]:2")
    assert here.key() == elsewhere.key() == KEY


@pytest.mark.parametrize("address", ["", "b:7700", "tcp://b", "tcp://b:", "tcp://b:0", "tcp://b:65535", "tcp://b:x"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(BadConfiguration, match="is no address"):
        BrokerSection(address, KEY.hex()).addresses()


@pytest.mark.parametrize("key", ["", "abc", "0" * 63])
def test_a_key_that_is_none_is_named(key: str) -> None:
    with pytest.raises(BadConfiguration, match="no CURVE key"):
        BrokerSection("tcp://b:1", key).key()


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (Addresses("tcp://b:1", "tcp://b:2", "tcp://b:3"), {"address", "curve_key"}),
        (Addresses("tcp://b:1", "tcp://b:9", "tcp://b:3"), {"address", "curve_key", "bulk", "enrol"}),
    ],
)
def test_what_is_written_opens_again(tmp_path: Path, found: Addresses, names: set[str]) -> None:
    section = broker_section(found, key_text(KEY))
    assert set(section) == names
    path = tmp_path / "node.toml"
    pinned = {"name": "fed", "root_fingerprint": "sha256:00"}
    write_configuration(path, {"node": {"name": 'a"b'}, "broker": section, "federation": pinned})
    assert path.stat().st_mode & 0o777 == 0o600
    read = load(path, File)
    assert (read.node.name, read.broker.addresses(), read.broker.key()) == ('a"b', found, KEY)
    assert (read.federation.pin().federation, read.federation.pin().origin) == ("fed", "fed/directory")


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("mine")
    with pytest.raises(BadConfiguration, match="exists already"):
        write_configuration(path, {})
    with pytest.raises(BadConfiguration, match="cannot be written"):
        write_configuration(tmp_path / "missing" / "node.toml", {})
    assert path.read_text() == "mine"
