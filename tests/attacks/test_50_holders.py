"""Row 50 between holders. Real nodes give one input to members who open themselves and to trustees, or to two groups of
trustees who never met. Each of them knows its own sums only; the ledger of every node knows all of them.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.crypto.paillier.threshold import deal
from secagg.crypto.sign import SigningKey
from secagg.protocol.acceptance import Policy
from secagg.protocol.custody import accept_key
from secagg.protocol.manifest import Custody, Seat
from secagg.rehearsal.entrusted import AHEAD, Entrusted, entrust
from secagg.wire.codec import encode
from support.entrusted import TRUSTEES, dealt
from support.entrusted_hall import EntrustedWard, Trustee
from support.federation import counted_rng, job, names_of
from support.paillier_keys import SMALL, seeded

pytestmark = pytest.mark.usefixtures("short_keys")

WILLING = Policy(engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
SECOND = TRUSTEES[3:6]
KEYS = {name: SigningKey.from_private_bytes(counted_rng(name.encode())(32)) for name in SECOND}
Script = Callable[[EntrustedWard], Awaitable[None]]


def federation() -> Entrusted:
    """Return a federation whose roster has six trustees; three of them hold the key."""
    key, shares = dealt(3, 2)
    spec = job(names_of(4), purpose="sum", bits=64, scalars=())
    secrets = dict(zip(key.trustees, shares, strict=True))
    return entrust(names_of(4), spec, key, secrets, counted_rng(b"holders"), beside=KEYS)


def second_group(first: Entrusted) -> Entrusted:
    """Return the same federation as the other three trustees see it, who hold a key of their own."""
    key, shares = deal(SMALL, SECOND, 2, seeded("another group"), weak=True)
    encoded = encode(key)
    seats = tuple(Seat(name, f"of-{name}", one.public) for name, one in KEYS.items())
    accepted = tuple(accept_key(one, "fed", name, encoded) for name, one in KEYS.items())
    custody = Custody(encoded, 1, seats, 2, 0, accepted)
    secrets = dict(zip(SECOND, shares, strict=True))
    powers = Table.build(Ring(key.public, 1), AHEAD)
    return dataclasses.replace(first, trustees=KEYS, secrets=secrets, custody=custody, powers=powers)


def play(tmp_path: Path, script: Script) -> EntrustedWard:
    """Serve real nodes with both groups of trustees while the script runs."""
    first = federation()
    ward, other = EntrustedWard(first, tmp_path, WILLING), second_group(first)
    more = {name: Trustee(name, other, ward.network) for name in SECOND}
    ward.trustees |= more
    ward.members |= more  # type: ignore[arg-type]
    (tmp_path / "second.bin").write_bytes(encode(other.custody))
    for node in ward.nodes.values():
        # The same file under another name.
        node.tasks["again"] = replace(node.tasks["task"], name="again")

    async def main(_: object) -> None:
        await ward.start_nodes()
        try:
            await script(ward)
        finally:
            await ward.stop_nodes()

    ward.play(main)
    return ward


async def one_job(ward: EntrustedWard, **fields: object) -> None:
    """Submit a job and let it go on for as long as it does."""
    ward.submit(**fields)  # type: ignore[arg-type]
    for _ in range(4):
        await ward.gather()
        await ward.wait(2)


def done(ward: EntrustedWard) -> list[str]:
    """Return the jobs that gave a sum."""
    return [str(event["job"]) for event in ward.named("job_done")]


def decided(ward: EntrustedWard, names: tuple[str, ...]) -> list[str]:
    """Return which of these trustees decided to open anything."""
    return [name for name in names if ward.trustees[name].holder.notebook.opened()]


def test_two_groups_of_trustees_open_one_input_over_one_set_only(tmp_path: Path) -> None:
    async def script(ward: EntrustedWard) -> None:
        await one_job(ward)
        ward.custody = tmp_path / "second.bin"
        await ward.nodes["node-03"].kill()
        await one_job(ward, name="second", task="again")

    ward = play(tmp_path, script)
    assert done(ward) == ["job"]
    assert decided(ward, SECOND) == []


def test_two_groups_of_trustees_may_open_one_set_twice(tmp_path: Path) -> None:
    async def script(ward: EntrustedWard) -> None:
        await one_job(ward)
        ward.custody = tmp_path / "second.bin"
        await one_job(ward, name="second", task="again")

    ward = play(tmp_path, script)
    assert done(ward) == ["job", "second"]
    assert len(decided(ward, SECOND)) >= 2


def test_trustees_open_nothing_of_what_members_opened_over_another_set(tmp_path: Path) -> None:
    async def script(ward: EntrustedWard) -> None:
        await one_job(ward, engine="masks")
        await ward.nodes["node-03"].kill()
        await one_job(ward, name="second", task="again")

    ward = play(tmp_path, script)
    assert done(ward) == ["job"]
    assert decided(ward, TRUSTEES[:3]) == []


def test_members_open_nothing_of_what_trustees_opened_over_another_set(tmp_path: Path) -> None:
    async def script(ward: EntrustedWard) -> None:
        await one_job(ward)
        await ward.nodes["node-03"].kill()
        await one_job(ward, name="second", task="again", engine="masks")

    ward = play(tmp_path, script)
    assert done(ward) == ["job"]
    assert [event["job"] for event in ward.nodes["node-00"].named("result")] == ["job"]
