"""A light witness: believe an entry only if it is in a signed checkpoint that extends the last one accepted.

Rules (audit-log format): check consistency from the last checkpoint, write the new one down, then co-sign. Two
checkpoints of one size with different roots are evidence of a fork. Leaves to others: storing the last checkpoint.
"""

from msgspec import Struct

from secagg.errors import VerificationFailed
from secagg.ids import Count
from secagg.log.checkpoint import Checkpoint, open_checkpoint
from secagg.log.tree import leaf_hash, verify_consistency, verify_inclusion


class LogProof(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an entry stands in a signed checkpoint, and that this checkpoint extends the one of `old_size`."""

    index: Count
    checkpoint: bytes
    inclusion: tuple[bytes, ...]
    old_size: Count
    consistency: tuple[bytes, ...]


def check(leaf: bytes, proof: LogProof, origin: str, log_key: bytes, last: Checkpoint | None) -> Checkpoint:
    """Return the checkpoint that holds `leaf`, consistent with `last`.

    Raises: VerificationFailed naming what does not hold (`E-BEHIND` when the proof starts elsewhere than `last`).
    """
    checkpoint = open_checkpoint(proof.checkpoint, origin, log_key)
    verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.inclusion, checkpoint.root)
    if last is not None:
        if proof.old_size != last.size:
            raise VerificationFailed(
                f"The proof starts at {proof.old_size} entries, this witness stands at {last.size}.",
                "Ask for a proof from there.",
                code="E-BEHIND",
            )
        verify_consistency(last.size, last.root, checkpoint.size, checkpoint.root, proof.consistency)
    return checkpoint
