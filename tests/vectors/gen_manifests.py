"""Write manifests.json: H of manifests, what a node accepts, and one refusal per field and rule. `--check` compares."""

from vectors.plain.cohort import (
    AGGREGATOR,
    DIRECTORY,
    LOG,
    MEMBERS,
    SCALARS,
    directory_note,
    groups,
    job,
    lanes,
    manifest,
    seats,
    seed_of,
    signed_manifest,
)
from vectors.plain.curves import ed25519_public
from vectors.plain.forms import ROUND, drawn, leaf, msgpack, sha, tree_hash
from vectors.plain.writing import Vectors, finish

Changes = dict[str, object]


def expected(bits: int = 16) -> dict[str, object]:
    """Return what the node `north` knows before it reads a manifest."""
    return {
        "me": "north", "aggregator": AGGREGATOR, "aggregator_key": ed25519_public(seed_of(AGGREGATOR)),
        "log_origin": LOG, "directory_origin": DIRECTORY, "directory_key": ed25519_public(seed_of("online")),
        "spec": msgpack(job(bits)), "roster_version": 5, "roster": drawn("roster", 32), "seats": seats(),
        "colluders": 1, "model": drawn("model", 32), "round": 3,
        "directory": {"size": 2, "root": tree_hash([leaf(b"entry 0"), leaf(b"entry 1")])},
    }  # fmt: skip


def offered(value_bits: int = 16, /, **changes: object) -> dict[str, object]:
    """Return a proposal with changes, correctly signed."""
    return {"signed": msgpack(signed_manifest(manifest(value_bits, **changes)))}


def accepted(to: Vectors) -> None:
    """Add manifests that follow from the job, whatever the aggregator drew or counted."""
    cases: dict[str, Changes] = {"as computed": {}, "attempt 5": {"round": {**ROUND, "attempt": 5}}}
    for name, change in cases.items():
        body = msgpack(manifest(**change))
        to.accept(name, "accept", offered(**change), sha(body))
        to.accept(f"{name}: H", "digest", {"manifest": body}, sha(body))
    for bits in (8, 20, 24, 64):
        given = {**offered(bits), "expect": {"spec": msgpack(job(bits))}}
        to.accept(f"{bits} bits", "accept", given, sha(msgpack(manifest(bits))))


def lies() -> dict[str, list[tuple[str, Changes]]]:
    """Return changes by the field that is refused."""
    twice = [*seats()[:3], {**seats()[3], "organisation": "of-north"}]
    shorter: Changes = {"scalars": SCALARS[:2]}
    return {
        "federation": [("of another federation", {"round": {**ROUND, "federation": "fed-b"}})],
        "job": [("of another job", {"round": {**ROUND, "job": "lung"}})],
        "round": [("of an earlier round", {"round": {**ROUND, "round": 2}})],
        "engine": [("unprotected", {"engine": "plain"})],
        "purpose": [("of another purpose", {"purpose": "sum"})],
        "task": [("of another task", {"task": "other"})],
        "job_digest": [("of another job's bytes", {"job_digest": bytes(32)})],
        "model": [("with another model", {"model": drawn("another model", 32)})],
        "architecture": [("with another architecture", {"architecture": bytes(32)})],
        "roster_version": [("under an older roster", {"roster_version": 4})],
        "roster": [("under another roster", {"roster": bytes(32)})],
        "groups": [
            ("with wider slots", {"groups": groups(20, 7)}), ("with one value less", {"groups": groups(16, 6)}),
            ("with groups in another order", {"groups": groups(16, 7)[::-1]}),
        ],
        "scalars": [("without a metric", shorter)],
        "weight_bound": [("with another W", {"weight_bound": 1})],
        "lanes": [
            ("with other bits than its groups", {"lanes": lanes(20, 7)}),
            ("with another clip", {"lanes": lanes(16, 7, 1)}), ("with another codec", {"lanes": lanes(64, 7)}),
            ("with a lane more", {"lanes": [*lanes(16, 7), *lanes(16, 7)]}),
        ],
        "prg": [("with another generator", {"prg": "aes-256-ctr"})],
        "suite": [("with another suite", {"suite": "x25519/hkdf-sha256/aes-256-gcm"})],
        "graph": [("with a sparse graph", {"graph": "harary"})],
        "step_ms": [("with a shorter step", {"step_ms": 1})],
        "round_ms": [("with a longer round", {"round_ms": 2**39})],
        "chunk_bytes": [("with larger chunks", {"chunk_bytes": 524_288})],
        "aggregator": [("for another aggregator", {"aggregator": "another"})],
        "members": [
            ("without a member", {"members": seats()[:3]}),
            ("without this node", {"members": [seats()[0], *seats()[2:]]}),
            ("in another order", {"members": seats()[::-1]}),
            ("with another key", {"members": [*seats()[:3], {**seats()[3], "key": bytes(32)}]}),
            ("with another organisation", {"members": twice}),
        ],
        "group": [("of a second group", {"round": {**ROUND, "group": 7}})],
        "colluders": [
            ("with fewer colluders", {"colluders": 0, "k_min": 4}),
            ("with more colluders", {"colluders": 2, "threshold": 4, "k_min": 4, "share_threshold": 4}),
        ],
        "threshold": [("with a lower threshold", {"threshold": 2, "share_threshold": 2})],
        "k_min": [
            ("with a lower K_min", {"k_min": 2}), ("with K_min above n", {"k_min": 5}),
            ("with a higher K_min", {"k_min": 4}),
        ],
        "degree": [("with a degree on the complete graph", {"degree": 2})],
        "share_threshold": [("with a lower threshold of shares", {"share_threshold": 2})],
        "directory": [("with an older directory", {"directory": directory_note(1)})],
    }  # fmt: skip


