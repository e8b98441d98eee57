"""How a job ends that waited in vain, in words: what gets on is offered only where it would."""

import pytest

from aggregator import bounds
from aggregator.bounds import Need
from aggregator.records import Job
from secagg.crypto.derive import sha256
from secagg.ids import EVERYBODY, NO_DIGEST, RoundId
from secagg.protocol import fitting
from secagg.protocol.binding import NOTHING, Bound, Only, seats_digest
from secagg.protocol.fitting import Known
from secagg.protocol.round.phases import Failed, Out
from secagg.protocol.session import job_scope
from secagg.rehearsal.federation import AGGREGATOR, propose
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, sign
from support.federation import make

FEDERATION = make(4)
NAMES = FEDERATION.spec.cohort
SIGNED = sign(
    FEDERATION.aggregator, "JobSpec", job_scope(FEDERATION.spec), AGGREGATOR, EVERYBODY, encode(FEDERATION.spec)
)
JOB = Job(0, FEDERATION.spec, SIGNED, 0)


def test_going_on_without_one_of_four_says_with_whom_the_data_stays() -> None:
    end = bounds.first(JOB, NAMES[:1])
    assert f"secagg job submit FILE --without {NAMES[0]}" in end.remedy
    assert end.remedy.endswith(f"the data stays with {', '.join(NAMES[1:])}.")


def test_going_on_is_not_offered_where_too_few_are_left() -> None:
    for missing in (NAMES[:2], NAMES):
        assert bounds.first(JOB, missing).remedy == f"Submit it again when {', '.join(missing)} are back."


# A round that failed as often as it may -------------------------------------------------------------------------------

SCOPE = Scope(RoundId("fed", "job", 1, attempt=3), NO_DIGEST)
TRIED = "Round 1 failed 3 times, the last in MaskedInput: 1 of 4 members at MaskedInput, 3 are needed"


def spent(reasons: dict[str, str]) -> bounds.End:
    """Return how a job ends whose round failed for these reasons of members."""
    out = tuple(Out(name, "MaskedInput", reason) for name, reason in reasons.items())
    reason = "1 of 4 members at MaskedInput, 3 are needed"
    return bounds.spent(JOB, Failed(SCOPE, "MaskedInput", reason, out), 3, Need(), "job-2")


def left_out(only: Only) -> str:
    """Return what is said of a member whose input is bound like this, and is in no set that can be frozen."""
    manifest = propose(FEDERATION)
    given = {name: Bound(sha256(name.encode()), Only()) for name in NAMES[1:]}
    given |= {NAMES[0]: Bound(sha256(b"bound"), only)}
    return fitting.left_out(given, manifest, Known(roster=manifest.members))[NAMES[0]]


def test_an_input_of_which_no_end_is_known_is_told_with_where_to_look_and_what_gets_on() -> None:
    reason = left_out(NOTHING)
    assert reason == (
        "its data may be in an earlier sum whose end it does not know, or was in sums over more than one set"
    )
    end = spent({NAMES[0]: reason, NAMES[2]: reason})
    assert end.reason == f"{TRIED}; node-00: {reason}"
    assert end.rule == "input.same"
    assert end.remedy == (
        "At node-00, node-02: secagg node ledger show says which it is. Where it asks for an end, submit the job again "
        "once that is known; else secagg node allow job-2 --overlap, at every institution of those sets."
    )


def test_an_input_that_is_bound_to_another_set_is_told_as_before() -> None:
    reason = left_out(Only("same", seats_digest(propose(FEDERATION).members[:2])))
    end = spent({NAMES[0]: reason})
    assert end.reason == f"{TRIED}; node-00: its data was summed over others before, and may be summed over these only"
    assert end.remedy.startswith("To go on without for good: secagg node allow job-2 --overlap")
    both = spent({NAMES[0]: reason, NAMES[1]: left_out(NOTHING)})
    assert both.remedy.startswith("To go on without for good"), "what is known of a set says more"


@pytest.mark.parametrize(
    ("rule", "cause", "remedy"),
    [
        (
            "ledger.failures", "too many rounds failed on its data: a person there has to allow the job first",
            "At node-00, node-02: mend what failed and read what job asks for. Then: secagg node allow job-2, there, "
            "and submit it again.",
        ),
        (
            "ledger.unlisted", "a person there has to allow the job first",
            "secagg node allow job-2, at node-00, node-02; then submit it again.",
        ),
    ],
)  # fmt: skip
def test_a_job_that_a_person_has_to_allow_says_where_and_by_which_command(rule: str, cause: str, remedy: str) -> None:
    told = f"refused: {rule}"
    end = spent({NAMES[0]: told, NAMES[1]: "no message before the deadline", NAMES[2]: told})
    assert end == bounds.End(f"{TRIED}; node-00: {cause}", rule, remedy)


def test_what_no_person_can_allow_is_told_without_a_command() -> None:
    assert spent({NAMES[0]: "refused: task.failed"}) == bounds.End(TRIED)
