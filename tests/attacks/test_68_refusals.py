"""Row 68: whether, how and when a task fails on its data tells whoever chose the job no more than a few counted bits.

Real nodes, a real aggregator and trustees, both engines. A job's bounds are chosen between two data sets that one
institution may have. What follows from the job, or what its task declares, cannot be chosen: refused before anybody
looks. What is left tells that the task failed and nothing else, at one moment, a bounded number of times.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from aggregator import jobs
from node.config import OwnTask
from node.leaving import PART
from secagg.events.line import Event, kind_of
from secagg.protocol.acceptance import Policy
from secagg.protocol.manifest import Privacy, Scalar, Setting
from secagg.protocol.round.messages import Refuse
from secagg.protocol.session import RoundHeader
from secagg.rehearsal.entrusted import Entrusted, entrust
from secagg.transport.link import Received
from secagg.vector.codec import Fixed, Lane, Offset
from secagg.wire.codec import decode
from secagg.wire.signed import Signed
from support.bound import TORCH, line
from support.entrusted import dealt
from support.entrusted_hall import EntrustedWard
from support.federation import counted_rng, job, names_of
from support.nodes import Institution
from support.paillier_keys import SMALL as SHORT

pytestmark = pytest.mark.usefixtures("short_keys")

VICTIM = "node-03"
SMALL, LARGE = "1 1\n2 1\n", "1 3\n2 5\n3 7\n"
"""Two data sets: of two patients and a loss of 1, of three and a loss of more than 20."""

STEP = 4.0
ENGINES = pytest.mark.parametrize("engine", ["masks", "paillier"])
Saw = tuple[float, str, str, int, str]
Prepare = Callable[[Institution], None]


@lru_cache
def federation() -> Entrusted:
    """Return four institutions and three trustees, of whom two open a sum of engine paillier."""
    key, shares = dealt(3, 2)
    secrets = dict(zip(key.trustees, shares, strict=True))
    return entrust(names_of(4), job(names_of(4)), key, secrets, counted_rng(b"refusals"))


class Chosen:
    """A federation in which somebody chose the jobs, and all that leaves one institution, with its moment."""

    def __init__(self, place: Path, engine: str, prepare: Prepare, **policy: Any) -> None:
        willing = Policy(
            exact_counts=True, engines=("masks", "paillier"), allow_trials=True, min_key_bits=SHORT, **policy
        )
        self.ward, self.engine = EntrustedWard(federation(), place, willing), engine
        self.saw: list[Saw] = []
        for node in self.ward.nodes.values():
            data = node.place / "points.txt"
            data.write_text(SMALL)
            node.tasks["learn"] = OwnTask("learn", f"{TORCH}:Line", data, {})
        self.victim = self.ward.nodes[VICTIM]
        prepare(self.victim)
        self.told: list[tuple[float, str]] = []
        heard = self.ward.events.append

        def tell(event: Event) -> None:
            self.told.append((self.ward.timers.now, kind_of(type(event))))
            heard(event.shown())

        self.ward.daemon._publish = tell  # type: ignore[method-assign]
        whole = self.ward.network._fate

        def fate(to: str, message: Received) -> Sequence[Received]:
            if message.sender == VICTIM:
                self.saw.append((self.ward.timers.now, message.kind, *said(message)))
            return whole(to, message)

        self.ward.network._fate = fate

    def ask(self, name: str = "job", length: int = 0, top: float = 0.0, **fields: Any) -> None:
        """Submit a job: a sum of `length` values, or a training with a metric of at most `top`."""
        task, purpose = ("task", "sum") if length else ("learn", "training")
        file = {
            "job": {"name": name, "task": task, "purpose": purpose, "length": length, **fields},
            "cohort": {"step_timeout": "4s", "rejoin_timeout": "4s"},
            "engine": {"name": self.engine, "chunk": 4096},
            "metrics": [{"name": "loss", "max": top}] if top else [],
        }
        model = self.ward.state / f"{name}.safetensors"
        model.write_bytes(line())
        request: dict[str, object] = {"command": "job-submit", "file": file, "model": "" if length else str(model)}
        if self.engine == "paillier":
            request["custody"] = str(self.ward.custody)
        self.ward.daemon.command(request)

    def play(self, script: Callable[["Chosen"], Any]) -> "Chosen":
        """Run the federation while somebody asks."""

        async def main(_: object) -> None:
            await self.ward.start_nodes()
            try:
                await self.ward.gather()
                await script(self)
            finally:
                await self.ward.stop_nodes()

        self.ward.play(main)
        return self

    def rules(self, name: str = "job") -> list[str]:
        """Return by which rules the aggregator heard that the institution takes no part in a job."""
        told = [event for event in self.ward.named("step") if event["job"] == name and event["state"] == "refused"]
        return [event["rule"] for event in told if event["institution"] == VICTIM]

    def known(self, name: str = "job") -> set[str]:
        """Return by which rules the institution itself says that it takes no part."""
        return {event["rule"] for event in self.victim.named("refuse") if event["job"] == name}

    def worked(self, name: str = "job") -> bool:
        """Say whether a round of a job was entered."""
        return any(event["job"] == name for event in self.victim.named("accept"))

    def moment(self, event: str) -> float:
        """Return when the aggregator told of the first such event."""
        return next(time for time, told in self.told if told == event)

    def contributors(self, name: str = "job") -> list[bool]:
        """Say for every round of a job that closed whether the institution is in it."""
        return [VICTIM in event["contributors"] for event in self.ward.named("round_closed") if event["job"] == name]


def said(message: Received) -> tuple[str, int, str]:
    """Return what somebody on the way sees of a message, and the rule in it."""
    if message.kind != "round":
        return "", len(message.body), ""
    kind = decode(RoundHeader, message.header).kind
    rule = decode(Refuse, decode(Signed, message.body).body).rule if kind == "Refuse" else ""
    return kind, len(message.body), rule


def learns(data: str, task: str = "Line", **options: object) -> Prepare:
    """Give an institution data and one of the tasks that train."""

    def prepare(node: Institution) -> None:
        own = node.tasks["learn"].data
        own.write_text(data)
        node.tasks["learn"] = OwnTask("learn", f"{TORCH}:{task}", own, options)

    return prepare


def sums(body: str) -> Prepare:
    """Give an institution a task whose vector is this."""
    method = f"    def vector(self, data, round):\n        {body}\n"

    def prepare(node: Institution) -> None:
        (node.place / "task.py").write_text(f"import numpy as np\n\nclass Ones:\n{method}")

    return prepare


async def once(chosen: Chosen, seconds: float = 12, **asked: Any) -> None:
    await chosen.ward.gather()
    chosen.ask(**asked)
    await chosen.ward.wait(seconds)


def played(place: Path, engine: str, prepare: Prepare, **asked: Any) -> Chosen:
    return Chosen(place, engine, prepare).play(lambda chosen: once(chosen, **asked))


# Before anybody looks at data ----------------------------------------------------------------------------------------

EXAMPLES, SATURATED = Scalar("examples", 5000), Scalar("saturated", 2)
CODEC = Offset(16, 2)
UPDATE = Lane("update", 2, CODEC, weighted=True)
LIES: dict[str, tuple[dict[str, object], str]] = {
    "a count with too little room": ({"scalars": (Scalar("examples", 2), SATURATED)}, "lanes.examples"),
    "a count at another scale": ({"scalars": (Scalar("examples", 5000, 48), SATURATED)}, "lanes.examples"),
    "a count of more than its weight": ({"weight_bound": 7000}, "lanes.examples"),
    "no count": ({"scalars": (SATURATED,)}, "lanes.examples"),
    "saturated values with no room": ({"scalars": (EXAMPLES, Scalar("saturated", 0))}, "lanes.saturated"),
    "a second count": ({"scalars": (EXAMPLES, SATURATED, Scalar("examples", 2))}, "lanes.names"),
    "a count named as all of them": ({"scalars": (EXAMPLES, SATURATED, Scalar("scalars", 2))}, "lanes.names"),
    "nothing saturates": ({"lanes": (Lane("update", 2, Fixed(), weighted=True),)}, "lanes.codec"),
    "another vector": ({"lanes": (Lane("square", 2, CODEC, weighted=True),)}, "lanes.vectors"),
    "one vector more": ({"lanes": (UPDATE, Lane("square", 2, CODEC))}, "lanes.vectors"),
    "a vector of another weight": ({"lanes": (Lane("update", 2, CODEC),)}, "lanes.vectors"),
    "a setting": ({"config": (Setting("rate", 0.5),)}, "job.config"),
    "a promise": ({"privacy": Privacy("record", "skellam", 8.0, 1e-5)}, "job.privacy"),
    "another mode": ({"mode": "buffered"}, "job.mode"),
}
OF_A_SUM: dict[str, tuple[dict[str, object], str]] = {
    "a metric": ({"scalars": (Scalar("loss", 1),)}, "lanes.sum"),
    "few bits": ({"lanes": (Lane("update", 7, Offset(12, 2)),)}, "lanes.codec"),
    "another binary point": ({"lanes": (Lane("update", 7, Fixed(48)),)}, "lanes.codec"),
    "two vectors": ({"lanes": (Lane("update", 7, Fixed()), Lane("other", 7, Fixed()))}, "lanes.vectors"),
    "a weight": ({"lanes": (Lane("update", 7, Fixed(), weighted=True),)}, "lanes.vectors"),
}


def forge(monkeypatch: pytest.MonkeyPatch, lie: dict[str, object]) -> None:
    """Let the aggregator sign jobs with this in them."""
    honest = jobs.make_spec
    monkeypatch.setattr(jobs, "make_spec", lambda *given: with_fields(honest(*given), **lie))


@ENGINES
@pytest.mark.parametrize("lie", LIES)
def test_what_follows_from_a_job_cannot_be_chosen(
    tmp_path: Path, engine: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound lies between the numbers of patients of the two data sets."""
    changed, rule = LIES[lie]
    forge(monkeypatch, changed)
    small = played(tmp_path / "small", engine, learns(SMALL))
    large = played(tmp_path / "large", engine, learns(LARGE))
    assert small.saw == large.saw
    for chosen in (small, large):
        assert chosen.known() == {rule}
        assert not chosen.worked()
        assert chosen.ward.named("job_failed")


