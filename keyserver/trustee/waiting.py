"""What a trustee waits for, in words for people: for whom, for what, since when, until when.

Rules: times are wall time, for people and never for decisions. A round ends with its time, outside of rounds a trustee
waits as long as it takes. Leaves to others: showing it (commands). Source: docs/operations.md "Commands".
"""

from keyserver.trustee.records import stage
from secagg.daemon.participant import Round
from secagg.daemon.waits import Waiting
from secagg.protocol.round.asked import Stage


def waiting(
    known: bool, boot: str, keys: int, rounds: list[Round], missing: tuple[str, ...], since: int
) -> list[Waiting]:
    """Return what this trustee waits for.

    `boot` is where its start stands (secagg.daemon.booting); `missing` are members whose uploads are not multiplied in.
    """
    if not known:
        return [Waiting("keyserver", "the first roster", since)]
    if boot == "fenced":
        return [Waiting("nobody", "this is an old copy of the trustee, which takes part in nothing any more", since)]
    if boot == "asking":
        return [Waiting("keyserver", "word that this is the newest start of this trustee", since)]
    if not keys:
        return [Waiting("the dealer of a ceremony", "a share of a key to accept", since)]
    if not rounds:
        return [Waiting("aggregator", "a round", since)]
    return [_in_round(kept, missing) for kept in rounds]


def _in_round(kept: Round, missing: tuple[str, ...]) -> Waiting:
    name = f"round {kept.scope.round.round} of {kept.scope.round.job}"
    match stage(kept):
        case Stage.JOINED:
            return Waiting("aggregator", f"the frozen uploads of {name}", kept.since, kept.until)
        case Stage.AGREED:
            return Waiting("aggregator", f"the other trustees' witness lines in {name}", kept.since, kept.until)
        case Stage.OPENS if missing:
            return Waiting("aggregator", f"the uploads of {', '.join(missing)} in {name}", kept.since, kept.until)
        case Stage.OPENS:
            return Waiting("this trustee", f"its own decryption in {name}", kept.since, kept.until)
        case Stage.ANSWERED:
            return Waiting("aggregator", f"the result of {name}", kept.since, kept.until)
        case _:
            return Waiting("aggregator", f"the end of {name}", kept.since, kept.until)
