"""What figures are asked to be, and whether they are: one table for each engine, no judgement in prose.

Rules: a target names its case and its field; a figure that misses is shown as it is. Leaves to others: measuring.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from secagg.bench.cases import COMMANDS
from secagg.bench.results import Row

GIB = 2**30


class Target(Struct, frozen=True):
    """`field` of case `name` shall be at most `limit`, with `least` at least; a field that is a truth shall be true.

    A field inside another is named with a dot.
    """

    text: str
    name: str
    field: str
    limit: float
    unit: str = ""
    scale: float = 1.0
    least: bool = False


TARGETS = (
    Target("client, n = 50, d = 10^7, one thread ÷ AES time of its masks", "50-1e7", "client_x", 1.5, "×"),
    Target("the same on two threads", "50-1e7-threads", "client_x", 0.9, "×"),
    Target("client less 15 ms, n = 20, d = 10^6 ÷ AES time of its masks", "20-1e6", "client_settled_x", 2, "×"),
    Target("client, what does not depend on d, n = 50", "50-1e7", "client_setup_seconds", 40, " ms", 1e3),
    Target("spot check ÷ client, n = 50, d = 10^7", "50-1e7", "verify_part", 0.2, "×"),
    Target(
        "server, two workers as it has, n = 50, d = 10^6 ÷ (AES of self masks + n numpy sums)", "50-1e6-threads",
        "server_x", 2, "×",
    ),
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


def _beside_phe() -> Iterator[Target]:
    """Yield what engine `paillier` is asked for: ratios to `phe` at 2048 and 3072 bits."""
    rows = (
        ("encrypt, `provable`", "provable", "encrypt_x", (1500, 2500)),
        ("encrypt, `fast`", "fast", "encrypt_x", (4000, 9000)),
        ("encrypt from a full pool", "provable", "online_x", (1e5, 1e5)),
        ("add", "provable", "add_x", (140, 180)),
        ("decrypt, `provable`", "provable", "decrypt_x", (95, 140)),
        ("decrypt, `fast`", "fast", "decrypt_x", (400, 750)),
        ("ciphertext bytes, s = 1", "provable", "bytes_x", (100, 150)),
        ("ciphertext bytes, s = 2", "s2", "bytes_x", (130, 190)),
        ("encrypt, `provable`, beside packed `phe`", "provable", "packed_encrypt_x", (15, 15)),
        ("encrypt, `fast`, beside packed `phe`", "fast", "packed_encrypt_x", (40, 40)),
        ("two threads ÷ one, `provable`", "provable", "ours.two_threads_x", (1.7, 1.7)),
        ("two threads ÷ one, `fast`", "fast", "ours.two_threads_x", (1.7, 1.7)),
    )
    for text, case, field, limits in rows:
        for bits, limit in zip((2048, 3072), limits, strict=True):
            yield Target(f"{text}, {bits} bits", f"paillier-{bits}-{case}", field, limit, "×", least=True)
    for bits in (2048, 3072):
        case, part = f"paillier-{bits}-provable", "ours.decryption_{}"
        text = "proof of decryption, {}, {} bits"
        yield Target(text.format("prover ÷ decryption", bits), case, part.format("prove_part"), 10, " %", 100)
        yield Target(text.format("verifier ÷ decryption", bits), case, part.format("verify_part"), 5, " %", 100)
        yield Target(text.format("bytes", bits), case, part.format("proof_bytes"), 384, " B")
        yield Target(f"whole round with 2 of 3 trustees, {bits} bits", f"entrusted-{bits}-provable", "exact", 1)


PAILLIER = tuple(_beside_phe())


def measured(target: Target, rows: dict[str, Row]) -> float | None:
    """Return a target's figure in its unit, None when its case was not measured as it is asked for."""
    row = rows.get(target.name)
    if row is None or row.command != COMMANDS[target.name]:
        return None
    figures: Any = row.figures
    for field in target.field.split("."):
        figures = figures[field]
    return float(figures) * target.scale


def met(target: Target, rows: dict[str, Row]) -> bool | None:
    """Say whether a target is met, None when its case was not measured."""
    found = measured(target, rows)
    if found is None:
        return None
    if target.field == "exact":
        return bool(found)
    return found >= target.limit if target.least else found <= target.limit
