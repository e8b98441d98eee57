"""The work of `secagg trustee card`, `ceremony`, `accept` and `custody`: files in, files out, and what is told to whom.

Rules: whatever is refused, is refused before a file is written. A directory of an earlier ceremony is not written into.
A card is handed out again as it is until its share was accepted. Accepting twice gives the same acceptance.
Leaves to others: what is checked (secagg.protocol.ceremony), what is kept (store), asking people (commands).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from keyserver.trustee.config import Identity
from keyserver.trustee.files import KEY, TRANSCRIPT, read, write
from keyserver.trustee.hardening import harden, swapping
from secagg.crypto.derive import sha256
from secagg.crypto.paillier.primes import Watch
from secagg.crypto.rng import Rng
from secagg.daemon.vault import private_directory
from secagg.errors import BadConfiguration, BadInput, VerificationFailed
from secagg.protocol.ceremony.accepting import assemble, check_key, modulus_of, receive
from secagg.protocol.ceremony.dealing import Plan, check_cards, hold
from secagg.protocol.ceremony.files import Card, Transcript, read_transcript, sign_card, spoken
from secagg.protocol.custody import accept_key
from secagg.roster.fingerprints import check_words
from secagg.wire.codec import encode


class Held(NamedTuple):
    """What a ceremony wrote, the words of its transcript, and how safe its machine was."""

    directory: Path
    words: tuple[str, ...]
    told: list[str]


def make_card(own: Identity, output: Path) -> tuple[str, ...]:
    """Write this trustee's card; return the words of the member.

    Raises: BadConfiguration.
    """
    pin = own.config.federation
    out = own.store.card()
    if out is None:
        made = Card(pin.name, pin.root_fingerprint, own.member, own.store.draw().public)
        own.store.put_card(sign_card(own.key, made))
        out = own.store.card()
    if out is None:
        raise BadConfiguration("The card that was just kept is not there.", "Check the disk of state_dir.")
    write(output, out[1])
    return Card(pin.name, pin.root_fingerprint, own.member, out[0].public).words


def open_cards(files: Sequence[Path]) -> tuple[list[bytes], tuple[Card, ...]]:
    """Return the cards as files and as what they say.

    Raises: BadInput; the errors of `dealing.check_cards`.
    """
    cards = [read(path) for path in files]
    return cards, check_cards(cards)


def deal(plan: Plan, cards: Sequence[bytes], output: Path, rng: Rng, clock: Callable[[], int], watch: Watch) -> Held:
    """Hold the ceremony for these cards and write its files into `output`.

    Raises: BadConfiguration for a directory that cannot be used; the errors of `dealing.hold`.
    """
    told = _safety(harden())
    require_new(output)
    dealt = hold(plan, cards, rng, clock, watch)
    private_directory(output)
    write(output / KEY, dealt.key)
    write(output / TRANSCRIPT, dealt.transcript)
    for name, share in dealt.shares:
        write(output / f"{name}.share", share)
    return Held(output, spoken(dealt.transcript), told)


def require_new(output: Path) -> None:
    """Refuse a directory that holds something. Raises: BadConfiguration."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BadConfiguration(f"{output} is not empty.", "Name a new directory: a ceremony is held once.")


def _safety(locked: bool) -> list[str]:
    """Return what this machine cannot promise."""
    told = ["Erased: no secret was written but sealed, and this process ends now. Python cannot overwrite its numbers."]
    if swapping() and not locked:
        told.append("Not erased: this machine swaps, so a part of its memory may be on a disk. Use one without swap.")
    told.append("Not erased: snapshots and hibernation of a virtual machine. Switch the machine off.")
    return told


def accept(own: Identity, share: Path, key: Path, transcript: Path, heard: Sequence[str] | None, output: Path) -> str:
    """Check and keep this trustee's share, write its acceptance; return the key's digest in hex.

    `heard` are two or more of the transcript's words as the dealer read them out, None when they were compared in
    another way. Raises: VerificationFailed for other words; the errors of `accepting.receive`.
    """
    public, told = read(key), read(transcript)
    pin, store = own.config.federation, own.store
    if heard is not None:
        check_words(sha256(told), heard)
    if not store.has(sha256(public)):
        out = store.card()
        if out is None:
            raise BadInput("No card of this trustee is out.", "Run `secagg trustee card`, then repeat the ceremony.")
        earlier = [modulus_of(past) for past in store.public_keys()]
        federation = (pin.name, pin.root_fingerprint)
        secret = receive(public, told, read(share), own.member, federation, out[0], out[1], earlier)
        store.keep(public, secret)
        store.burn()
    else:
        _same(read_transcript(told), public)
    write(output, encode(accept_key(own.key, pin.name, own.member.name, public)))
    return sha256(public).hex()


def _same(told: Transcript, key: bytes) -> None:
    if told.key != sha256(key).hex():
        raise VerificationFailed("The transcript is of another key.", "Ask the dealer for the right files.")


def put_together(key: Path, transcript: Path, acceptances: Sequence[Path], s: int, output: Path) -> Transcript:
    """Write the custody that a job names; return the transcript.

    Raises: the errors of `accepting.assemble`.
    """
    public, told = read(key), read(transcript)
    write(output, encode(assemble(public, told, [read(path) for path in acceptances], s)))
    return check_key(public, told)
