"""Row 36: a result that can be guessed cannot be confirmed by the log: its digest is an HMAC under a salt.

The attacker holds the round log and the directory as they are published, the manifest, and everything but the salt. It
enumerates every histogram that four members could have. Members get the salt with the result, auditors with the bundle.
"""

import hmac
import json
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from msgspec.structs import replace

from secagg.crypto.derive import hmac_sha256, sha256
from secagg.errors import BadInput, Refused
from secagg.log.statements import Result, parse_statement
from secagg.log.tree import leaf_hash
from secagg.protocol import engines
from secagg.protocol.acceptance import Policy
from secagg.protocol.lanes import encode_sum
from secagg.protocol.manifest import GroupSum, Published
from secagg.protocol.masks import node
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import Federation, party, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.vector.ring import add_into
from secagg.wire.codec import encode
from support.adversary import proposal_of
from support.federation import make

BINS, MEMBERS = 3, 4
PATIENTS = ([1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1])


class Log(NamedTuple):
    """One round's log, and what only members have."""

    federation: Federation
    table: Table
    end: Closed
    leaves: list[bytes]

    @property
    def digests(self) -> set[str]:
        """Return every digest that the log and its checkpoints hold."""
        found = {str(value) for leaf in self.leaves for value in _strings(json.loads(leaf))}
        directory = self.federation.directory
        found |= {str(value) for at in range(directory.size) for value in _strings(json.loads(directory.leaf(at)))}
        return {text for text in found if len(text) == 64}


def _strings(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    else:
        yield value


def histogram(seed: bytes = b"seed") -> Log:
    federation = make(MEMBERS, seed, purpose="sum", bits=64, scalars=(), parameters=BINS)
    manifest = propose(federation)
    counts = zip(federation.members, PATIENTS, strict=True)
    inputs = {name: encode_sum(manifest, np.array(count, dtype=float)) for name, count in counts}
    seated = table(federation, inputs, {})
    end = run_round(seated)
    assert isinstance(end, Closed)
    return Log(federation, seated, end, [seated.log.leaf(at) for at in range(seated.log.size)])


def candidates(log: Log) -> Iterator[Published]:
    """Yield every result that the round could have had, exactly as it would be published."""
    manifest = log.table.manifest
    for counts in product(range(MEMBERS + 1), repeat=BINS):
        whole = encode_sum(manifest, np.array(counts, dtype=float))
        for _ in range(MEMBERS - 1):  # Three members that had nothing, for their canaries.
            for group, words in encode_sum(manifest, np.zeros(BINS)).items():
                add_into(whole[group], words)
        groups = tuple(GroupSum(group.name, whole[group.name].tobytes()) for group in manifest.groups)
        yield replace(log.end.published, groups=groups)


def commitments(log: Log, guess: Published) -> Iterator[str]:
    """Yield what a guess would look like under every hash, and every key that is not the salt."""
    known = [bytes.fromhex(text) for text in log.digests]
    known += [b"", bytes(32), guess.manifest, b"fed", guess.round.label().encode(), log.table.manifest.directory]
    known.append(log.table.manifest.opening_key)
    for data in (encode(guess), *(group.words for group in guess.groups), b"".join(g.words for g in guess.groups)):
        yield sha256(data).hex()
        yield leaf_hash(data).hex()
        for key in known:
            yield hmac.digest(key, data, "sha256").hex()
            yield sha256(key + data).hex()


def test_enumerating_every_histogram_against_the_log_finds_nothing() -> None:
    log = histogram()
    digests, looked = log.digests, 0
    assert len(digests) > 8
    found = []
    for guess in candidates(log):
        for digest in commitments(log, guess):
            looked += 1
            assert digest not in digests
        if hmac_sha256(log.end.salt, encode(guess)).hex() in digests:
            found.append(guess)
    # With the salt it is one of them, so the enumeration was right.
    assert found == [log.end.published]
    assert looked > 10_000


def test_no_leaf_holds_the_salt_or_the_result() -> None:
    log = histogram()
    whole = b"".join(log.leaves) + b"".join(bytes.fromhex(text) for text in log.digests)
    secrets = [log.end.salt, *(group.words for group in log.end.published.groups)]
    for secret in secrets:
        assert secret not in whole
        assert secret.hex().encode() not in whole


def test_the_same_result_twice_looks_different_every_time() -> None:
    """A digest that repeats would tell that nothing changed, and be guessed once for all rounds."""
    logs = [histogram(seed) for seed in (b"one", b"two", b"three")]
    assert len({log.end.published.groups for log in logs}) == 1
    assert len({log.end.salt for log in logs}) == 3
    results = {s.result for log in logs for leaf in log.leaves if isinstance(s := parse_statement(leaf)[0], Result)}
    assert len(results) == 3
    assert {len(log.end.salt) for log in logs} == {32}


@pytest.mark.parametrize("engines_allowed", [("masks",), ("masks", "paillier")])
def test_plain_sums_have_no_engine_and_no_institution_takes_part(engines_allowed: tuple[str, ...]) -> None:
    """Uploads without protection would be inputs under a plain SHA-256 in the log: there is nothing that logs them."""
    with pytest.raises(BadInput, match="no engine plain"):
        engines.load("plain")
    federation = make(MEMBERS, engine="plain")
    seat: Any = party(federation, "node-00", policy=Policy(exact_counts=True, engines=engines_allowed))
    proposed = replace(propose(make(MEMBERS)), engine="plain")
    with pytest.raises(Refused) as caught:
        node.start(proposal_of(federation, proposed), seat.ctx)
    assert caught.value.rule == "policy.engines"
    assert not seat.notebook.records
