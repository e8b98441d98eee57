"""Who deals shares to whom and masks with whom: everybody with everybody, or neighbours on a random Harary graph.

How to read it: `parameters` finds degree and threshold, and `Beacon` is a member's part in drawing the graph.
`neighbours` is the graph that everybody computes from what was drawn.
Rules (protocol §3): the graph follows from the manifest, U1 and a value of every member, committed in step 0 and opened
in step 0b. Who does not open is out, and the rest draw again, at most three times. So whoever opens last chooses among
four graphs at most. A member's values are a hash chain: each one opened shows that the next one was fixed before.
Leaves to others: messages and phases (node.py, aggregator.py).
Source: Bell, Bonawitz, Gascón, Lepoint, Raykova, CCS 2020 (eprint 2020/704), theorems 3.10 and B.2; docs/protocol.md
§3.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, lgamma, log

from secagg.crypto.derive import derive, sha256
from secagg.crypto.labels import fields
from secagg.errors import BadInput
from secagg.protocol.manifest import JobSpec, threshold
from secagg.wire.signed import Scope, context

COMPLETE, HARARY = "complete", "harary"
REDRAWS = 3
SECURITY, CORRECTNESS = 40, 20
"""σ and η: a neighbourhood is bad with probability at most 2^-40, a round fails with probability at most 2^-20."""

_BEACON = "secagg/v1/masks/beacon"
_GRAPH = "secagg/v1/masks/graph"


@lru_cache(maxsize=64)
def parameters(nodes: int, corrupt: int, dropped: int) -> tuple[int, int]:
    """Return (degree k, threshold t among a member and its k neighbours) against a semi-malicious server.

    Raises: BadInput when no degree will do for so many corrupt and dropped members.
    """
    for degree in range(2, nodes - 1, 2):
        found = _threshold(nodes, corrupt, dropped, degree)
        if found:
            return degree, found
    raise BadInput(
        f"No sparse graph of {nodes} members bears {corrupt} colluders and {dropped} drop-outs.",
        "Use graph complete, or enrol more members.",
    )


def of_job(spec: JobSpec, colluders: int) -> tuple[int, int]:
    """Return (degree, threshold of a member's shares) of every round of a job; degree 0 is the complete graph.

    Raises: BadInput as `parameters`.
    """
    if spec.graph == COMPLETE:
        return 0, threshold(len(spec.cohort), colluders)
    return parameters(len(spec.cohort), colluders, spec.dropouts)


def _threshold(nodes: int, corrupt: int, dropped: int, degree: int) -> int:
    """Return t for this degree, 0 when it is too small."""
    if not _connected(nodes, corrupt + dropped, degree):
        return 0
    above = _hypergeometric(nodes, corrupt, degree)
    below = _hypergeometric(nodes, nodes - dropped, degree)
    enough = 2.0 ** -(SECURITY + 1) / nodes
    few = 2.0**-CORRECTNESS / nodes
    most = next(x for x in range(degree + 1) if sum(above[x + 1 :]) <= enough)
    least = max(x for x in range(degree + 1) if sum(below[:x]) <= few)
    # A semi-malicious server may have half of the honest neighbours declared dropped.
    most = ceil((most + degree - 1.25) / 2)
    return max(most + 1, 2) if least > most else 0


def _connected(nodes: int, lost: int, degree: int) -> bool:
    """Say whether the graph without `lost` random members falls apart with probability below 2^-(σ+1)."""
    if lost - degree + 1 <= 0:
        return True
    bound = log(nodes * (nodes - degree - 1) / 2) + lgamma(lost + 1) + lgamma(nodes - degree + 1)
    return bound - lgamma(nodes + 1) - lgamma(lost - degree + 1) < -(SECURITY + 1) * log(2)


def _hypergeometric(nodes: int, marked: int, drawn: int) -> list[float]:
    """Return the probabilities of 0 … `drawn` marked members among `drawn` of `nodes`."""
    total = _choose(nodes, drawn)
    return [
        exp(_choose(marked, x) + _choose(nodes - marked, drawn - x) - total)
        if x <= marked and drawn - x <= nodes - marked
        else 0.0
        for x in range(drawn + 1)
    ]


def _choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


# Drawing -------------------------------------------------------------------------------------------------------------


def commit(secret: bytes, scope: Scope, owner: str) -> bytes:
    """Return the commitment that a member's keys carry; `secret` is the end of its chain (32 bytes)."""
    return _link(opening(secret, scope, owner, 0), scope, owner)


def opening(secret: bytes, scope: Scope, owner: str, draw: int) -> bytes:
    """Return what a member opens in a draw (0 … 3)."""
    value = secret
    for _ in range(REDRAWS - draw):
        value = _link(value, scope, owner)
    return value


def opens(value: bytes, commitment: bytes, scope: Scope, owner: str, draw: int) -> bool:
    """Say whether a value opens a commitment in this draw."""
    for _ in range(draw + 1):
        value = _link(value, scope, owner)
    return value == commitment


def _link(value: bytes, scope: Scope, owner: str) -> bytes:
    return sha256(context(_BEACON, "link", scope, owner, owner) + fields(value))


def seed(scope: Scope, u1: bytes, beacons: bytes) -> bytes:
    """Return the seed of the graph (32 bytes) from H(U1) and the SHA-256 of the list that everybody opened."""
    return sha256(context(_GRAPH, "seed", scope, "*", "*") + fields(u1, beacons))


def basis(scope: Scope, u1: bytes, drawn: bytes) -> bytes:
    """Return what members deal over: H(U1) on the complete graph, else the seed that the last list of beacons gives."""
    return seed(scope, sha256(u1), sha256(drawn)) if drawn else sha256(u1)


# The graph -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def neighbours(members: tuple[str, ...], degree: int, seed: bytes) -> dict[str, tuple[str, ...]]:
    """Return for each member itself and its neighbours, in the order of `members`.

    Degree 0 is the complete graph. Raises: BadInput when the degree is odd, or not below the number of members.
    """
    if not degree:
        return dict.fromkeys(members, members)
    count = len(members)
    if degree % 2 or degree >= count:
        raise BadInput(f"A graph of degree {degree} needs more than {count} members.", "The round cannot go on.")
    circle = _permuted(count, seed)
    place = {position: at for at, position in enumerate(circle)}
    found = {}
    for index, name in enumerate(members):
        at = place[index]
        near = {circle[(at + step) % count] for step in range(-degree // 2, degree // 2 + 1)}
        found[name] = tuple(members[position] for position in sorted(near))
    return found


def _permuted(count: int, seed: bytes) -> Sequence[int]:
    """Return 0 … count − 1 in an order that the seed draws: sorted by a keyed hash of each."""
    stream = derive(seed, salt=b"", info=fields(_GRAPH, "order", count), length=32).reveal()
    keys = [sha256(stream + index.to_bytes(4, "big")) for index in range(count)]
    return sorted(range(count), key=lambda index: keys[index])
