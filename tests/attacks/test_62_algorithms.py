"""Row 62: what a job says of its algorithm, and a manifest of what the algorithm keeps, over real daemons.

Whoever runs the aggregator signs jobs and manifests. What no release makes is refused by its name before anything is
fetched or computed for it. The federation goes on with the next job.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aggregator import jobs
from node import records
from secagg.crypto.sign import SigningKey
from secagg.errors import SecaggError
from secagg.ids import EVERYBODY, NO_DIGEST
from secagg.learning.algorithms import ALGORITHMS, MOST, Chosen, Number, choose
from secagg.log.witness import LogProof
from secagg.protocol.manifest import JobSpec, Manifest
from secagg.protocol.session import Announce, job_scope
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from secagg.wire.codec import encode
from secagg.wire.signed import sign
from support.bound import closed, everyone, line, play, refused, submit
from support.federation import names_of
from support.living import until, ward_of
from support.nodes import Ward

FOUR = names_of(4)
ADAM = {"name": "fedadam", "rate": 0.25}
NAN, INF = float("nan"), float("inf")


def adam(**numbers: float) -> Chosen:
    """Return what a job by FedAdam says, with some numbers changed."""
    chosen = choose("fedadam", {})
    return replace(chosen, numbers=tuple(Number(n.name, numbers.get(n.name, n.value)) for n in chosen.numbers))


def heard(ward: Ward, kind: str) -> list[Received]:
    """Return, as they come, the messages of a kind that nodes send."""
    found: list[Received] = []
    whole = ward.network._fate

    def fate(to: str, message: Received) -> Sequence[Received]:
        if message.kind == kind and message.sender in FOUR:
            found.append(message)
        return whole(to, message)

    ward.network._fate = fate
    return found


# What a signed job says -----------------------------------------------------------------------------------------------

SIGNED: Mapping[str, tuple[Chosen, str]] = {
    "a name that nobody knows": (Chosen("fedsplit"), "algorithm.name"),
    "not a number": (adam(rate=NAN), "algorithm.numbers"),
    "without end": (adam(tau=INF), "algorithm.numbers"),
    "negative": (adam(beta1=-0.5), "algorithm.numbers"),
    "negative and without end": (adam(rate=-INF), "algorithm.numbers"),
    "above its range": (adam(rate=1.0000000000000002), "algorithm.numbers"),
    "huge": (adam(rate=1e308), "algorithm.numbers"),
    "below its range": (adam(tau=5e-324), "algorithm.numbers"),
    "one number too few": (replace(adam(), numbers=adam().numbers[1:]), "algorithm.numbers"),
    "one too many": (replace(adam(), numbers=(*adam().numbers, Number("zeta", 0.0))), "algorithm.numbers"),
    "one twice": (replace(adam(), numbers=(*adam().numbers, adam().numbers[-1])), "algorithm.numbers"),
    "in another order": (replace(adam(), numbers=adam().numbers[::-1]), "algorithm.numbers"),
    "of another algorithm": (replace(adam(), name="fedprox"), "algorithm.numbers"),
}


def test_a_signed_job_with_an_algorithm_that_no_release_makes_is_refused_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = ward_of(tmp_path)
    made, lies = jobs.make_spec, {f"lie-{place}": lie for place, lie in enumerate(SIGNED.values())}

    def make_spec(*given: Any) -> JobSpec:
        spec = made(*given)
        return replace(spec, algorithm=lies[spec.name][0]) if spec.name in lies else spec

    monkeypatch.setattr(jobs, "make_spec", make_spec)
    fetched = heard(ward, "fetch")
    before: list[int] = []

    async def script(ward: Ward) -> None:
        for name in lies:
            submit(ward, name, "learn", model=line(), algorithm=ADAM)
            await until(ward, 1, name)
        before.append(len(fetched))
        submit(ward, "honest", "learn", model=line(), algorithm=ADAM)
        await until(ward, 1, "honest")

    play(ward, script)
    assert before == [0], "no model is fetched for any of them"
    for name, (_, rule) in lies.items():
        assert refused(ward, name) == everyone(FOUR, rule), name
        told = [event for node in ward.nodes.values() for event in node.named("fault") if event["job"] == name]
        assert {event["rule"] for event in told} == {rule}
    assert closed(ward, "honest") == [list(FOUR)]


# What is no job at all ------------------------------------------------------------------------------------------------


def shapeless() -> dict[str, object]:
    """Return what stands where a job's algorithm belongs."""
    many = tuple(Number(f"n{place}", 0.5) for place in range(30_000))
    return {
        "as many as a message holds": Chosen("fedadam", many),
        "one above the most": Chosen("fedadam", many[: MOST + 1]),
        "text for a number": Chosen("fedadam", (Number("rate", "0.5"),)),  # type: ignore[arg-type]
        "truth for a number": Chosen("fedadam", (Number("rate", True),)),
        "a list for a number": Chosen("fedadam", (Number("rate", (0.5,)),)),  # type: ignore[arg-type]
        "a number for the name": Chosen(7),  # type: ignore[arg-type]
        "a name that is none": Chosen("../" * 20),
        "a long name": Chosen("a" * 5_000),
        "a text": "fedadam",
        "a field more": {"name": "fedadam", "numbers": (), "hook": "x"},
        "nothing": None,
    }


