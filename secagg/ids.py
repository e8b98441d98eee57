"""Names and identifiers that every room uses.

Rules: a name is matched whole (`\\A…\\Z`: msgspec searches patterns, and `$` would accept a newline). An identifier
of a round is complete, so that nothing signed for one round means anything in another (protocol §1).
"""

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
Organisation = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{1,64}\Z")]
"""The name of an institution, of which one may have several members."""

Word = Annotated[str, Meta(max_length=128)]
Sentence = Annotated[str, Meta(max_length=512)]
"""Texts of a peer that are no names: both are bounded where they are read, and shown by secagg.daemon.plain only."""

Rule = Annotated[str, Meta(pattern=r"\A[a-z0-9._-]{1,64}\Z")]
"""The name of a rule; which there are, and what people read of them: secagg.protocol.refusals."""

Listed = Annotated[str, Meta(min_length=1, max_length=64)]
"""A name in a list that is compared whole with names known already; matching each again would cost as much as all."""

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Ordinal = Annotated[int, Meta(ge=1, lt=2**31)]

NO_DIGEST = bytes(32)
EVERYBODY = "*"

STEPS = ("AdvertiseKeys", "ShareKeys", "MaskedInput", "ConsistencyCheck", "Unmask")
"""The five steps of a round of engine `masks`, in order; logs, tables and drop-out statements use these words."""


class RoundId(Struct, frozen=True, forbid_unknown_fields=True):
    """One attempt at one round of one group of one job in one federation."""

    federation: Name
    job: Name
    round: Ordinal
    attempt: Ordinal = 1
    group: Annotated[int, Meta(ge=0, lt=2**31)] = 0

    @property
    def opening(self) -> tuple[str, str, int]:
        """What may be opened once, whatever the attempt or the group (protocol §3)."""
        return (self.federation, self.job, self.round)

    def label(self) -> str:
        """Return a short unique text for file names and log lines, for example `heart-risk.3.1.0`."""
        return f"{self.job}.{self.round}.{self.attempt}.{self.group}"
