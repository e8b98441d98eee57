"""Row 55 through real services: who cheats about shares is named, and the next round closes without it.

Nodes judge the proofs themselves: the aggregator's word names nobody, and a U1 with a proven cheater in it is refused.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.rounds import Rounds
from node.config import OwnTask
from secagg.errors import Refused
from secagg.learning.layout import encode_model
from secagg.log.statements import Aborted, Contributors, Fault, parse_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.masks.messages import MemberKeys
from secagg.transport.link import Received
from support import cheats
from support.adversary import stop_before
from support.federation import make
from support.nodes import Ward

TORCH = Path(__file__).resolve().parents[1] / "support" / "torch_tasks.py"
BAD, VICTIM = "node-01", "node-03"
REASON = "its fault in an earlier round is proven"
MEMBERS = 5
"""n = 5, c = 1, t = 4: one member less is as many as a round bears."""


def ward(tmp_path: Path) -> Ward:
    """Return a federation of nodes that train a line."""
    found = Ward(make(MEMBERS, chunk_bytes=4096), tmp_path)
    for one in found.nodes.values():
        one.data.write_text("1 3\n2 5\n")
        one.tasks["task"] = OwnTask("task", f"{TORCH}:Line", one.data, {"rate": 0.1})
        one.policy = Policy(exact_counts=True)
    return found


def play(tmp_path: Path, rounds: int = 2, seconds: float = 40, script: Callable[[Ward], Any] | None = None) -> Ward:
    played = ward(tmp_path)

    async def main(_: object) -> None:
        await played.start_nodes()
        model = played.state / "line.safetensors"
        model.write_bytes(encode_model({"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}))
        played.submit(model, purpose="training", length=0, rounds=rounds)
        if script:
            await script(played)
        await played.wait(seconds)
        await played.stop_nodes()

    played.play(main)
    return played


def statements(played: Ward) -> list[Any]:
    """Return what the round log holds."""
    log = played.rounds_log
    return [parse_statement(log.leaf(index))[0] for index in range(log.size)]


def faults(played: Ward) -> list[tuple[str, str, int, int]]:
    return [(one.member, one.kind, one.round, one.attempt) for one in statements(played) if isinstance(one, Fault)]


def sets(played: Ward) -> dict[int, tuple[str, ...]]:
    """Return who was in each round that closed."""
    return {event["round"]: tuple(event["contributors"]) for event in played.named("round_closed")}


def honest(played: Ward) -> tuple[str, ...]:
    return tuple(name for name in played.nodes if name != BAD)


def told(played: Ward) -> set[str]:
    """Return the nodes that judged the proof against the cheater and believed it."""
    return {name for name, one in played.nodes.items() if [e["institution"] for e in one.named("named")] == [BAD]}


@pytest.mark.parametrize("leaves_out", [False, True], ids=["wrong", "missing"])
def test_a_liar_is_named_and_the_next_round_closes_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves_out: bool
) -> None:
    cheats.answers_wrongly(monkeypatch, BAD, VICTIM, leaves_out=leaves_out)
    played = play(tmp_path)
    assert faults(played) == [(BAD, "answer", 1, 1)]
    assert sets(played) == {1: tuple(played.nodes), 2: honest(played)}
    assert told(played) == set(honest(played))
    assert played.named("job_done")
    closed = played.named("round_closed")[-1]
    assert closed["dropped"] == [{"member": BAD, "step": "AdvertiseKeys", "reason": REASON}], "nobody waited for it"


@pytest.mark.parametrize("to", [0, MEMBERS - 1], ids=["the first", "the last"])
def test_a_bad_dealer_is_named_whether_its_round_is_lost_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: int
) -> None:
    cheats.deals_wrongly(monkeypatch, BAD, to)
    played = play(tmp_path)
    assert faults(played) == [(BAD, "dealing", 1, 1)]
    lost = to < played.federation.spec.min_nodes and 1 not in sets(played)
    assert lost == (to == 0), "the first t shares open"
    assert sets(played)[2] == honest(played)
    assert told(played) == set(honest(played))


def test_a_dealer_with_two_lists_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make(MEMBERS, chunk_bytes=4096).members[BAD]
    cheats.signs_two_lists(monkeypatch, BAD, key)
    played = play(tmp_path)
    assert faults(played) == [(BAD, "two-lists", 1, 1)]
    assert sets(played)[2] == honest(played)
    assert told(played) == set(honest(played))


@pytest.mark.parametrize("listed", [True, False], ids=["nothing inside", "other shares inside"])
def test_a_dealer_that_more_than_c_report_ends_the_attempt_and_is_in_no_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    if listed:
        cheats.seals_rubbish(monkeypatch, BAD, MEMBERS)
    else:
        cheats.seals_other_shares(monkeypatch, BAD)
    played = play(tmp_path)
    assert faults(played) == [(BAD, "reported", 1, 1)]
    (aborted,) = (one for one in statements(played) if isinstance(one, Aborted))
    assert {(one.dealer, one.reporter) for one in aborted.reports} == {(BAD, name) for name in honest(played)}
    assert not any(isinstance(one, Contributors) and one.attempt == 1 and one.round == 1 for one in statements(played))
    assert sets(played) == {1: honest(played), 2: honest(played)}
    assert told(played) == set(honest(played))


def test_one_report_names_nobody_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheats.reports(monkeypatch, BAD, VICTIM)
    played = play(tmp_path)
    assert faults(played) == []
    assert sets(played) == {1: tuple(played.nodes), 2: tuple(played.nodes)}
    assert told(played) == set()


def test_a_job_that_its_cheaters_leave_too_few_for_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """n = 5 needs four: with two named there are three."""
    cheats.answers_wrongly(monkeypatch, BAD, VICTIM)
    cheats.answers_wrongly(monkeypatch, "node-02", VICTIM)
    played = play(tmp_path)
    assert {member for member, *_ in faults(played)} == {BAD, "node-02"}
    (failed,) = played.named("job_failed")
    assert failed["reason"] == "3 members are left without those whose fault is proven, 4 are needed"


def test_a_node_that_was_not_given_the_proof_is_given_it_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did not acknowledge goes with the next round; it says of how many faults it knows, and is told again."""
    cheats.answers_wrongly(monkeypatch, BAD, VICTIM)
    lost: list[str] = []

    async def script(played: Ward) -> None:
        fate = played.network._fate

        def lossy(to: str, message: Received) -> Any:
            durable = (to, message.kind) == ("node-04", "fault") and any(message.id)
            lost.extend([to] if durable else [])
            return () if durable else fate(to, message)

        played.network._fate = lossy

    played = play(tmp_path, script=script)
    assert lost
    assert "node-04" in told(played)
    assert sets(played)[2] == honest(played)


