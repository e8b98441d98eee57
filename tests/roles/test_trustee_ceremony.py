"""The ceremony as people type it: cards, a dealer's process, acceptances, a custody; and what each command refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyserver.commands.trustee import trustee
from keyserver.trustee.config import Identity
from keyserver.trustee.hardening import swapping
from keyserver.trustee.store import Store
from secagg.crypto.derive import sha256
from secagg.crypto.paillier.threshold import Share, ThresholdKey, check_share
from secagg.crypto.secret import Secret
from secagg.daemon import vault
from secagg.daemon.enrolment import KEYS
from secagg.daemon.federation import write_configuration
from secagg.errors import BadConfiguration, BadInput
from secagg.protocol.ceremony.files import read_transcript, spoken
from secagg.protocol.manifest import Custody
from secagg.wire.codec import decode
from support.ceremonies import held
from support.federation import counted_rng

ROOT = "sha256:" + "ab" * 32
NAMES = ("ana", "ben", "cyd")
BITS = 2048


def enrol(place: Path, name: str) -> Path:
    """Make what `secagg trustee join` leaves behind; return its configuration."""
    home = place / name
    vault.private_directory(home)
    vault.write_private(home / "phrase", b"a phrase\n")
    state = vault.private_directory(home / "state")
    rng = counted_rng(name.encode())
    vault.save_keys(state / KEYS, vault.generate_keys(rng), Secret(b"a phrase"), rng, 2**14)
    config = home / "trustee.toml"
    own = {"name": name, "organisation": f"of-{name}", "state_dir": "state", "passphrase_file": "phrase"}
    pinned = {"name": "fed", "root_fingerprint": ROOT}
    broker = {"address": "tcp://127.0.0.1:7700", "curve_key": "00" * 32}
    write_configuration(config, {"trustee": own, "broker": broker, "federation": pinned})
    return config


def run(*line: object, given: str = "") -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(trustee, [str(word) for word in line], input=given)


def deal(*line: object) -> subprocess.CompletedProcess[str]:
    """Be the dealer, in a process of its own, because it hardens itself."""
    command = [sys.executable, "-m", "secagg.cli", "trustee", "ceremony", *map(str, line)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Ceremony:
    """A federation's trustees, their cards, and what the dealer wrote."""

    def __init__(self, place: Path, names: tuple[str, ...], threshold: int, *options: object) -> None:
        self.place, self.names = place, names
        self.configs = {name: enrol(place, name) for name in names}
        for name in names:
            assert run("card", "-o", self.card(name), "--config", self.configs[name]).exit_code == 0
        cards = [self.card(name) for name in names]
        self.out = place / "out"
        self.said = deal(*cards, "--threshold", threshold, "--bits", BITS, "-o", self.out, "--yes", *options)
        assert self.said.returncode == 0, self.said.stderr

    def card(self, name: str) -> Path:
        """Return where a card lies."""
        return self.place / f"{name}.card"

    @property
    def words(self) -> tuple[str, ...]:
        """Return what the dealer reads out."""
        return spoken((self.out / "transcript.json").read_bytes())

    def accept(self, name: str, *options: object) -> Result:
        """Let a trustee accept."""
        share, output = self.out / f"{name}.share", self.place / f"{name}.acceptance"
        return run("accept", share, "-o", output, "--config", self.configs[name], *options)


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    return Ceremony(tmp_path_factory.mktemp("three"), NAMES, 2)


def test_the_dealer_says_who_must_do_what_next_and_what_is_erased(ceremony: Ceremony) -> None:
    told = ceremony.said.stderr
    for name in NAMES:
        assert f"{name}: gets key.bin, transcript.json, {name}.share; runs `secagg trustee accept {name}.share`" in told
    assert " ".join(ceremony.words) in told
    assert "searching two primes" in told
    assert "Any 2 of ana, ben, cyd together can read every single update." in told
    assert "WARNING: no trustee may collude" in told
    assert "Erased: no secret was written but sealed" in told
    assert "Not erased: snapshots" in told
    assert ceremony.said.stdout.strip() == str(ceremony.out)
    assert sorted(path.name for path in ceremony.out.iterdir()) == [
        "ana.share", "ben.share", "cyd.share", "key.bin", "transcript.json",
    ]  # fmt: skip
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in ceremony.out.iterdir())


