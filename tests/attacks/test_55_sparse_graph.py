"""Row 55 on a sparse graph: shares are owed and dealt among neighbours only, and auditors know who they were.

A member that is no neighbour of a dealer owes it nothing, whatever the tree of the dealer says. After members stayed
out of a draw, the list of the last one says who dealt to whom.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from secagg.errors import VerificationFailed
from secagg.log.statements import Contributors, Fault, ManifestLogged, Opening, parse_statement
from secagg.protocol.masks import intake
from secagg.protocol.masks.faults import check_fault
from secagg.protocol.masks.rounds import Unmasking
from secagg.protocol.masks.verify import recompute_frozen
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.phases import Closed, Failed
from secagg.rehearsal.federation import Federation, party, propose, table
from secagg.rehearsal.run import Table, run_round
from support import cheats
from support.federation import BEARS, inputs_of, reference, sparse

LIAR = "node-04"


class Watched(Table):
    """A table that remembers who dealt to whom."""

    near: Mapping[str, tuple[str, ...]]

    def open_sum(self, asked: Effect | None = None) -> Event:
        assert isinstance(self.phase, Unmasking)
        self.near = intake.near(self.phase)
        return super().open_sum(asked)


def seated(federation: Federation, drops: Mapping[str, str]) -> Watched:
    parties = {name: party(federation, name, policy=BEARS) for name in federation.members}
    made = table(federation, inputs_of(federation, propose(federation)), drops, parties=parties)
    return Watched(**vars(made))


def stated(made: Table, kind: type[Any]) -> list[Any]:
    found = (parse_statement(made.log.leaf(index))[0] for index in range(made.log.size))
    return [statement for statement in found if isinstance(statement, kind)]


def key_of(made: Table) -> Callable[[str], bytes]:
    return made.manifest.key


def named(made: Table) -> list[tuple[str, str]]:
    """Return who is named in the log; every proof convinces."""
    found: list[tuple[str, str]] = []
    for fault in stated(made, Fault):
        proven = check_fault(made.files[fault.evidence], key_of(made))
        found.append((proven.member, proven.kind))
    return found


def recomputed(made: Table, frozen: Contributors) -> dict[str, bytes]:
    """Return the sum as an auditor recomputes it from what was kept."""
    (logged,), (opening,) = stated(made, ManifestLogged), stated(made, Opening)
    answers = [made.files[entry.digest] for entry in opening.answers]
    sums = recompute_frozen(
        made.files[logged.signed], frozen, made.files.__getitem__, answers, made.uploads.__getitem__,
        made.keeper.key.public,
    )  # fmt: skip
    return {name: words.tobytes() for name, words in sums.items()}


@pytest.mark.parametrize("leaves_out", [False, True], ids=["wrong", "missing"])
def test_a_liar_about_a_neighbours_share_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, leaves_out: bool
) -> None:
    honest = seated(sparse(), {})
    run_round(honest)
    neighbour = next(name for name, near in honest.near.items() if LIAR in near and name != LIAR)
    cheats.answers_wrongly(monkeypatch, LIAR, neighbour, leaves_out=leaves_out)
    made = seated(sparse(), {})
    end = run_round(made)
    assert isinstance(end, Closed)
    assert named(made) == [(LIAR, "answer")]
    assert LIAR not in {entry.member for entry in stated(made, Opening)[0].answers}
    assert recomputed(made, stated(made, Contributors)[0]) == reference(made.inputs, made.parties)


def test_a_bad_dealer_is_named_with_its_neighbours_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    cheats.deals_wrongly(monkeypatch, LIAR, 0)
    made = seated(sparse(), {})
    assert isinstance(run_round(made), Failed)
    assert named(made) == [(LIAR, "dealing")]


def test_a_dealer_of_rubbish_is_reported_by_its_neighbours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    cheats.seals_rubbish(monkeypatch, LIAR, 100)
    made = seated(sparse(), {})
    end = run_round(made)
    assert isinstance(end, Failed)
    assert named(made) == [(LIAR, "reported")]


@pytest.mark.parametrize("step", ["ShareKeys", "MaskedInput"])
def test_an_auditor_recomputes_what_was_drawn_again(step: str) -> None:
    """node-03 does not open its value, and the rest draw again; or it dealt, and dropped out afterwards."""
    made = seated(sparse(), {"node-03": step})
    assert isinstance(run_round(made), Closed)
    (frozen,) = stated(made, Contributors)
    left = [name for name in made.parties if name != "node-03"]
    assert recomputed(made, frozen) == reference(made.inputs, left)
    with pytest.raises(VerificationFailed, match="dealt over another U1"):
        recomputed(made, replace(frozen, drawn=""))
