"""Row 33: a thief of the broker's traffic and of every disk, after closing, opens nothing.

A sum runs over real services; every draw of every node and of the aggregator is noted as a canary: private keys, seeds,
data keys. What is derived of them (pair secrets, pair keys, keys of masks) is computed beside. After the job has closed
none of them is on the wire, on a disk, in a journal or in the bundle. Sealed shares, which only travel, are kept
nowhere. And the keys that could open what was sealed are gone.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import sha256
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.secret import Secret
from secagg.daemon.journal import SqliteJournal
from secagg.daemon.participant import Round
from secagg.daemon.vault import RoundKeys
from secagg.errors import SealBroken
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import keys
from secagg.protocol.masks.messages import AdvertiseKeys, Answer, DeliverShares, ShareKeys, Unmask
from secagg.protocol.round.messages import Propose
from secagg.protocol.session import ResultNotice, RoundHeader
from secagg.rehearsal.federation import AGGREGATOR, Federation
from secagg.roster.boot import BOOT, open_request
from secagg.transport.link import Received
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Scope, Signed
from support.federation import counted_rng, make
from support.memory import MemoryJournal
from support.nodes import Ward

STORAGE = bytes(32)
"""The storage key of every daemon here: the thief has it."""


class Drawn:
    """A generator that notes what it gave."""

    def __init__(self, rng: Rng) -> None:
        self._rng, self.given = rng, list[bytes]()

    def __call__(self, count: int) -> bytes:
        self.given.append(self._rng(count))
        return self.given[-1]


class Theft(NamedTuple):
    """What was drawn, what passed the wire, and every byte that is left, by where it lies."""

    place: Path
    federation: Federation
    drawn: dict[str, list[bytes]]
    wire: list[tuple[str, Received]]
    left: dict[str, bytes]
    sealed: dict[str, list[bytes]]

    @property
    def manifest(self) -> bytes:
        """Return the manifest's bytes, as proposed."""
        body = dict(self.messages("Propose"))[AGGREGATOR]
        return decode(Propose, body, LIMIT_LIST).manifest.body

    def messages(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """Yield (sender, body) of a round's messages of this kind, each once."""
        sent = (message for _, message in self.wire if message.kind == "round" and step_of(message) == kind)
        yield from {message.sender: message.body for message in sent}.items()


class Kept(SqliteJournal):
    """A journal as daemons have it, that a stopped node leaves as it is."""

    def reopened(self) -> "Kept":
        return self


def run(place: Path) -> Theft:
    """Run a sum in which node-02 never uploads, to its end; then take everything, while all of them still run."""
    federation = make(5, chunk_bytes=4096)
    drawn = {AGGREGATOR: Drawn(federation.rng)}
    ward = Ward(replace(federation, rng=drawn[AGGREGATOR]), place / "state")
    wire: list[tuple[str, Received]] = []
    sealed: dict[str, list[bytes]] = {name: [] for name in ward.nodes}
    (place / "journals").mkdir()
    for name, institution in ward.nodes.items():
        institution.rng = drawn[name] = Drawn(institution.rng)
        institution.journal = Kept(place / "journals" / f"{name}.sqlite")  # type: ignore[assignment]

    def fate(to: str, message: Received) -> tuple[Received, ...]:
        wire.append((to, message))
        for name, institution in ward.nodes.items():
            with institution.journal.transaction() as turn:
                kept = turn.scan("round/")
            for phase in (decode(Round, one, LIMIT_LIST).phase for _, one in kept):
                if phase not in sealed[name]:
                    sealed[name].append(phase)
        uploading = message.kind == "chunk" or (message.kind == "round" and step_of(message) == "MaskedInput")
        return () if uploading and message.sender == "node-02" else ward._count(to, message)

    ward.network._fate = fate
    left: dict[str, bytes] = {}

    async def script(_: object) -> None:
        await ward.start_nodes()
        ward.submit()
        await ward.wait(16)
        left.update({str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()})
        left["the aggregator's journal"] = b"".join(_values(ward.journal))
        said = [ward.log.getvalue() + str(ward.events)]
        said += [one.log.getvalue() + str(one.events) for one in ward.nodes.values()]
        left["logs and events"] = "".join(said).encode()
        left["the round log"] = b"".join(ward.rounds_log.leaf(at) for at in range(ward.rounds_log.size))
        ward.network._fate = ward._count
        await ward.stop_nodes()

    ward.play(script)
    left |= {f"{path} after the stop": path.read_bytes() for path in place.rglob("*.sqlite*")}
    assert ward.named("round_closed")[0]["contributors"] == ["node-00", "node-01", "node-03", "node-04"]
    return Theft(place, federation, {name: one.given for name, one in drawn.items()}, wire, left, sealed)


def step_of(message: Received) -> str:
    return decode(RoundHeader, message.header).kind


def _values(journal: MemoryJournal) -> Iterator[bytes]:
    yield from journal._kept.entries.values()
    for message in journal._kept.outbox.values():
        yield message.header + message.body


@pytest.fixture(scope="module")
def theft(tmp_path_factory: pytest.TempPathFactory) -> Theft:
    return run(tmp_path_factory.mktemp("federation"))


def secrets(theft: Theft) -> dict[str, bytes]:
    """Return every draw of 32 bytes or more but salts of results and nonces of starts, which others are told.

    Those are keys and seeds; shorter ones are nonces and the names of messages.
    """
    told = [decode(ResultNotice, message.body).salt for _, message in theft.wire if message.kind == "result"]
    for _, message in theft.wire:
        if message.kind == BOOT and message.sender in theft.federation.members:
            told.append(open_request(message.body, theft.federation.members[message.sender].public).nonce)
    drawn = {f"draw {at} of {who}": one for who, given in theft.drawn.items() for at, one in enumerate(given)}
    return {name: one for name, one in drawn.items() if len(one) >= 32 and one not in told}


def advertised(theft: Theft) -> tuple[Scope, dict[str, AdvertiseKeys], bytes]:
    """Return the round's scope, everybody's public keys, and H(U2)."""
    entries = {sender: decode(Signed, body) for sender, body in theft.messages("AdvertiseKeys")}
    shown = decode(Signed, dict(theft.messages("DeliverShares"))[AGGREGATOR], LIMIT_LIST)
    scope = Scope(decode(Manifest, theft.manifest, LIMIT_LIST).round, sha256(theft.manifest))
    u2 = sha256(decode(DeliverShares, shown.body, LIMIT_LIST).u2)
    return scope, {sender: decode(AdvertiseKeys, entry.body) for sender, entry in entries.items()}, u2


def derived(theft: Theft) -> dict[str, bytes]:
    """Return what is computed of the draws: pair secrets, keys of pair masks, keys of self masks."""
    scope, public, u2 = advertised(theft)
    own = {
        name: AgreementKey.from_private_bytes(next(d for d in theft.drawn[name] if len(d) == 32 and _is(d, theirs)))
        for name, theirs in ((name, entry.mask_key) for name, entry in public.items())
    }
    names, found = sorted(own), {}
    for low, high in combinations(names, 2):
        secret = own[low].agree(own[high].public)
        found[f"pair secret of {low}, {high}"] = secret.reveal()
        for group in ("scalars", "update"):
            pair = (low, own[low].public), (high, own[high].public)
            found[f"pair key of {low}, {high}, {group}"] = keys.pair_key(secret, scope, u2, *pair, group).reveal()
    for name in names:
        for at, seed in enumerate(one for one in theft.drawn[name] if len(one) == 32):
            found[f"self key {at} of {name}"] = keys.self_key(seed, scope, name, "update").reveal()
    return found


def _is(private: bytes, public: bytes) -> bool:
    return AgreementKey.from_private_bytes(private).public == public


def test_no_secret_is_on_the_wire_on_a_disk_or_in_the_bundle(theft: Theft) -> None:
    wire = b"".join(message.header + message.body for _, message in theft.wire)
    canaries = secrets(theft) | derived(theft)
    assert len(canaries) > 60
    places = {**theft.left, "the wire": wire, "the wire's texts": wire.hex().encode()}
    assert sum(map(len, places.values())) > 100_000
    for place, data in places.items():
        for name, canary in canaries.items():
            assert canary not in data, f"{name} in {place}"
            assert canary.hex().encode() not in data, f"{name} in {place}"


def test_sealed_shares_travel_and_are_kept_nowhere(theft: Theft) -> None:
    pieces = [
        piece for _, body in theft.messages("ShareKeys") for piece in decode(ShareKeys, body, LIMIT_LIST).pieces
    ]
    assert len(pieces) == 25
    for place, data in theft.left.items():
        if place.endswith("-wal"):
            continue  # Pages of a running journal that were overwritten: what they are sealed with is destroyed.
        assert not [at for at, piece in enumerate(pieces) if piece[64:128] in data], place


def test_every_key_of_the_round_is_gone(theft: Theft) -> None:
    assert not [place for place in theft.left if place.endswith(".key")]
    assert sum(map(len, theft.sealed.values())) > 20  # Phases lay in every journal, and were sealed.


def test_what_was_sealed_stays_sealed_with_every_key_that_is_left(theft: Theft) -> None:
    """The thief has every phase that ever lay in a journal, the storage keys, and all identities."""
    left = [data for place, data in theft.left.items() if "/rounds/" in place or "/keys/" in place]
    assert not left
    for name, kept in theft.sealed.items():
        for sealed in kept:
            thief = RoundKeys(theft.place / "thief" / name, Secret(STORAGE), counted_rng(b"thief"))
            with pytest.raises(SealBroken):
                thief.open("job.1.1.0", sealed)


def test_the_answers_that_passed_the_wire_open_with_the_destroyed_key_alone(theft: Theft) -> None:
    """What every thief would need is one key of the aggregator, and it was on no disk in clear, and is gone."""
    scope, _, _ = advertised(theft)
    private = next(one for one in theft.drawn[AGGREGATOR] if len(one) == 96 and _opens(theft, one))
    opened = 0
    for sender, body in theft.messages("Unmask"):
        info = keys.answer_info(scope, sender, AGGREGATOR)
        sealed = decode(Unmask, decode(Signed, body, LIMIT_LIST).body, LIMIT_LIST).sealed
        inner = decode(Signed, SealingKey.from_private_bytes(private).open(sealed, info), LIMIT_LIST)
        assert decode(Answer, inner.body, LIMIT_LIST).seeds
        opened += 1
        for who, given in theft.drawn.items():
            for other in (one for one in given if len(one) == 96 and one != private):
                with pytest.raises(SealBroken):
                    SealingKey.from_private_bytes(other).open(sealed, info)
                assert who
    assert opened == 4
    assert not any(private in data for data in theft.left.values())


def _opens(theft: Theft, private: bytes) -> bool:
    return any(SealingKey.from_private_bytes(private).public in message.body for _, message in theft.wire)
