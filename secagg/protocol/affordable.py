"""What a signed job may ask of an institution's memory, disk and time, at most.

Rules (protocol §1): every number that a job chooses is held against a limit of the institution's own policy. That is
before anything is fetched or allocated for it. A formula or the wire bounds the rest, and a test names which does.
Leaves to others: reading the policy (node.policy), telling a refusal (node.jobs).
"""

from msgspec import Struct

from secagg.errors import Refused
from secagg.ids import Count, Ordinal
from secagg.protocol.manifest import JobSpec

DAY = 86_400_000


class Most(Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of `[policy]`; times in milliseconds."""

    max_parameters: Ordinal = 2**28
    max_rounds: Ordinal = 10_000
    max_members: Ordinal = 1_000
    max_metrics: Count = 64
    max_step_time: Ordinal = DAY
    max_round_time: Ordinal = 7 * DAY


def check_affordable(spec: JobSpec, most: Most) -> None:
    """Hold a job against the limits.

    Raises: Refused (`policy.max_…`) naming what the job asks for and what is allowed.
    """
    _within("max_parameters", spec.parameters, most.max_parameters)
    _within("max_rounds", spec.rounds, most.max_rounds)
    _within("max_members", len(spec.cohort), most.max_members)
    _within("max_metrics", len(spec.scalars), most.max_metrics)
    _within("max_step_time", spec.step_ms, most.max_step_time)
    _within("max_round_time", spec.round_ms, most.max_round_time)


def _within(name: str, asked: int, most: int) -> None:
    if asked > most:
        raise Refused(
            f"This institution's policy {name} allows {most:,}, the job asks for {asked:,}.",
            f"Change the job, or set {name} in [policy] of node.toml.", rule=f"policy.{name}",
        )  # fmt: skip
