"""Row 62: every number that a signed job chooses has a limit, held before anything is fetched for it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.affording import declined
from node.config import OwnTask
from node.policy import PolicySection
from node.records import Job
from secagg.errors import ProtocolViolation, Refused, WireError
from secagg.ids import NO_DIGEST
from secagg.learning.algorithms import Chosen, Number, choose
from secagg.protocol.acceptance import Policy
from secagg.protocol.affordable import DAY, Most, check_affordable
from secagg.protocol.manifest import MOST_LANES, MOST_SETTINGS, JobSpec, Scalar, Setting
from secagg.protocol.paillier import trustee
from secagg.protocol.ranges import own_lanes
from secagg.rehearsal import entrusted
from secagg.transport.link import Received
from secagg.vector.codec import Noised
from secagg.wire.codec import decode, encode
from support.adversary import proposal_of
from support.entrusted import make as entrust
from support.federation import job, lane, names_of
from support.federation import make as found
from support.nodes import Ward
from support.walking import numbers

AT_THE_LIMIT: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "max_parameters": ({"lanes": (lane(2**28),)}, {"lanes": (lane(2**27), lane(2**27), lane(1))}),
    "max_rounds": ({"rounds": 10_000}, {"rounds": 10_001}),
    "max_members": ({"cohort": names_of(1_000)}, {"cohort": names_of(1_001)}),
    "max_metrics": (
        {"scalars": tuple(Scalar(f"m{n}", 1) for n in range(64))},
        {"scalars": tuple(Scalar(f"m{n}", 1) for n in range(65))},
    ),
    "max_step_time": ({"step_ms": DAY}, {"step_ms": DAY + 1}),
    "max_round_time": ({"round_ms": 7 * DAY}, {"round_ms": 2**40 - 1}),
}
BOUNDED_OTHERWISE = {
    "min_nodes": "more than the cohort: the job cannot run, and nothing is kept for it",
    "lanes.count": "policy max_parameters: of all lanes together",
    "lanes.codec.bits": "its type says 2 to 31",
    "lanes.codec.clip_log2": "its type says -64 to 64",
    "lanes.codec.fraction": "its type says 0 to 48",
    "config.value": "ranges.check_built: a job with a setting is refused",
    "privacy.epsilon": "ranges.check_built: a job that names privacy is refused",
    "privacy.delta": "ranges.check_built: a job that names privacy is refused",
    "weight_bound": "a factor of values, which have the same size whatever it is",
    "chunk_bytes": "acceptance.check_fields: within the limits of the wire",
    "dropouts": "a formula gives the degree of the graph, or refuses",
    "scalars.bound": "lane_groups: the sum of all members fits its lane",
    "scalars.fraction": "its type says 0 to 48",
    "algorithm.numbers.value": "the struct of the algorithm says its range, and what is not finite is refused",
    "custody.s": "its type says 1 to 3",
    "custody.threshold": "custody.check_custody: at most the trustees there are",
    "custody.colluders": "custody.check_custody: 2t > m + c'",
}
"""Numbers of a job that no policy key limits, and what does."""


def test_every_number_of_a_job_is_limited_by_policy_or_by_something_that_is_named() -> None:
    limited = {"rounds", "step_ms", "round_ms"}
    assert numbers(JobSpec) == limited | set(BOUNDED_OTHERWISE)
    assert set(Most.__struct_fields__) == set(AT_THE_LIMIT)


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_a_job_at_the_limit_is_taken_and_one_above_it_is_refused_by_the_name_of_the_key(name: str) -> None:
    spec = job(names_of(4))
    at, above = AT_THE_LIMIT[name]
    check_affordable(replace(spec, **at), Most())
    with pytest.raises(Refused) as caught:
        check_affordable(replace(spec, **above), Most())
    assert caught.value.rule == f"policy.{name}"
    assert name in caught.value.remedy


def test_the_keys_of_node_toml_are_these_limits() -> None:
    assert PolicySection().most() == Most()
    assert PolicySection(max_round_time="2h", max_parameters=7).most() == Most(
        max_round_time=7_200_000, max_parameters=7
    )


def test_a_round_of_34_years_is_refused_before_anything_is_done_for_it(tmp_path: Path) -> None:
    ward = Ward(found(4, chunk_bytes=4096), tmp_path)

    async def main(_: object) -> None:
        await ward.start_nodes()
        file = {
            "job": {"name": "job", "task": "task", "purpose": "sum", "length": 7},
            "cohort": {"step_timeout": "3s", "round_timeout": "12000d"},
        }
        ward.daemon.command({"command": "job-submit", "file": file, "model": ""})
        await ward.wait(20)
        await ward.stop_nodes()

    ward.play(main)
    for node in ward.nodes.values():
        assert {event["rule"] for event in node.named("fault")} == {"policy.max_round_time"}
        assert {event["rule"] for event in node.named("refuse")} == {"policy.max_round_time"}
    assert ward.named("job_failed")


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ("algorithm.name", Chosen("fedsplit")),
        ("algorithm.numbers", Chosen("fedavg", (Number("mu", 0.5),))),
        ("algorithm.numbers", Chosen("fedprox", (Number("mu", float("nan")),))),
        ("algorithm.numbers", Chosen("fedprox", (Number("mu", 1.5),))),
        ("algorithm.numbers", Chosen("fedprox", ())),
        ("algorithm.numbers", Chosen("fedprox", (Number("mu", 0.5), Number("mu", 0.25)))),
    ],
)
def test_an_algorithm_that_is_not_known_here_is_declined_with_the_job(rule: str, chosen: Chosen) -> None:
    """An aggregator that signs what its own release would refuse: nothing is fetched for it, and nothing ignored."""
    spec = job(names_of(4), scalars=own_lanes(100, 7))
    refusal = declined(Job(replace(spec, algorithm=chosen), NO_DIGEST), Most())
    assert refusal is not None
    assert refusal.rule == rule
    assert declined(Job(spec, NO_DIGEST), Most()) is None


def test_a_sum_that_names_an_algorithm_is_declined_with_the_job() -> None:
    spec = job(names_of(4), purpose="sum", bits=64, scalars=())
    assert declined(Job(spec, NO_DIGEST), Most()) is None
    refusal = declined(Job(replace(spec, algorithm=choose("fedprox", {})), NO_DIGEST), Most())
    assert refusal is not None
    assert refusal.rule == "algorithm.sum"


@pytest.mark.parametrize("purpose", ["training", "sum"])
def test_noise_is_declined_with_the_job_until_it_is_built(purpose: str) -> None:
    """An aggregator that signs what its own release would refuse: nothing is fetched for it."""
    noised = (replace(lane(), codec=Noised(16, 0)),)
    refusal = declined(Job(job(names_of(4), purpose=purpose, lanes=noised), NO_DIGEST), Most())
    assert refusal is not None
    assert refusal.rule == "lanes.noised"


LONG: dict[str, dict[str, object]] = {
    "lanes": {"lanes": tuple(replace(lane(), name=f"l{n}") for n in range(MOST_LANES + 1))},
    "settings": {"config": tuple(Setting(f"s{n}", n) for n in range(MOST_SETTINGS + 1))},
    "a long text": {"config": (Setting("s", "x" * 513),)},
}  # fmt: skip


@pytest.mark.parametrize("case", LONG)
def test_a_job_that_lists_more_than_it_may_is_none(case: str) -> None:
    """A node would keep it whole before it refuses it."""
    assert decode(JobSpec, encode(job(names_of(4), config=tuple(Setting(f"s{n}", n) for n in range(MOST_SETTINGS)))))
    with pytest.raises(WireError):
        decode(JobSpec, encode(job(names_of(4), **LONG[case])))


class Beyond:
    """A federation in which node-03 cannot afford the first job; what it fetches, and a pause after round 1."""

    def __init__(self, place: Path) -> None:
        self.ward = Ward(found(4, chunk_bytes=4096), place)
        self.small = self.ward.nodes["node-03"]
        self.small.policy = Policy(exact_counts=True, most=Most(max_parameters=6))
        self.fetched: list[Received] = []
        self.ended: list[Received] = []
        self.held = True
        self._deliver = self.ward.network._fate
        self.ward.network._fate = self.fate
        for node in self.ward.nodes.values():
            other = node.place / "other.txt"
            other.write_text("1.0")
            node.tasks["other"] = OwnTask("other", f"{node.place / 'task.py'}:Ones", other, {"length": 5})

    def fate(self, to: str, message: Received) -> Sequence[Received]:
        if (message.sender, message.kind) == ("node-03", "fetch"):
            self.fetched.append(message)
        if (to, message.kind) == ("node-03", "result"):
            self.ended.append(message)
        # Nobody stands before the second round until the first one was looked at.
        paused = self.held and len(self.ended) == 1
        return () if paused and message.kind == "present" else self._deliver(to, message)

    async def until(self, event: str, count: int) -> None:
        while len(self.ward.named(event)) < count:
            await self.ward.wait(0.5)

    async def restart(self) -> None:
        """Let somebody raise the limit in the middle of the job."""
        await self.small.kill()
        self.small.policy = Policy(exact_counts=True)
        self.ward.revive("node-03")


@pytest.mark.parametrize("raised", [False, True])
def test_for_a_job_beyond_the_policy_nothing_is_fetched_and_the_next_one_is_taken(tmp_path: Path, raised: bool) -> None:
    """The others go on without it; it follows the rounds by their log entries, and is there for the job after."""
    scene = Beyond(tmp_path)
    ward, small = scene.ward, scene.small

    async def main(_: object) -> None:
        await ward.start_nodes()
        ward.submit(rounds=2)
        await scene.until("round_closed", 1)
        assert len(ward.named("round_closed")) == 1
        if raised:
            await scene.restart()
        scene.held = False
        await scene.until("job_done", 1)
        await ward.wait(4)
        assert scene.fetched == []
        ward.submit(name="next", task="other", length=5)
        await scene.until("job_done", 2)
        await ward.wait(4)
        await ward.stop_nodes()

    ward.play(main)
    three, four = list(names_of(3)), list(names_of(4))
    assert [event["contributors"] for event in ward.named("round_closed")] == [three, three, four]
    rules = {event["rule"] for event in small.named("refuse")}
    assert rules == {"policy.max_parameters", *(["job.skipped"] if raised else [])}
    assert small.named("fault")[0]["rule"] == "policy.max_parameters"
    assert [event["job"] for event in small.named("result")] == ["next"]
    assert scene.fetched


def test_a_trustee_keeps_no_round_for_years() -> None:
    federation = entrust(4)
    name = next(iter(federation.trustees))
    honest = entrusted.propose(federation)
    lie = replace(honest, round_ms=7 * DAY + 1)
    ctx = entrusted.holder(federation, name).ctx
    assert trustee.start(proposal_of(federation.nodes, replace(honest, round_ms=7 * DAY)), ctx)
    with pytest.raises(ProtocolViolation) as caught:
        trustee.start(proposal_of(federation.nodes, lie), entrusted.holder(federation, name).ctx)
    assert getattr(caught.value, "rule", "") == "manifest.round_ms"


def test_a_trustee_multiplies_no_vector_that_no_answer_could_hold() -> None:
    federation = entrust(4)
    name = next(iter(federation.trustees))
    honest = entrusted.propose(federation)
    update = honest.groups[-1]
    for count in (2**28, 2**31 - 1):
        lie = replace(honest, groups=(*honest.groups[:-1], replace(update, count=count)))
        with pytest.raises(ProtocolViolation) as caught:
            trustee.start(proposal_of(federation.nodes, lie), entrusted.holder(federation, name).ctx)
        assert caught.value.rule == "manifest.groups"