def test_every_trustee_accepts_and_two_acceptances_make_a_custody(ceremony: Ceremony) -> None:
    heard = f"{ceremony.words[1]},{ceremony.words[6]}"
    for name in NAMES:
        done = ceremony.accept(name, "--words", heard)
        assert done.exit_code == 0, done.stderr
        assert "fits and is kept" in done.stderr
    key = (ceremony.out / "key.bin").read_bytes()
    for index, name in enumerate(NAMES, start=1):
        own = Identity(ceremony.configs[name])
        assert own.store.public_keys() == [key]
        check_share(decode(ThresholdKey, key), Share(index, own.store.share(sha256(key))))
        assert own.store.card() is None
        assert not (own.state / "sealing.key").exists()
    files = [ceremony.place / f"{name}.acceptance" for name in ("cyd", "ana")]
    output = ceremony.place / "custody.bin"
    options = ("--key", ceremony.out / "key.bin", "--transcript", ceremony.out / "transcript.json", "-o", output)
    done = run("custody", *files, *options)
    assert done.exit_code == 0, done.stderr
    assert "2 of 3 trustees open sums under a key of 2048 bits" in done.stderr
    custody = decode(Custody, output.read_bytes())
    assert (custody.names(), custody.threshold, custody.key) == (NAMES, 2, key)
    # Accepting again gives the same acceptance, although the card is burnt.
    before = (ceremony.place / "ana.acceptance").read_bytes()
    assert ceremony.accept("ana", "--yes").exit_code == 0
    assert (ceremony.place / "ana.acceptance").read_bytes() == before
    alone = run("custody", files[0], *options)
    assert getattr(alone.exception, "rule", "") == "custody.acceptances"


def test_a_dealer_holds_a_ceremony_into_a_new_directory_only(ceremony: Ceremony) -> None:
    done = deal(ceremony.card("ana"), "--threshold", 1, "--bits", BITS, "-o", ceremony.out, "--yes")
    assert done.returncode == BadConfiguration.exit_code
    assert "is not empty" in done.stderr


def test_numbers_that_do_not_hold_are_said_before_anybody_is_asked(ceremony: Ceremony, tmp_path: Path) -> None:
    cards = [ceremony.card(name) for name in NAMES]
    done = deal(*cards, "--threshold", 2, "--colluders", 1, "-o", tmp_path / "new")
    assert done.returncode == 76
    assert "2t > m + c' does not hold" in done.stderr
    assert "Did every trustee" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_single_holder_is_told_loudly_what_it_can_read(tmp_path: Path) -> None:
    single = Ceremony(tmp_path, ("ana",), 1, "--profile", "fast")
    warning = "WARNING: ana alone holds the whole key and can read every single update. For small trials only."
    assert warning in single.said.stderr
    done = single.accept("ana", "--yes")
    assert done.exit_code == 0, done.stderr
    assert warning in done.stderr
    told = read_transcript((single.out / "transcript.json").read_bytes())
    assert (told.threshold, told.colluders, told.profile, len(told.trustees)) == (1, 0, "fast", 1)


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """Write the files of a ceremony whose key is too short, and return their directory."""
    dealt, out = held().dealt, tmp_path / "weak"
    vault.private_directory(out)
    (out / "key.bin").write_bytes(dealt.key)
    (out / "transcript.json").write_bytes(dealt.transcript)
    for name, share in dealt.shares:
        (out / f"{name}.share").write_bytes(share)
    return out


def test_a_short_key_is_accepted_by_no_command(ready: Path, tmp_path: Path) -> None:
    config = enrol(tmp_path, "ana")
    assert run("card", "-o", tmp_path / "card", "--config", config).exit_code == 0
    done = run("accept", ready / "ana.share", "--yes", "-o", tmp_path / "a", "--config", config)
    assert getattr(done.exception, "rule", "") == "paillier.floor"
    assert not (tmp_path / "a").exists()
    assert Identity(config).store.public_keys() == []