@ENGINES
@pytest.mark.parametrize("lie", OF_A_SUM)
def test_a_sum_has_no_metric_and_all_its_bits(
    tmp_path: Path, engine: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, rule = OF_A_SUM[lie]
    forge(monkeypatch, changed)
    chosen = played(tmp_path, engine, sums("return np.ones(7)"), length=7)
    assert (chosen.known(), chosen.worked()) == ({rule}, False)


@ENGINES
@pytest.mark.parametrize(("top", "rule"), [(8.0, "lanes.range"), (0.0, "")], ids=["too little room", "not asked for"])
def test_what_a_task_declares_cannot_be_given_less_room(tmp_path: Path, engine: str, top: float, rule: str) -> None:
    """The losses of the two data sets lie on both sides of 8; the task says that one may be 64."""
    small = played(tmp_path / "small", engine, learns(SMALL, "Declares"), top=top)
    large = played(tmp_path / "large", engine, learns(LARGE, "Declares"), top=top)
    assert [saw[:4] for saw in small.saw] == [saw[:4] for saw in large.saw]
    assert small.known() == large.known() == ({rule} if rule else set())
    assert small.contributors() == large.contributors() == [not rule]
    assert small.worked() == large.worked() == (not rule)


def test_a_metric_that_no_task_declares_is_none_to_ask_for(tmp_path: Path) -> None:
    chosen = played(tmp_path, "masks", learns(LARGE, "Undeclared"), top=8.0)
    assert (chosen.known(), chosen.worked()) == ({"lanes.undeclared"}, False)


def test_beyond_its_own_word_a_task_fails_whatever_room_a_job_gives(tmp_path: Path) -> None:
    """Else a job would choose a bound above what is declared, and below what the task really returns."""
    far = "1 30\n2 50\n"
    for place, top in enumerate((64.0, 2000.0, 0.0)):
        chosen = played(tmp_path / str(place), "masks", learns(far, "Declares"), top=top)
        assert chosen.rules() == ["task.failed"]


# What is left ---------------------------------------------------------------------------------------------------------

OF_SUMS = {
    "NaN": "return np.full(7, np.nan)",
    "another length": "return np.ones(8)",
    "another shape": "return np.ones((7, 1))",
    "too large": "return np.full(7, 1e30)",
    "its own code": "raise ValueError('row 17 of ward 3')",
    "an error with a code": (
        "from secagg.errors import BadInput; raise BadInput('row 17', code='E-DATA' if data.exists() else '')"
    ),
    "an error with a rule": "from secagg.errors import Refused; raise Refused('row 17', rule='task.nan')",
    "no memory": "raise MemoryError",
}
OF_TRAINING: dict[str, Prepare] = {
    "NaN": learns(LARGE, "Diverges"),
    "a metric beyond its lane": learns(LARGE),
    "no metric": learns(LARGE, "Silent"),
    "its own code": learns(LARGE, "Fails"),
    "no report": learns(LARGE, "Reports"),
}


@ENGINES
@pytest.mark.parametrize("purpose", ["sum", "training"])
def test_whatever_fails_on_data_leaves_the_same_at_the_same_moment(tmp_path: Path, engine: str, purpose: str) -> None:
    tasks = {name: sums(body) for name, body in OF_SUMS.items()} if purpose == "sum" else OF_TRAINING
    asked: dict[str, Any] = {"length": 7} if purpose == "sum" else {"top": 8.0}
    first: list[Saw] = []
    for place, prepare in enumerate(tasks.values()):
        chosen = played(tmp_path / str(place), engine, prepare, **asked)
        first = first or chosen.saw
        assert chosen.saw == first
        begun = chosen.moment("round_started")
        assert chosen.rules() == ["task.failed"]
        assert chosen.contributors() == [False]
    (told,) = [time for time, _, kind, _, _ in first if kind == "Refuse"]
    assert told == begun + STEP * PART


@ENGINES
def test_until_then_it_looks_like_one_that_works(tmp_path: Path, engine: str) -> None:
    """Also to an aggregator that proposes attempt after attempt: here two others never take part."""

    def of(body: str, place: str) -> Chosen:
        chosen = Chosen(tmp_path / place, engine, sums(body))
        for name in ("node-00", "node-01"):
            chosen.ward.nodes[name].policy = Policy(min_nodes=9)
        return chosen.play(lambda chosen: once(chosen, 2, length=7))

    works, fails = of("return np.ones(7)", "works"), of("return np.full(7, np.nan)", "fails")
    assert fails.known()
    kinds = [(saw[0], saw[2]) for saw in fails.saw if saw[2]]
    uploads = ("EncryptedInput",)
    assert kinds == [(saw[0], saw[2]) for saw in works.saw if saw[2] and saw[2] not in uploads]
    assert "Refuse" not in {kind for _, kind in kinds}


@ENGINES
def test_a_few_bits_and_then_a_person(tmp_path: Path, engine: str) -> None:
    """A bound between two data sets: three rounds fail, then no job is taken but the one that a person names.

    Persons at the others let every job have them, although it has another encoding than the one before.
    """
    chosen = Chosen(tmp_path, engine, learns(LARGE))

    async def script(chosen: Chosen) -> None:
        for name in (*(f"job-{number}" for number in range(3)), "fourth", "another", "named"):
            for node in chosen.ward.nodes.values():
                if node is not chosen.victim:
                    node.daemon.command({"command": "allow", "job": name, "overlap": True, "confirmed": True})
        for number in range(3):
            await once(chosen, name=f"job-{number}", top=4.0 + number)
        await chosen.victim.kill()
        chosen.ward.revive(VICTIM)
        await chosen.ward.wait(4)
        await once(chosen, name="fourth", top=7.0)
        await once(chosen, name="sums", length=7)
        chosen.victim.daemon.command({"command": "allow", "job": "named", "overlap": True, "confirmed": True})
        await once(chosen, name="another", top=100.0)
        await once(chosen, name="named", top=100.0)

    chosen.play(script)
    for number in range(3):
        assert chosen.rules(f"job-{number}")[:1] == ["task.failed"]
        assert chosen.known(f"job-{number}") <= {"task.input", "task.failed"}
    for name in ("fourth", "another"):
        assert set(chosen.rules(name)) == {"ledger.failures"}
        assert not chosen.worked(name)
    assert chosen.contributors("sums") == [True]
    assert chosen.worked("named")


def test_a_person_gives_a_job_a_count_of_its_own_and_no_more(tmp_path: Path) -> None:
    chosen = Chosen(tmp_path, "masks", learns(LARGE), max_failures=1, changing_sets=True, min_change=0.0)

    async def script(chosen: Chosen) -> None:
        await once(chosen, name="first", top=4.0)
        for name in ("again", "more"):
            chosen.victim.daemon.command({"command": "allow", "job": name, "overlap": False, "confirmed": True})
        await once(chosen, 40, name="again", top=4.0, rounds=3)
        await once(chosen, 12, name="more", top=4.0)

    chosen.play(script)
    assert chosen.rules("first")[0] == "task.failed"
    assert chosen.rules("again")[0] == "task.failed"
    assert set(chosen.rules("again")[1:]) == {"ledger.failures"}
    assert set(chosen.rules("more")) == {"task.failed"}


def test_attempts_at_a_round_that_failed_compute_nothing_again(tmp_path: Path) -> None:
    """A task that draws would give an aggregator another bit with every attempt."""
    count = "(data.parent / ('run-%d' % len(list(data.parent.glob('run-*'))))).touch(); return np.full(7, np.nan)"
    chosen = Chosen(tmp_path, "masks", sums(count))
    for name in ("node-00", "node-01"):
        chosen.ward.nodes[name].policy = Policy(min_nodes=9)

    async def script(chosen: Chosen) -> None:
        await once(chosen, 20, length=7)
        await chosen.victim.kill()
        chosen.ward.revive(VICTIM)
        await chosen.ward.wait(4)

    chosen.play(script)
    assert len(chosen.ward.named("round_aborted")) == 3
    assert len(list(chosen.victim.place.glob("run-*"))) == 1
    assert len(chosen.victim.ledger.failures()) == 1


# What people read -----------------------------------------------------------------------------------------------------


def test_its_own_people_read_what_was_wrong_and_others_whom_to_ask(tmp_path: Path) -> None:
    chosen = Chosen(tmp_path, "masks", sums("raise ValueError('row 17 of ward 3')"))
    read: list[Any] = []

    async def script(chosen: Chosen) -> None:
        await once(chosen, 1, length=7)
        read.append(chosen.victim.daemon.command({"command": "status"}))
        await chosen.ward.wait(10)
        read.append(chosen.victim.daemon.command({"command": "ledger"}))

    chosen.play(script)
    status, ledger = read
    assert status["refused"]["rule"] == "task.task"
    assert "ValueError: row 17 of ward 3" in status["refused"]["cause"]
    assert "failure 1 of 3 on this data for sums" in status["refused"]["remedy"]
    assert "its task failed on the data" in status["waiting"]["what"]
    assert ledger["failures"] == [{"task": "task", "purpose": "sum", "jobs": ["job"], "rounds": 1, "most": 3}]
    (told,) = [event for event in chosen.ward.named("step") if event["state"] == "refused"]
    assert told["reason"] == "it cannot take part; `secagg node status` at its institution says why"
    assert "row 17" not in str(chosen.ward.events)


def test_what_reads_no_data_is_told_by_its_name_at_once(tmp_path: Path) -> None:
    chosen = played(tmp_path, "masks", lambda node: node.data.unlink(), seconds=2, length=7)
    assert chosen.known() == {"task.data"}
    assert chosen.rules() == ["task.data"]
    assert chosen.victim.ledger.failures() == ()
