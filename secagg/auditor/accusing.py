"""The verdict on evidence that an aggregator lied, which somebody brings as a file.

Rules: it is judged by what is in it; a bundle only says whether the key is one of that federation's aggregators.
Opens no socket. Leaves to others: what evidence is (secagg.protocol.round.lie), printing (command.py).
"""

from pathlib import Path

from msgspec import Struct

from secagg.auditor.bundle import Bundle
from secagg.auditor.evidence import Evidence
from secagg.errors import BadInput, VerificationFailed
from secagg.protocol.round.lie import check_lie


class Accused(Struct, frozen=True):
    """Whose lie is proven: the aggregator, its key (hex), the round, and what does not fit."""

    aggregator: str
    key: str
    round: str
    cause: str


def judge(file: Path, bundle: Path | None = None, root: str | None = None) -> Accused:
    """Judge the evidence in a file.

    Raises: BadInput when it cannot be read; VerificationFailed when it proves nothing, or, with a bundle, is about no
    aggregator of that federation.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.", "Name the file that the node kept.") from None
    proven = check_lie(data)
    if bundle is not None:
        found = Evidence(Bundle(bundle))
        federation, stated = found.bundle.root()
        if root is not None and root != stated:
            raise VerificationFailed(f"The bundle's root is {stated}, not the pinned {root}.", "Ask who made it.")
        members = [member for roster in found.rosters.values() for member in roster.members]
        keys = {member.sign_key for member in members if member.role == "aggregator"}
        if proven.round.federation != federation or proven.key not in keys:
            raise VerificationFailed("The evidence is about no aggregator of this bundle.", "Ask who brought it.")
    return Accused(proven.aggregator, proven.key.hex(), proven.round.label(), proven.cause)