def test_without_a_card_nothing_is_accepted(ready: Path, tmp_path: Path) -> None:
    config = enrol(tmp_path, "ana")
    done = run("accept", ready / "ana.share", "--yes", "-o", tmp_path / "a", "--config", config)
    assert "No card of this trustee is out" in str(done.exception)


def test_words_that_are_not_the_dealers_are_refused(ready: Path, tmp_path: Path) -> None:
    config = enrol(tmp_path, "ana")
    assert run("card", "-o", tmp_path / "card", "--config", config).exit_code == 0
    done = run("accept", ready / "ana.share", "--words", "no,way", "-o", tmp_path / "a", "--config", config)
    assert getattr(done.exception, "code", "") == "E-WORDS"


def test_a_card_is_handed_out_again_as_it_is(tmp_path: Path) -> None:
    config = enrol(tmp_path, "ana")
    for output in ("first", "second"):
        assert run("card", "-o", tmp_path / output, "--config", config).exit_code == 0
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize("what", ["missing", "long"])
def test_files_that_are_none(what: str, tmp_path: Path) -> None:
    config, path = enrol(tmp_path, "ana"), tmp_path / "transcript.json"
    if what == "long":
        path.write_bytes(bytes(1_048_577))
    done = run("accept", tmp_path / "ana.share", "--yes", "-o", tmp_path / "a", "--config", config)
    assert isinstance(done.exception, BadInput)


# The store -----------------------------------------------------------------------------------------------------------

STORAGE = Secret(bytes(32))


def test_a_share_is_never_overwritten_and_never_in_the_clear(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", STORAGE, counted_rng(b"s"))
    secret = Secret(b"a share of many bytes")
    store.keep(b"key", secret)
    store.keep(b"key", secret)
    with pytest.raises(BadInput, match="Another share"):
        store.keep(b"key", Secret(b"another"))
    assert store.share(sha256(b"key")) == secret
    for path in (tmp_path / "s" / "shares").iterdir():
        assert secret.reveal() not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_share_that_was_not_accepted_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", STORAGE, counted_rng(b"s"))
    store.keep(b"key", Secret(b"secret"))
    (tmp_path / "s" / "shares" / f"{sha256(b'key').hex()}.key").unlink()
    with pytest.raises(BadInput) as caught:
        store.share(sha256(b"key"))
    assert caught.value.code == "E-SHARE"


def test_files_of_others_and_damaged_ones_do_not_open(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", STORAGE, counted_rng(b"s"))
    store.keep(b"key", Secret(b"secret"))
    path = tmp_path / "s" / "shares" / f"{sha256(b'key').hex()}.share"
    with pytest.raises(BadConfiguration, match="damaged, or of another trustee"):
        Store(tmp_path / "s", Secret(bytes(31) + b"\1"), counted_rng(b"s")).share(sha256(b"key"))
    path.chmod(0o644)
    with pytest.raises(BadConfiguration, match="mode 0644"):
        store.share(sha256(b"key"))


def test_a_burnt_sealing_key_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", STORAGE, counted_rng(b"s"))
    first = store.draw()
    store.put_card(b"card")
    kept = store.card()
    assert kept is not None
    assert (kept[0].public, kept[1]) == (first.public, b"card")
    store.burn()
    store.burn()
    assert store.card() is None
    assert not (tmp_path / "s" / "sealing.key").exists()
    assert store.draw().public != first.public


@pytest.mark.parametrize(("lines", "found"), [(1, False), (2, True)])
def test_swap_is_seen(tmp_path: Path, lines: int, found: bool) -> None:
    listed = tmp_path / "swaps"
    listed.write_text("Filename Type Size Used Priority\n" + "/dev/sda2 partition 1 0 -2\n" * (lines - 1))
    assert swapping(listed) is found
    assert swapping(tmp_path / "nothing")


def test_status_needs_a_daemon(tmp_path: Path) -> None:
    config = enrol(tmp_path, "ana")
    done = run("status", "--config", config)
    assert "No daemon answers" in str(done.exception)
