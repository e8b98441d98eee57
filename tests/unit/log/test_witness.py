"""A light witness believes an entry only in a checkpoint that extends its last one."""

import pytest
from msgspec.structs import replace

from secagg.crypto.sign import SigningKey
from secagg.errors import VerificationFailed
from secagg.log.checkpoint import Checkpoint, read_checkpoint
from secagg.log.log import MemoryLog
from secagg.log.witness import LogProof, check

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
ORIGIN = "trial/rounds"


def history(*leaves: bytes, then: tuple[bytes, ...] = ()) -> tuple[MemoryLog, Checkpoint]:
    """Return a log after `leaves` and `then`, and its checkpoint after `leaves`."""
    log = MemoryLog(ORIGIN, ORIGIN, KEY)
    for leaf in leaves:
        log.append(leaf)
    last = read_checkpoint(log.publish())
    for leaf in then:
        log.append(leaf)
    log.publish()
    return log, last


def believe(leaf: bytes, proof: LogProof, last: Checkpoint | None) -> Checkpoint:
    return check(leaf, proof, ORIGIN, KEY.public, last)


def test_an_extension_is_believed() -> None:
    log, last = history(b"a", b"b", b"c", then=(b"d", b"e"))
    assert believe(b"d", log.prove(3, 3), last).size == 5


def test_a_fork_is_seen() -> None:
    _, last = history(b"a", b"b", b"c")
    other, _ = history(b"a", b"x", b"c", then=(b"d",))
    with pytest.raises(VerificationFailed, match="not an extension"):
        believe(b"d", other.prove(3, 3), last)


def test_two_checkpoints_of_one_size_are_seen() -> None:
    _, last = history(b"a", b"b")
    other, _ = history(b"a", b"x")
    with pytest.raises(VerificationFailed, match="Two checkpoints of one size differ"):
        believe(b"x", other.prove(1, 2), last)


def test_a_rollback_is_seen() -> None:
    _, last = history(b"a", b"b", b"c")
    short, _ = history(b"a", b"b")
    with pytest.raises(VerificationFailed, match="The log shrank from 3 to 2"):
        believe(b"b", replace(short.prove(1), old_size=3), last)


def test_a_proof_from_another_size_is_refused() -> None:
    log, last = history(b"a", b"b", b"c", then=(b"d",))
    with pytest.raises(VerificationFailed, match="this witness stands at 3"):
        believe(b"d", log.prove(3, 2), last)


def test_without_a_past_any_signed_checkpoint_is_the_first() -> None:
    log, _ = history(b"a", b"b")
    assert believe(b"b", log.prove(1), None).size == 2


@pytest.mark.parametrize("field", ["index", "inclusion", "consistency", "checkpoint"])
def test_every_changed_field_is_refused(field: str) -> None:
    log, last = history(b"a", b"b", b"c", then=(b"d", b"e"))
    proof = log.prove(3, 3)
    changed = {
        "index": replace(proof, index=2),
        "inclusion": replace(proof, inclusion=proof.inclusion[:-1]),
        "consistency": replace(proof, consistency=proof.consistency[:-1]),
        "checkpoint": replace(proof, checkpoint=proof.checkpoint.replace(b"\n5\n", b"\n6\n")),
    }[field]
    with pytest.raises(VerificationFailed):
        believe(b"d", changed, last)