def test_a_restarted_aggregator_still_knows_whom_it_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheats.answers_wrongly(monkeypatch, BAD, VICTIM)

    async def script(played: Ward) -> None:
        while not faults(played):
            await played.wait(0.5)
        await played.restart()

    played = play(tmp_path, rounds=3, script=script)
    assert sets(played) == {1: tuple(played.nodes), 2: honest(played), 3: honest(played)}


def test_a_restart_while_answers_are_judged_judges_them_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was being done beside the loop is lost with the process, and the phase says that it is still to be done."""
    cheats.answers_wrongly(monkeypatch, BAD, VICTIM)
    begun: list[object] = []
    judge = Rounds._judge

    def lost_once(rounds: Rounds, phase: Any, turn: Any) -> None:
        begun.append(phase)
        if len(begun) > 1:
            judge(rounds, phase, turn)

    monkeypatch.setattr(Rounds, "_judge", lost_once)

    async def script(played: Ward) -> None:
        while not begun:
            await played.wait(0.5)
        await played.wait(5)
        assert sets(played) == {}
        await played.restart()

    played = play(tmp_path, script=script)
    assert faults(played) == [(BAD, "answer", 1, 1)]
    assert sets(played) == {1: tuple(played.nodes), 2: honest(played)}
    shown = played.daemon.command({"command": "job-show", "name": "job"})
    assert isinstance(shown, dict)
    assert shown["named"] == [BAD]


def test_a_u1_with_a_proven_cheater_in_it_is_refused() -> None:
    scene = stop_before("MemberKeys")
    proven = frozenset({scene.table.manifest.key("node-02")})
    scene.party.ctx = dataclasses.replace(scene.party.ctx, proven=proven)
    with pytest.raises(Refused) as caught:
        scene.show(scene.body(MemberKeys))
    assert caught.value.rule == "u1.named"
