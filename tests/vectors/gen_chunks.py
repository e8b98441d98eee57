"""Write chunks.json: headers of chunks, where they lie in an upload, and signed ones. `--check` compares only."""

from vectors.plain.cohort import seed_of
from vectors.plain.curves import ed25519_public
from vectors.plain.forms import ROUND, drawn, message, msgpack, scope, sha
from vectors.plain.writing import Vectors, finish

H = drawn("some manifest", 32)
PIECE = drawn("a chunk", 100)
KIND = "ChunkHeader"


def header(**changes: object) -> dict[str, object]:
    """Return a header, with changes."""
    return {
        "round": dict(ROUND), "node": "north", "index": 2, "size": 262_144, "total": 1_000_000, "hash": sha(PIECE),
        **changes,
    }  # fmt: skip


def text() -> str:
    """Return the file's text."""
    to = Vectors("Headers of chunks: [start, stop) in the upload, how many there are, and the signed form.")
    good: tuple[tuple[str, dict[str, object], list[int]], ...] = (
        ("in the middle", {}, [524_288, 786_432, 4]), ("the first", {"index": 0}, [0, 262_144, 4]),
        ("the last, shorter", {"index": 3}, [786_432, 1_000_000, 4]),
        ("the only one", {"index": 0, "total": 1}, [0, 1, 1]),
        ("the last of a whole number", {"index": 1, "total": 524_288}, [262_144, 524_288, 2]),
        ("largest numbers", {"index": 2**24 - 1, "size": 2**16, "total": 2**40 - 1}, [2**40 - 2**16, 2**40 - 1, 2**24]),
    )  # fmt: skip
    for name, change, out in good:
        to.accept(name, "chunk", {"data": msgpack(header(**change))}, out)
    seed = seed_of("north")
    signed = message(seed, KIND, scope(H), "north", "*", msgpack(header()))
    given = {"data": msgpack(signed), "public": ed25519_public(seed), "kind": KIND, "scope": scope(H), "receiver": "*"}
    to.accept("signed", "open-signed", given, msgpack(header()))
    other = {**given, "scope": scope(H, attempt=3)}
    to.refuse("signed for another attempt", "open-signed", other, "BadSignature", rule="signature.invalid")
    cases: dict[str, dict[str, object]] = {
        "behind the end": {"index": 4}, "far behind the end": {"index": 2**24 - 1},
        "index at the end of a whole number": {"index": 2, "total": 524_288}, "index below 0": {"index": -1},
        "index of 2^24": {"index": 2**24}, "size 0": {"size": 0}, "size below 0": {"size": -1}, "total 0": {"total": 0},
        "total of 2^40": {"total": 2**40}, "hash of 31 bytes": {"hash": bytes(31)}, "hash as text": {"hash": "00" * 16},
        "name with a newline": {"node": "north\n"}, "round 0": {"round": {**ROUND, "round": 0}},
        "index that is true": {"index": True}, "unknown field": {"last": True},
    }  # fmt: skip
    for name, change in cases.items():
        to.refuse(name, "chunk", {"data": msgpack(header(**change))}, "WireError")
    lacking = {key: value for key, value in header().items() if key != "hash"}
    to.refuse("no hash", "chunk", {"data": msgpack(lacking)}, "WireError")
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
