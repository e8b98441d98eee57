"""Row 50 at the aggregator: a member gives an input that was summed before, and says that any set will do.

Its node is patched; the others, the aggregator and the trustees are as they are. Trustees would refuse such a set,
round after round, and an auditor would find it in the log. So the aggregator remembers whose input was summed over
which set. It leaves that member out, with a reason that people read. The next round closes without it.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from node.config import OwnTask
from node.inputs import Inputs
from secagg.daemon.inputs import InputLedger
from secagg.protocol.acceptance import Policy
from secagg.protocol.binding import ANY, Bound
from secagg.protocol.inputs import Binding, Given
from secagg.protocol.masks import shell as masks
from secagg.protocol.paillier import shell as paillier
from secagg.rehearsal.entrusted import entrust, propose
from support.bound import closed, refused
from support.entrusted import TRUSTEES, dealt, make
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, names_of
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

SIX, LIAR, AWAY = names_of(6), "node-01", "node-05"
WILLING = Policy(engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
REASON = f"its data was summed over {', '.join(SIX)} before, and may be summed over these only"


def ward_of(tmp_path: Path) -> EntrustedWard:
    """Return six institutions and three trustees; every one has a second task over data of its own."""
    key, shares = dealt(3, 2)
    spec = job(SIX, purpose="sum", bits=64, scalars=())
    secrets = dict(zip(key.trustees, shares, strict=True))
    ward = EntrustedWard(entrust(SIX, spec, key, secrets, counted_rng(b"repeated")), tmp_path, WILLING)
    for node in ward.nodes.values():
        more = node.place / "more.txt"
        more.write_text("3.0")
        node.tasks["more"] = OwnTask("more", node.tasks["task"].spec, more, {})
    return ward


def patched(monkeypatch: pytest.MonkeyPatch, ward: EntrustedWard) -> None:
    """Let the liar call every input by the tag of its first one, and say that it may be summed over any set."""
    honest, first, ledgers = Inputs.give, [], ward.nodes

    def give(self: Inputs, *args: object) -> tuple[Given, Binding]:
        given, binding = honest(self, *args)  # type: ignore[arg-type]
        if mine(self.ledger):
            first.append(given.bound.input)
            given = replace(given, bound=Bound(first[0], ANY))
        return given, binding

    def mine(ledger: InputLedger) -> bool:
        return ledger is ledgers[LIAR].ledger

    monkeypatch.setattr(Inputs, "give", give)


async def one_job(ward: EntrustedWard, engine: str, name: str, task: str, without: tuple[str, ...] = ()) -> None:
    ward.submit(name=name, task=task, engine=engine, without=without)
    for _ in range(4):
        await ward.gather()
        await ward.wait(2)


def play(ward: EntrustedWard, *jobs: tuple[str, str, str, tuple[str, ...]]) -> None:
    async def main(_: object) -> None:
        await ward.start_nodes()
        for one in jobs:
            await one_job(ward, *one)
        await ward.stop_nodes()

    ward.play(main)


ENGINES = [("masks", "masks"), ("paillier", "paillier"), ("paillier", "masks"), ("masks", "paillier")]


@pytest.mark.parametrize(("before", "now"), ENGINES, ids=["masks", "paillier", "members", "trustees"])
def test_who_repeats_an_input_as_if_it_were_new_is_left_out_and_the_round_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, now: str
) -> None:
    ward = ward_of(tmp_path)
    patched(monkeypatch, ward)
    play(ward, (before, "first", "task", ()), (now, "second", "more", (AWAY,)))
    assert closed(ward, "first") == [list(SIX)]
    assert closed(ward, "second") == [[name for name in SIX if name not in (LIAR, AWAY)]]
    (told,) = [event["dropped"] for event in ward.named("round_closed") if event["job"] == "second"]
    assert [(entry["member"], entry["reason"]) for entry in told] == [(LIAR, REASON)]
    assert not refused(ward, "second")
    assert not any(trustee.refused for trustee in ward.trustees.values())


def test_after_a_restart_the_aggregator_still_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = ward_of(tmp_path)
    patched(monkeypatch, ward)

    async def main(_: object) -> None:
        await ward.start_nodes()
        await one_job(ward, "masks", "first", "task")
        await ward.restart()
        await one_job(ward, "masks", "second", "more", (AWAY,))
        await ward.stop_nodes()

    ward.play(main)
    assert closed(ward, "second") == [[name for name in SIX if name not in (LIAR, AWAY)]]


def test_of_a_lost_round_inputs_stay_where_somebody_may_have_opened_them() -> None:
    """Members that answered say so themselves; one trustee that answered never opens them over another set."""
    manifest = propose(make(4, trustees=5, threshold=4, colluders=1))
    four = tuple(names_of(4))
    assert masks.opened(manifest, four, four[:1]) == four[1:]
    assert paillier.opened(manifest, four, TRUSTEES[:4]) == four
    assert paillier.opened(manifest, four, TRUSTEES[:5]) == ()


def test_over_the_very_set_of_before_it_is_summed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = ward_of(tmp_path)
    patched(monkeypatch, ward)
    play(ward, ("masks", "first", "task", ()), ("masks", "second", "more", ()))
    assert closed(ward, "second") == [list(SIX)]
