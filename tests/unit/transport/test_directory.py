"""The broker's dictionary out of the pushed roster (transport, Sockets)."""

from pathlib import Path

import pytest

from secagg.errors import SecaggError, VerificationFailed
from secagg.transport.directory import Directory
from support.brokers import FEDERATION, NOW, Authority, key_of, state_dir


class Clock:
    """Wall time that the test sets."""

    now = NOW

    def __call__(self) -> int:
        return self.now


def make(authority: Authority, path: Path | None = None, wall: Clock | None = None) -> Directory:
    return Directory(FEDERATION, authority.fingerprint, key_of("keyserver"), wall or Clock(), path)


def known(directory: Directory, *names: str) -> list[bool]:
    return [directory.name_of(key_of(name)) == name and directory.key_of(name) == key_of(name) for name in names]


def test_before_the_first_roster_the_key_server_alone_is_known() -> None:
    directory = make(Authority())
    assert known(directory, "keyserver", "hungary") == [True, False]
    assert directory.version == 0


def test_a_newer_roster_replaces_the_dictionary() -> None:
    authority = Authority()
    directory = make(authority)
    assert directory.push(authority.roster("keyserver", "hungary"))
    assert directory.push(authority.roster("keyserver", "cleveland", version=2))
    assert known(directory, "keyserver", "hungary", "cleveland") == [True, False, True]
    assert directory.version == 2


def test_an_older_roster_brings_nobody_back() -> None:
    authority = Authority()
    directory = make(authority)
    directory.push(authority.roster("cleveland", version=2))
    assert not directory.push(authority.roster("cleveland", "hungary"))
    assert not directory.push(authority.roster("cleveland", "hungary", version=2))
    assert known(directory, "hungary", "cleveland") == [False, True]


@pytest.mark.parametrize(
    "roster",
    [
        Authority(label="other root").roster("hungary"),
        Authority().roster("hungary", expires=NOW),
        Authority(federation="lungs").roster("hungary"),
        b"nonsense",
        b"",
    ],
    ids=["root", "expired", "federation", "nonsense", "empty"],
)
def test_a_roster_that_does_not_verify_changes_nothing(roster: bytes) -> None:
    directory = make(Authority())
    directory.push(Authority().roster("cleveland"))
    with pytest.raises(SecaggError):
        directory.push(roster)
    assert known(directory, "hungary", "cleveland") == [False, True]


def test_a_roster_of_another_federation_is_named() -> None:
    with pytest.raises(VerificationFailed, match="federation lungs, this broker serves hearts"):
        make(Authority()).push(Authority(federation="lungs").roster("hungary"))


def test_when_the_roster_expires_nobody_is_known_but_the_key_server() -> None:
    authority, wall = Authority(), Clock()
    directory = make(authority, wall=wall)
    directory.push(authority.roster("keyserver", "hungary", expires=NOW + 10))
    wall.now = NOW + 9
    assert known(directory, "keyserver", "hungary") == [True, True]
    wall.now = NOW + 10
    assert known(directory, "keyserver", "hungary") == [True, False]


def test_no_member_takes_a_name_that_is_the_brokers() -> None:
    authority = Authority()
    directory = make(authority)
    directory.push(authority.roster("broker", "guest-0", "hungary"))
    assert known(directory, "broker", "guest-0", "hungary") == [False, False, True]
    assert directory.key_of("keyserver") == key_of("keyserver")


def test_after_a_restart_the_last_roster_is_in_force(tmp_path: Path) -> None:
    authority, path = Authority(), state_dir(tmp_path / "state")
    make(authority, path).push(authority.roster("hungary", version=3))
    again = make(authority, path)
    again.load()
    assert known(again, "hungary") == [True]
    assert not again.push(authority.roster("cleveland", version=2))


def test_a_kept_roster_that_is_damaged_lets_nobody_in(tmp_path: Path) -> None:
    authority, path = Authority(), state_dir(tmp_path / "state")
    make(authority, path).push(authority.roster("hungary"))
    kept = path / "roster.bin"
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(data)
    again = make(authority, path)
    again.load()
    assert known(again, "hungary", "keyserver") == [False, True]
