"""Check 1: the tiles of both logs give the root that the checkpoint states."""

from secagg.auditor.evidence import DIRECTORY, ROUNDS, Evidence, Finding
from secagg.errors import VerificationFailed
from secagg.log.checkpoint import read_checkpoint
from secagg.log.tree import leaf_hash, root

NUMBER, TITLE = 1, "tiles give the root of the checkpoint"


def check(evidence: Evidence) -> Finding:
    """Rebuild both roots from the entries.

    Raises: VerificationFailed naming the log.
    """
    sizes = []
    for name in (DIRECTORY, ROUNDS):
        leaves, note = evidence.log(name)
        stated = read_checkpoint(note)
        if stated.size != len(leaves) or stated.root != root([leaf_hash(leaf) for leaf in leaves]):
            raise VerificationFailed(
                f"The {name} log's {len(leaves)} entries do not give the root of its checkpoint of {stated.size}.",
                "Keep the bundle: entries were changed, added or removed.",
            )
        sizes.append(f"{name} {stated.size}")
    return Finding("pass", f"entries: {', '.join(sizes)}")
