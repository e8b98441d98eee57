"""Secrets on disk: refused when loose, closed without the passphrase, gone when erased."""

from pathlib import Path

import pytest

from secagg.crypto.rng import system_rng
from secagg.crypto.secret import Secret
from secagg.daemon import vault
from secagg.errors import BadConfiguration, BadInput, SealBroken

PHRASE = Secret(b"correct horse")
RING = vault.KeyRing(Secret(b"s" * 32), Secret(b"c" * 32), Secret(b"k" * 32))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return vault.private_directory(tmp_path / "state")


@pytest.fixture
def keys(home: Path) -> Path:
    vault.save_keys(home / "keys", RING, PHRASE, system_rng, cost=2**14)
    return home / "keys"


def test_keys_come_back(keys: Path) -> None:
    assert vault.load_keys(keys, PHRASE) == RING
    assert keys.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in keys.parent.iterdir()] == ["keys"]


def test_nothing_secret_is_printed_or_readable(keys: Path) -> None:
    assert "ssss" not in repr(RING)
    assert not any(part in keys.read_bytes() for part in (b"s" * 32, b"c" * 32, b"k" * 32))


def test_another_passphrase_opens_nothing(keys: Path) -> None:
    with pytest.raises(BadConfiguration, match="do not open with this passphrase"):
        vault.load_keys(keys, Secret(b"wrong"))


def test_a_damaged_file_is_said_to_be_one(keys: Path) -> None:
    keys.write_bytes(b"\x00" + keys.read_bytes())
    with pytest.raises(BadConfiguration, match="no key file"):
        vault.load_keys(keys, PHRASE)


def test_a_readable_file_is_refused_with_the_remedy(keys: Path) -> None:
    keys.chmod(0o644)
    with pytest.raises(BadConfiguration, match="mode 0644") as caught:
        vault.load_keys(keys, PHRASE)
    assert caught.value.remedy == f"chmod 0600 {keys}"


def test_an_open_directory_is_refused_with_the_remedy(keys: Path) -> None:
    keys.parent.chmod(0o755)
    with pytest.raises(BadConfiguration, match="mode 0755") as caught:
        vault.load_keys(keys, PHRASE)
    assert caught.value.remedy == f"chmod 0700 {keys.parent}"


def test_a_symbolic_link_is_refused(keys: Path) -> None:
    link = keys.with_name("link")
    link.symlink_to(keys)
    with pytest.raises(BadConfiguration, match="symbolic link"):
        vault.load_keys(link, PHRASE)


def test_a_hard_link_is_refused(keys: Path) -> None:
    keys.with_name("second").hardlink_to(keys)
    with pytest.raises(BadConfiguration, match="2 hard links"):
        vault.load_keys(keys, PHRASE)


def test_the_passphrase_comes_from_file_credential_or_prompt(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.write_private(home / "phrase", b"from file\n")
    (tmp_path / "passphrase").write_text("from credential\n")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(BadConfiguration, match="no passphrase"):
        vault.passphrase()
    assert vault.passphrase(prompt=lambda: "asked") == Secret(b"asked")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert vault.passphrase(prompt=lambda: "asked") == Secret(b"from credential")
    assert vault.passphrase(home / "phrase") == Secret(b"from file")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(BadConfiguration, match="empty"):
        vault.passphrase(prompt=lambda: "")


def test_a_round_is_sealed_under_its_own_key(home: Path) -> None:
    rounds = vault.RoundKeys(home / "rounds", RING.storage, system_rng)
    sealed = rounds.seal("heart.1.1.0", b"seed")
    again = vault.RoundKeys(home / "rounds", RING.storage, system_rng)
    assert again.open("heart.1.1.0", sealed) == b"seed"
    assert again.open("heart.1.1.0", rounds.seal("heart.1.1.0", b"second")) == b"second"
    rounds.seal("heart.2.1.0", b"other")
    with pytest.raises(SealBroken):
        rounds.open("heart.2.1.0", sealed)
    with pytest.raises(SealBroken):
        vault.RoundKeys(home / "rounds", Secret(b"x" * 32), system_rng).open("heart.1.1.0", sealed)


def test_an_erased_round_is_gone(home: Path) -> None:
    rounds = vault.RoundKeys(home / "rounds", RING.storage, system_rng)
    sealed = rounds.seal("heart.1.1.0", b"seed")
    kept = rounds.seal("heart.2.1.0", b"other")
    second_name = home / "watch"
    second_name.hardlink_to(home / "rounds" / "heart.1.1.0.key")
    rounds.erase("heart.1.1.0")
    rounds.erase("heart.1.1.0")
    assert [path.name for path in (home / "rounds").iterdir()] == ["heart.2.1.0.key"]
    assert set(second_name.read_bytes()) == {0}, "the bytes are overwritten, not only unlinked"
    with pytest.raises(SealBroken, match="erased"):
        rounds.open("heart.1.1.0", sealed)
    assert rounds.open("heart.2.1.0", kept) == b"other"


def test_a_label_is_no_path(home: Path) -> None:
    rounds = vault.RoundKeys(home / "rounds", RING.storage, system_rng)
    for label in ("../x", "", "a/b", ".hidden", "a\n"):
        with pytest.raises(BadInput):
            rounds.seal(label, b"data")
