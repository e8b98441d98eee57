"""What engine `paillier` asks of a job before it is signed: a key that may be used, an answer that fits one message.

Leaves to others: the trustees, held against the roster (secagg.protocol.custody).
"""

from msgspec import UNSET

from secagg.errors import BadInput
from secagg.protocol.manifest import JobSpec, Numbers, fewest_entrusted
from secagg.protocol.paillier.door import admit
from secagg.protocol.paillier.layout import LONGEST_ANSWER
from secagg.protocol.paillier.layout import upload_bytes_of as upload_bytes_of


def check(spec: JobSpec) -> None:
    """Say what this engine cannot do for a job. Raises: BadInput, ProtocolViolation."""
    if spec.custody is UNSET:
        raise BadInput("The job names no trustees.", "Give it a custody, or use engine masks.")
    admit(spec.custody)
    if spec.graph != "complete":
        raise BadInput("Members of this engine share nothing with each other.", "Leave [cohort] graph out.")
    size = upload_bytes_of(spec)
    if size > LONGEST_ANSWER:
        raise BadInput(
            f"The sum has {size} bytes of ciphertexts, a trustee's answer at most {LONGEST_ANSWER}.",
            "Use fewer bits or parameters, or engine masks.",
        )


def numbers(spec: JobSpec, colluders: int) -> Numbers:
    """Return the numbers of every round of a job: the trustees' threshold, and no shares among members.

    Raises: BadInput when the job names no trustees.
    """
    if spec.custody is UNSET:
        raise BadInput("The job names no trustees.", "Give it a custody, or use engine masks.")
    return Numbers(spec.custody.threshold, fewest_entrusted(colluders), 0, spec.custody.threshold)
