"""What the figures of engine `masks` are asked to be, and whether they are: one table, no judgement in prose.

Rules: a target names its case and its field; a figure that misses is shown as it is. Leaves to others: measuring.
"""

from msgspec import Struct

from secagg.bench.cases import COMMANDS
from secagg.bench.results import Row

GIB = 2**30


class Target(Struct, frozen=True):
    """`field` of case `name` shall be at most `limit`; a field that is a truth shall be true."""

    text: str
    name: str
    field: str
    limit: float
    unit: str = ""
    scale: float = 1.0


TARGETS = (
    Target("client, n = 50, d = 10^7, one thread ÷ AES time of its masks", "50-1e7", "client_x", 1.5, "×"),
    Target("the same on two threads", "50-1e7-threads", "client_x", 0.9, "×"),
    Target("client less 15 ms, n = 20, d = 10^6 ÷ AES time of its masks", "20-1e6", "client_settled_x", 2, "×"),
    Target("client, what does not depend on d, n = 50", "50-1e7", "client_setup_seconds", 40, " ms", 1e3),
    Target("spot check ÷ client, n = 50, d = 10^7", "50-1e7", "verify_part", 0.2, "×"),
    Target("server, n = 50, d = 10^6 ÷ (AES of self masks + n numpy sums)", "50-1e6", "server_x", 2, "×"),
    Target("server, 20 % dropped ÷ AES time of the masks", "50-1e6-20%", "server_aes_x", 2, "×"),
    Target("server, n = 100, d = 10^6, 20 % dropped", "100-1e6-20%", "server_seconds", 1.5, " s"),
    Target("bytes sent per parameter, n = 32, d = 10^6", "32-1e6", "upload_bytes_per_param", 2.75, " B"),
    Target("the same, n = 256, sparse graph", "256-1e6-sparse", "upload_bytes_per_param", 3.2, " B"),
    Target("peak memory of a node, d = 10^7, in vectors of 4·d bytes", "50-1e7", "node_vectors", 3),
    Target("peak memory of the aggregator, d = 10^7", "50-1e7", "aggregator_vectors", 4),
    Target(
        "peak memory, whole round, d = 10^8, n = 10, one process", "whole-1e8", "peak_rss_bytes", 8, " GiB", 1 / GIB
    ),
    Target("sum of n = 1,000, d = 10^5, 10 % dropped, sparse graph", "1000-1e5-sparse", "exact", 1),
)


def measured(target: Target, rows: dict[str, Row]) -> float | None:
    """Return a target's figure in its unit, None when its case was not measured as it is asked for."""
    row = rows.get(target.name)
    if row is None or row.command != COMMANDS[target.name]:
        return None
    return float(row.figures[target.field]) * target.scale


def met(target: Target, rows: dict[str, Row]) -> bool | None:
    """Say whether a target is met, None when its case was not measured."""
    found = measured(target, rows)
    if found is None:
        return None
    return bool(found) if target.field == "exact" else found <= target.limit
