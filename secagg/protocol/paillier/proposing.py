"""What a trustee compares of a manifest: every leaf that follows from the roster, the custody and the formulas.

Rules (protocol §1): a trustee sees no job, so what only a job says is free here, with its reason. Every honest node
held it against the signed job before it signed an upload for exactly this manifest. All else is compared leaf by leaf.
A group other than 0 would be a second opening of a round, a model in a sum a second name for its input.
Leaves to others: seats, custody and directory (checks.py). How long a trustee keeps a round, and how many bytes of an
upload and an answer, is bounded here. It has no policy file that a job could be held against.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec.structs import replace

from secagg.errors import Refused
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol import manifest as rules
from secagg.protocol.deriving import FREE as FREE_TO_ALL
from secagg.protocol.deriving import differing, field_of
from secagg.protocol.manifest import Custody, Manifest
from secagg.protocol.paillier.layout import LONGEST_ANSWER, Layout

LONGEST = 7 * 86_400_000
"""Milliseconds of the longest round that a trustee keeps."""

_OF_JOB = "The job says it: nodes hold it against the signed one before they sign an upload for this manifest."

FREE: Mapping[str, str] = MappingProxyType(
    {
        **FREE_TO_ALL,
        **dict.fromkeys(
            (
                "round.job", "round.round", "purpose", "task", "job_digest", "architecture", "scalars",
                "lanes", "weight_bound", "step_ms", "chunk_bytes", "algorithm",
            ), _OF_JOB,
        ),
        "model": "Of a training round the nodes know it; of a sum it is compared.",
        "state": "As the model.",
        "groups": "The job says them; a trustee refuses sums that are longer than an answer may be.",
        "round_ms": "The job says it; a trustee refuses what is longer than it would keep a round.",
        "members": "Every seat is held against the roster, and each organisation has one.",
        "custody": "Trustees, numbers, key and acceptances are judged by rules of their own.",
    }
)  # fmt: skip
"""Leaves that a trustee does not derive, and why."""


def check_leaves(proposed: Manifest, federation: str, aggregator: str, colluders: int, custody: Custody) -> None:
    """Compare every leaf that a trustee can derive.

    Raises: Refused (`manifest.<field>`); ProtocolViolation (`manifest.groups`) when they fit no ciphertexts.
    """
    found = proposed.round
    mine = replace(
        proposed, engine="paillier", round=RoundId(federation, found.job, found.round, found.attempt),
        model=NO_DIGEST if proposed.purpose == "sum" else proposed.model, colluders=colluders,
        state=NO_DIGEST if proposed.purpose == "sum" else proposed.state,
        threshold=custody.threshold, share_threshold=custody.threshold, k_min=rules.fewest_entrusted(colluders),
        degree=0, prg=rules.PRG, suite=rules.SUITE, graph="complete", aggregator=aggregator,
    )  # fmt: skip
    path = differing(proposed, mine, {})
    if path is None and proposed.round_ms > LONGEST:
        path = "round_ms"
    if path is None and Layout(proposed).upload_bytes > LONGEST_ANSWER:
        path = "groups"
    if path is not None:
        raise _lie(field_of(path), path)


def _lie(name: str, path: str) -> Refused:
    return Refused(
        f"The manifest's {name} ({path}) does not follow from roster, custody and formulas.",
        "This trustee takes no part in the round.", rule=f"manifest.{name}",
    )  # fmt: skip
