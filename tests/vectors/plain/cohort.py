"""The small federation of the vectors: four members, their keys, a job, and the manifest of a round; for generators."""

from collections.abc import Mapping

from vectors.plain.curves import ed25519_public, x25519_public
from vectors.plain.forms import ROUND, checkpoint_body, drawn, leaf, log_note, message, msgpack, scope, sha, tree_hash

NAMES = ("north", "south", "east-1", "west-1")
MEMBERS = tuple(sorted(NAMES))
AGGREGATOR = "aggregator"
LOG, DIRECTORY = "fed-a/rounds", "fed-a/directory"
NO_DIGEST = bytes(32)
SCALARS = [
    {"name": "examples", "bound": 10_000, "fraction": 0},
    {"name": "saturated", "bound": 10_000, "fraction": 0},
    {"name": "loss", "bound": 2**40, "fraction": 24},
]
Value = dict[str, object]


def seed_of(name: str) -> bytes:
    """Return the signing key of a party."""
    return drawn(f"sign/{name}", 32)


def mask_private(name: str) -> bytes:
    """Return a member's private mask key of the round."""
    return drawn(f"mask/{name}", 32)


def mask_public(name: str) -> bytes:
    """Return a member's public mask key of the round."""
    return x25519_public(mask_private(name))


def self_seed(name: str) -> bytes:
    """Return b_u of a member."""
    return drawn(f"seed/{name}", 32)


def seats() -> list[Value]:
    """Return the seats of the cohort."""
    return [{"name": name, "organisation": f"of-{name}", "key": ed25519_public(seed_of(name))} for name in MEMBERS]


def layout_of(width: int) -> str:
    """Return the cheapest layout of a slot of `width` bits."""
    return next(name for name, widest in (("3x21", 21), ("3bytes", 24), ("lane32", 32)) if width <= widest)


def groups(bits: int, parameters: int) -> list[Value]:
    """Return the lane groups of four members: two more bits hold the sum of four values."""
    update: Value = {"name": "update", "layout": "lane64", "value_bits": 64, "slot_bits": 64}
    if bits < 64:
        update |= {"layout": layout_of(bits + 2), "value_bits": bits, "slot_bits": bits + 2}
    scalars = {"name": "scalars", "layout": "lane64", "value_bits": 64, "slot_bits": 64, "count": 1 + len(SCALARS)}
    return [scalars, {**update, "count": 1 + parameters}]


def chunk(bits: int, most: int) -> int:
    """Return the bytes of a chunk: doubled from one leaf of 4,096 words as long as it stays within the job's."""
    layout = "lane64" if bits == 64 else layout_of(bits + 2)
    size = 4096 * {"3x21": 8, "3bytes": 3, "lane32": 4, "lane64": 8}[layout]
    while 2 * size <= most:
        size *= 2
    return size


def lanes(bits: int, parameters: int, clip_log2: int = 0) -> list[Value]:
    """Return the one lane of a job: the update, or with 64 bits the vector of a sum."""
    offset = {"type": "offset", "bits": bits, "clip_log2": clip_log2}
    codec = {"type": "fixed", "fraction": 24} if bits == 64 else offset
    return [{"name": "update", "count": parameters, "codec": codec, "weighted": bits != 64}]


def job(bits: int = 16, parameters: int = 7) -> Value:
    """Return the signed job."""
    return {
        "federation": "fed-a", "name": "heart", "purpose": "training", "task": "heart-risk", "rounds": 9,
        "cohort": list(MEMBERS), "min_nodes": 3, "lanes": lanes(bits, parameters),
        "weight_bound": 100, "step_ms": 60_000, "round_ms": 600_000, "engine": "masks", "scalars": SCALARS, "uses": [],
        "architecture": drawn("architecture", 32), "initial_model": drawn("model", 32), "chunk_bytes": 262_144,
        "graph": "complete", "dropouts": 0,
        "algorithm": {"name": "fedavg", "numbers": []}, "config": [], "mode": "in-step",
    }  # fmt: skip


def directory_note(size: int = 2) -> bytes:
    """Return the directory checkpoint that the manifest relies on."""
    root = tree_hash([leaf(b"entry %d" % index) for index in range(size)])
    return log_note(checkpoint_body(DIRECTORY, size, root), DIRECTORY, seed_of("online"))


def manifest(value_bits: int = 16, parameters: int = 7, /, **changes: object) -> Value:
    """Return the manifest of the round, with changes: n = 4, c = 1, t = 3, K_min = 3."""
    spec = job(value_bits, parameters)
    return {
        "round": dict(ROUND), "engine": "masks", "purpose": "training", "task": spec["task"],
        "job_digest": sha(msgpack(spec)), "model": drawn("model", 32), "architecture": spec["architecture"],
        "roster_version": 5, "roster": drawn("roster", 32), "members": seats(), "colluders": 1, "threshold": 3,
        "k_min": 3, "degree": 0, "share_threshold": 3, "groups": groups(value_bits, parameters),
        "scalars": SCALARS, "lanes": spec["lanes"], "weight_bound": spec["weight_bound"],
        "prg": "aes-128-ctr", "suite": "mlkem768-x25519/hkdf-sha256/aes-256-gcm", "graph": "complete",
        "step_ms": spec["step_ms"], "round_ms": spec["round_ms"], "chunk_bytes": chunk(value_bits, 262_144),
        "directory": directory_note(),
        "aggregator": AGGREGATOR, "opening_key": drawn("opening key", 1216), "algorithm": spec["algorithm"],
        "state": bytes(32), **changes,
    }  # fmt: skip


def signed_manifest(value: Mapping[str, object], signer: str = AGGREGATOR) -> Value:
    """Return the signed message that carries a manifest."""
    where = value["round"]
    if not isinstance(where, Mapping):
        raise TypeError("a manifest names its round")
    return message(seed_of(signer), "Manifest", scope(NO_DIGEST, **where), AGGREGATOR, "*", msgpack(value))