def test_what_is_no_algorithm_at_all_is_no_job_and_the_next_one_runs(tmp_path: Path) -> None:
    ward = ward_of(tmp_path)
    spec, key = ward.federation.spec, ward.federation.aggregator
    lies = shapeless()

    async def script(ward: Ward) -> None:
        submit(ward, "first", "learn", model=line())
        await until(ward, 1, "first")
        for lie in lies.values():
            body = announced(replace(spec, name="lie", algorithm=lie), key)
            for name in FOUR:
                ward.network.deliver(name, Received(AGGREGATOR, "announce", b"", b"", body))
            await ward.settle()
        submit(ward, "honest", "learn", model=line(), algorithm=ADAM)
        await until(ward, 1, "honest")

    play(ward, script)
    for node in ward.nodes.values():
        told = [event for event in map(json.loads, node.log.getvalue().splitlines()) if event.get("kind") == "announce"]
        assert [event["code"] for event in told] == ["E-WIRE"] * len(lies)
        with node.journal.transaction() as turn:
            assert records.find_job(turn, "lie") is None  # type: ignore[arg-type]
    assert closed(ward, "honest") == [list(FOUR)]


def announced(spec: JobSpec, key: SigningKey) -> bytes:
    """Return the word of a job that the aggregator signed, whatever it is."""
    signed = sign(key, "JobSpec", job_scope(spec), AGGREGATOR, EVERYBODY, encode(spec))
    nowhere = LogProof(index=0, checkpoint=b"", inclusion=(), old_size=0, consistency=())
    return encode(Announce(signed, b"", nowhere, NO_DIGEST))


def test_every_algorithm_has_fewer_numbers_than_that() -> None:
    assert all(len(kind.__struct_fields__) <= MOST for kind in ALGORITHMS.values())


# What a manifest says -------------------------------------------------------------------------------------------------

Lie = Callable[[Manifest, dict[int, bytes]], Manifest]
LIES: Mapping[int, tuple[Lie, str]] = {
    1: (lambda manifest, states: replace(manifest, algorithm=choose("fedavg", {})), "manifest.algorithm"),
    2: (lambda manifest, states: replace(manifest, state=NO_DIGEST), "manifest.state"),
    3: (lambda manifest, states: replace(manifest, state=states[2]), "manifest.state"),
    4: (lambda manifest, states: replace(manifest, algorithm=adam(rate=0.5)), "manifest.algorithm"),
    5: (lambda manifest, states: replace(manifest, algorithm=adam(rate=NAN)), "manifest.algorithm"),
}
"""By round: what the first attempt's manifest says, and the rule that refuses it."""


def test_a_manifest_with_another_algorithm_or_an_earlier_state_is_refused_and_the_round_comes_again(
    tmp_path: Path,
) -> None:
    ward = ward_of(tmp_path, min_change=0.0)
    states: dict[int, bytes] = {}

    def lying(job: Any, turn: Any, real: Any) -> Manifest:
        manifest: Manifest = real(job, turn)
        states.setdefault(manifest.round.round, manifest.state)
        lie, _ = LIES[manifest.round.round]
        return lie(manifest, states) if manifest.round.attempt == 1 else manifest

    async def script(ward: Ward) -> None:
        schedule: Any = ward.service._schedule
        real = schedule._manifest
        schedule._manifest = lambda job, turn: lying(job, turn, real)
        submit(ward, "job", "learn", model=line(), rounds=len(LIES), algorithm=ADAM)
        await until(ward, len(LIES), "job")

    play(ward, script)
    assert closed(ward, "job") == [list(FOUR)] * len(LIES)
    assert len({states[number] for number in LIES}) == len(LIES)
    for node in ward.nodes.values():
        told = [(event["round"], event["rule"]) for event in node.named("refuse") if event["job"] == "job"]
        assert [(number, rule.startswith(LIES[number][1])) for number, rule in told] == [(n, True) for n in LIES]


# What a job file says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        {"name": "fedsplit"}, {"name": 7}, {"name": "fedadam", "rate": NAN}, {"name": "fedadam", "rate": INF},
        {"name": "fedadam", "rate": -0.1}, {"name": "fedadam", "rate": 10**400}, {"name": "fedadam", "rate": "0.1"},
        {"name": "fedadam", "rate": True}, {"name": "fedadam", "rate": [0.1]}, {"name": "fedadam", "mu": 0.1},
        {"name": "fedadam", **{f"n{place}": 0.5 for place in range(10_000)}}, "fedadam",
    ],
    ids=str,
)  # fmt: skip
def test_a_job_file_with_such_an_algorithm_is_refused_where_it_is_submitted(tmp_path: Path, part: object) -> None:
    ward = ward_of(tmp_path)

    async def script(ward: Ward) -> None:
        with pytest.raises(SecaggError) as caught:
            submit(ward, "job", "learn", model=line(), algorithm=part)
        assert "algorithm" in f"{caught.value.cause} {caught.value.remedy}".lower()
        assert len(str(caught.value)) < 1_000
        assert ward.daemon.command({"command": "job-list"}) == []

    play(ward, script)