def refused(to: Vectors) -> None:
    """Add a lie about every field, and what the institution's own policy forbids."""
    for field, cases in lies().items():
        for name, change in cases:
            to.refuse(name, "accept", offered(**change), "Refused", rule=f"manifest.{field}")
    expectations: tuple[tuple[str, Changes, str], ...] = (
        ("of a round beyond the job", {"spec": msgpack({**job(), "rounds": 2})}, "manifest.job_digest"),
        ("below the federation's c", {"colluders": 2}, "manifest.colluders"),
        ("below the policy's c", {"policy": {"max_colluders": 2}}, "manifest.colluders"),
        ("with a directory that this node has not seen", {"directory": None}, "manifest.directory"),
        ("with fewer nodes than policy asks", {"policy": {"min_nodes": 5}}, "policy.min_nodes"),
        ("with an engine that policy does not list", {"policy": {"engines": ["lattice"]}}, "policy.engines"),
        ("with exact counts", {"policy": {"exact_counts": False}}, "policy.exact_counts"),
        ("with another key of a pinned peer", {"policy": {"pinned_peers": [["south", "00"]]}}, "policy.pinned_peers"),
        ("beyond the rounds of a source", {"policy": {"max_rounds_per_source": 2}}, "policy.max_rounds_per_source"),
    )
    for name, expect, rule in expectations:
        to.refuse(name, "accept", {**offered(), "expect": expect}, "Refused", rule=rule)


def coded(codec: Changes) -> list[Changes]:
    """Return the lane of an update under a codec of any kind."""
    return [{**lanes(16, 7)[0], "codec": codec}]


def malformed(to: Vectors) -> None:
    """Add proposals that are not signed, or no manifest."""
    to.refuse(
        "signed by a member", "accept", {"signed": msgpack(signed_manifest(manifest(), MEMBERS[0]))},
        "BadSignature", rule="signature.invalid",
    )  # fmt: skip
    good = signed_manifest(manifest())
    later = msgpack(manifest(k_min=4))
    to.refuse(
        "changed after signing", "accept", {"signed": msgpack({**good, "body": later})},
        "BadSignature", rule="signature.invalid",
    )  # fmt: skip
    other = {"signed": msgpack({**good, "kind": "Freeze"})}
    to.refuse("of another kind", "accept", other, "BadSignature", rule="signature.slot")
    cases: dict[str, Changes] = {
        "roster of 31 bytes": {"roster": bytes(31)}, "opening key of 1215 bytes": {"opening_key": bytes(1215)},
        "unknown field": {"noise": 0}, "threshold 0": {"threshold": 0},
        "clip as text": {"lanes": coded({"type": "offset", "bits": 16, "clip_log2": "0"})},
        "codec of no kind": {"lanes": coded({"type": "packed", "bits": 16})},
        "W of nothing": {"weight_bound": None},
    }  # fmt: skip
    for name, change in cases.items():
        to.refuse(name, "accept", offered(**change), "WireError")
    to.refuse("no checkpoint", "accept", offered(directory=b"fed-a/directory\n2\n"), "VerificationFailed")


def text() -> str:
    """Return the file's text."""
    to = Vectors(
        "Manifests as node north judges them: `given` is what it expects, `expect` in a case replaces parts of it.",
        **expected(),
    )
    for add in (accepted, refused, malformed):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
