"""By which rule this node takes no part in a round: what its own people read, and what others are told, and when.

How to read it: `fault` is known before any data is looked at, and told at once by its name. `failed`
came after, so it is written down, told to this institution's people alone, and kept back until `due`.
Rules (protocol §7): what goes wrong because of a value tells the value to whoever chose the job. So others hear of it
one rule whatever went wrong, at a moment that follows from the job's step time alone. Until then this node looks like
one that still works, and who fails later than that moment stays silent. A round that failed is not computed again,
whatever attempt at it is proposed. How many may fail is bounded, also of those that were over by then. The text of a
fault may speak of the data: it never leaves.
Leaves to others: ending the round (node.rounds), the rules of the count (secagg.protocol.failing).
"""

from collections.abc import Iterable, Iterator

from node import records
from node.answers import FailureShown
from node.inputs import Inputs
from node.jobs import Jobs
from node.records import Job
from secagg.crypto.derive import sha256
from secagg.daemon.ledger import Ledger
from secagg.daemon.participant import Envelope, Refusal, find_refusal, tell
from secagg.daemon.turn import Turn
from secagg.errors import Refused, SecaggError
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol import failing, refusals
from secagg.protocol.failing import FAILED, KINDS, Asked, Failed
from secagg.wire.signed import Scope

PART = 3 / 4
"""When a failure is told, as a part of the step time since the proposal: while there is time to go on without."""


class Failures:
    """What failed here on data, as one node of the institution sees it."""

    def __init__(self, inputs: Inputs, root: str) -> None:
        """`root` is the fingerprint of the federation, as it is pinned."""
        self._inputs, self._root = inputs, sha256(root.encode())

    def judge(self, job: Job, round_id: RoundId, turn: Turn) -> None:
        """Refuse a round of which others know that it failed here, and a job once too many rounds did.

        A round that failed and was not told yet is entered again, so that nobody learns when it failed.
        Raises: Refused (`ledger.failures`, `task.failed`).
        """
        if not self.failed(round_id):
            ledger, most = self._inputs.ledger, self._inputs.policy.max_failures
            failing.judge(ledger.failures(), self._asked(job), most, ledger.allowed())
        elif records.find_told(turn, round_id):
            last = find_refusal(turn)
            same = last is not None and last.round.opening == round_id.opening
            cause, remedy = (last.cause, last.remedy) if last and same else ("This round failed here before.", "")
            raise Refused(cause, remedy, rule=FAILED)

    def failed(self, round_id: RoundId) -> bool:
        """Say whether an attempt at this round failed here on data, and nobody has allowed its job since."""
        ledger = self._inputs.ledger
        return failing.failed(ledger.failures(), self._root, round_id, ledger.allowed())

    def count(self, job: Job, round_id: RoundId, turn: Turn) -> str:
        """Write a failure down and return what it means for the next ones. Raises: TryLater."""
        asked, ledger = self._asked(job), self._inputs.ledger
        most, name = self._inputs.policy.max_failures, job.spec.name
        with ledger.hold():
            if not self.failed(round_id):
                words = len(ledger.allowed())
                made = Failed(round_id, self._root, asked.purpose, asked.source, words, turn.now())
                Ledger(turn, ledger).fail(made)
        spent = failing.spent(ledger.failures(), asked, ledger.allowed())
        told = f"It is failure {spent} of {most} on this data for {KINDS[asked.purpose]}; others learn only that"
        told += " this institution cannot take part."
        return told if spent < most else f"{told} From now on a person allows such jobs: secagg node allow {name}."

    def hindrance(self, job: Job) -> tuple[str, Refused] | None:
        """Return why a job is refused until a person allows it, if it is, and that a person can change it."""
        if job.over or job.spec.task not in self._inputs.tasks:
            return None
        ledger = self._inputs.ledger
        try:
            failing.judge(ledger.failures(), self._asked(job), self._inputs.policy.max_failures, ledger.allowed())
        except Refused as refusal:
            return "people", refusal
        return None

    def shown(self) -> tuple[FailureShown, ...]:
        """Return every task whose data a round failed on, how often and in which jobs."""
        failures, most = self._inputs.ledger.failures(), self._inputs.policy.max_failures
        found: list[FailureShown] = []
        for task in self._inputs.tasks:
            source = self._inputs.source(task)
            for purpose in KINDS:
                here = [entry for entry in failures if (entry.source, entry.purpose) == (source, purpose)]
                jobs = tuple(sorted({entry.round.job for entry in here}))
                if here:
                    found.append(FailureShown(task, purpose, jobs, len(here), most))
        return tuple(found)

    def _asked(self, job: Job) -> Asked:
        spec = job.spec
        return Asked((spec.federation, self._root, spec.name), spec.purpose, self._inputs.source(spec.task))


class Leaving:
    """How this node takes no part in a round."""

    def __init__(self, envelope: Envelope, jobs: Jobs, failures: Failures) -> None:
        self._envelope, self._jobs, self._failures = envelope, jobs, failures

    def fault(self, scope: Scope, error: SecaggError, turn: Turn) -> None:
        """Say by which rule, because the institution's own task, or the job, is wrong whatever the data is."""
        rule = refusals.named(error) if isinstance(error, Refused) else refusals.of_task(error)
        tell(Refusal(scope.round, rule, error.cause, error.remedy), turn)
        self._envelope.refuse(scope, rule, turn)

    def failed(self, scope: Scope, error: SecaggError, turn: Turn) -> None:
        """Write down what failed on data, and tell it to this institution's people. Raises: TryLater."""
        meaning = self._failures.count(self._jobs.job(scope.round.job, turn), scope.round, turn)
        remedy = f"{error.remedy} {meaning}".strip()
        tell(Refusal(scope.round, refusals.of_task(error), error.cause, remedy), turn)

    def late(self, label: str, error: SecaggError, turn: Turn) -> None:
        """Write down what failed on data in an attempt that was over by then; it is told to nobody else.

        Else whoever ends attempts in time would see, as often as it likes, whether they fail. An update that did not
        fail serves the next attempt at once.
        """
        name, *numbers = label.split(".")
        place = RoundId(self._jobs.job(name, turn).spec.federation, name, *map(int, numbers))
        self.failed(Scope(place, NO_DIGEST), error, turn)

    def due(self, scope: Scope, turn: Turn) -> bool:
        """Tell others that the task failed, if it did by now; say whether."""
        if not self._failures.failed(scope.round):
            return False
        records.put_told(turn, scope.round)
        self._envelope.refuse(scope, FAILED, turn)
        return True


def lines(failures: Iterable[FailureShown]) -> Iterator[str]:
    """Yield what `Failures.shown` returned, in lines for a terminal."""
    for one in failures:
        yield f"{one.task}: {one.rounds} of {one.most} rounds of {KINDS[one.purpose]} failed on its data"
        yield f"  in {', '.join(one.jobs)}; after {one.most} a job needs secagg node allow JOB"
