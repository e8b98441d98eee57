"""From a round's published sum to values and to the next model: the step that aggregator, nodes and auditors repeat.

Rules: everything needed follows from the signed job and the size of its cohort. So a member that was away in a round
computes the same bytes as one that was there. The arithmetic is the algorithm's (secagg.learning.algorithm), and a
wrong canary makes a result worthless. Leaves to others: believing a result (its log entry), storing models.
Source: docs/architecture.md "The path of an update", docs/protocol.md §2.
"""

from secagg.errors import Refused
from secagg.ids import RoundId
from secagg.learning import algorithms
from secagg.learning.algorithm import Algorithm, Next, State, Totals
from secagg.learning.algorithms import Chosen
from secagg.learning.layout import Arrays
from secagg.protocol.lanes import Sums, decode_sums
from secagg.protocol.manifest import JobSpec, Lanes, Published, lane_groups
from secagg.protocol.published import words_of


def lanes_of(spec: JobSpec) -> Lanes:
    """Return the lanes of every round of a job."""
    return Lanes(
        groups=lane_groups(spec, len(spec.cohort)), scalars=spec.scalars, lanes=spec.lanes
    )


def sums_of(spec: JobSpec, published: Published, about: RoundId) -> Sums:
    """Return the published result of a job's round `about` in clear values.

    Raises: ProtocolViolation when it is not in the one form of a result (published.py), or a canary is wrong.
    """
    lanes = lanes_of(spec)
    words = words_of(published, lanes.groups, spec.cohort, about)
    return decode_sums(lanes, words, len(published.contributors))


def algorithm_of(spec: JobSpec) -> Algorithm:
    """Return what a signed job trains by; a sum trains by nothing, and names the default.

    Raises: Refused (`algorithm.name`, `algorithm.numbers`, `algorithm.sum`).
    """
    if spec.purpose == "sum" and spec.algorithm != Chosen():
        raise Refused(
            f"The job sums a vector and names algorithm {spec.algorithm.name}.", "Leave [algorithm] out of a sum.",
            rule="algorithm.sum",
        )  # fmt: skip
    return algorithms.algorithm_of(spec.algorithm)


def next_model(spec: JobSpec, arrays: Arrays, state: State, sums: Sums) -> Next:
    """Return model and state after a round of a training job; before its first result the state is empty.

    Raises: Refused as `algorithm_of`; BadInput when the sums do not fit the model, or give a value that is not finite.
    """
    algorithm = algorithm_of(spec)
    totals = Totals(sums.vectors, sums.scalars["examples"], spec.weight_bound)
    return algorithm.step(arrays, state or algorithm.begin(spec.size), totals)
