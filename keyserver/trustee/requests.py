"""What an organisation's commands ask its trustee over the admin socket, and what it answers.

Rules: as secagg.daemon.requests and secagg.daemon.answers.
"""

from typing import Annotated

from secagg.daemon.answers import Answer, RefusalShown, RosterVersion
from secagg.daemon.config import means
from secagg.daemon.requests import Request
from secagg.daemon.waits import Waiting


class TrusteeStatus(Answer, frozen=True):
    """How a trustee stands."""

    roster: RosterVersion
    keys: Annotated[tuple[str, ...], means("SHA-256 of each key that it holds a share of, in hexadecimal.")]
    rounds: Annotated[dict[str, str], means("By round that is not over, where it stands.")]
    opened: Annotated[int, means("How many rounds it has opened.")]
    waiting: Annotated[tuple[Waiting, ...], means("What it waits for.")]
    evidence: Annotated[tuple[str, ...], means("The rounds that it keeps evidence of.")]
    refused: Annotated[RefusalShown | None, means("The last round that it refused.")]


class Status(Request[TrusteeStatus], frozen=True, tag="status"):
    """How the trustee stands."""
