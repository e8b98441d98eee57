"""What happened in one round, in sentences, from the log alone."""

from collections.abc import Iterator

from secagg.auditor.evidence import Entry, Evidence
from secagg.daemon.writing import plain
from secagg.errors import BadInput
from secagg.log.statements import Aborted, Contributors, DropOut, ManifestLogged, OfRound, Opening, Refusal, Result
from secagg.protocol.refusals import sentence


def tell(evidence: Evidence, number: int, job: str | None) -> Iterator[str]:
    """Yield one line per statement about round `number` of `job` (of every job when None).

    Raises: BadInput when the log knows no such round.
    """
    said = False
    for entry, statement in evidence.of(OfRound):
        if statement.round == number and job in (None, statement.job):
            said = True
            yield plain(f"{entry.index:>5}  {statement.job}  {_say(entry, statement)}")
    if not said:
        raise BadInput(f"The log knows no round {number}.", "See `secagg audit log` for what it holds.")


def _say(entry: Entry, statement: OfRound) -> str:
    match statement:
        case ManifestLogged():
            return f"attempt {statement.attempt} proposed, manifest {statement.manifest[:16]}"
        case DropOut():
            return f"{statement.member} dropped at {statement.step}: {statement.reason}"
        case Contributors():
            return f"frozen: {', '.join(member.member for member in statement.members)}"
        case Opening():
            return f"opened with the answers of {', '.join(answer.member for answer in statement.answers)}"
        case Result():
            return f"result over {len(statement.contributors)} contributors"
        case Aborted():
            return f"aborted at {statement.step}: {statement.reason}; missing {', '.join(statement.missing)}"
        case Refusal():
            return f"{statement.member} refused by {statement.rule}: {sentence(statement.rule)}"
        case _:
            return type(entry.statement).__name__
