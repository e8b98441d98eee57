"""Check 2: both checkpoints are signed by their logs, and every opening had its witness quorum (protocol §6.2).

The witnesses of a round are the manifest's members, or its trustees where they open the sum. A quorum of them co-signed
the checkpoint of the freeze and the directory checkpoint that the manifest names.
"""

from secagg.auditor.evidence import DIRECTORY, ROUNDS, Entry, Evidence, Finding, Violation, engine_of, proposal
from secagg.errors import VerificationFailed
from secagg.log.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, verify_cosignature
from secagg.log.growing import Tree
from secagg.log.statements import Contributors, Opening
from secagg.log.tree import leaf_hash
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.messages import Cosignature, Witnesses
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK

NUMBER, TITLE = 2, "log and witness signatures"


def check(evidence: Evidence) -> Finding:
    """Check the logs' own signatures, then each opening's quorum.

    Raises: VerificationFailed; Violation naming the opening.
    """
    federation, _ = evidence.bundle.root()
    _signed(evidence, f"{federation}/{DIRECTORY}", DIRECTORY, [evidence.online_key()])
    _signed(evidence, f"{federation}/{ROUNDS}", ROUNDS, [member.sign_key for member in evidence.aggregators()])
    trees = {name: _tree(evidence.log(name)[0]) for name in (DIRECTORY, ROUNDS)}
    frozen_at: dict[str, int] = {}
    for entry, contributors in evidence.of(Contributors):
        frozen_at.setdefault(contributors.manifest, entry.index)
    openings = list(evidence.of(Opening))
    for entry, opening in openings:
        manifest = proposal(evidence, entry, opening.manifest).manifest
        witnesses = decode(Witnesses, evidence.bundle.file(opening.witnesses), LIMIT_BULK)
        frozen = _state_of(trees, ROUNDS, witnesses.checkpoint, entry)
        if frozen_at.get(opening.manifest, frozen.size) >= frozen.size:
            raise Violation(entry, "the witnessed checkpoint does not cover the freeze")
        _quorum(entry, manifest, frozen, witnesses.rounds)
        _quorum(entry, manifest, _state_of(trees, DIRECTORY, manifest.directory, entry), witnesses.directory)
    return Finding("pass", f"2 logs, {len(openings)} openings witnessed")


def _signed(evidence: Evidence, origin: str, log: str, keys: list[bytes]) -> None:
    """Check a log's own signature under one of `keys`: the aggregator's may have changed since the last manifest."""
    broken = VerificationFailed("The directory log names no aggregator.", "Ask the operator for the whole log.")
    for key in keys:
        try:
            open_checkpoint(evidence.log(log)[1], origin, key)
            return
        except VerificationFailed as error:
            broken = error
    raise broken


def _tree(leaves: list[bytes]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def _state_of(trees: dict[str, Tree], log: str, note: bytes, entry: Entry) -> Checkpoint:
    """Return a checkpoint once it is an earlier state of the log in the bundle."""
    found = read_checkpoint(note)
    if found.size > trees[log].size or trees[log].root(found.size) != found.root:
        raise Violation(entry, f"the witnessed checkpoint is not a state of the {log} log: a fork")
    return found


def _quorum(entry: Entry, manifest: Manifest, state: Checkpoint, lines: tuple[Cosignature, ...]) -> None:
    engine = engine_of(entry, manifest)
    keys, needed, signed = engine.witnesses(manifest), engine.quorum(manifest), set()
    for line in lines:
        name = f"{manifest.round.federation}/{line.member}"
        try:
            verify_cosignature(state, line.line, name, keys[line.member])
        except (VerificationFailed, KeyError):
            raise Violation(entry, f"the co-signature of {line.member} does not verify") from None
        signed.add(line.member)
    if len(signed) < needed:
        raise Violation(entry, f"{len(signed)} witnesses are fewer than the quorum of {needed}")
