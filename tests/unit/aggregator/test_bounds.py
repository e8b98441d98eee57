"""How a job ends that waited in vain, in words: what gets on is offered only where it would."""

from aggregator import bounds
from aggregator.records import Job
from secagg.ids import EVERYBODY
from secagg.protocol.rehearsal import AGGREGATOR
from secagg.protocol.session import job_scope
from secagg.wire.codec import encode
from secagg.wire.signed import sign
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
