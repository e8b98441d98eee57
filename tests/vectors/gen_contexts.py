"""Write contexts.json: length-prefixed fields, contexts of a round, and identifiers. `--check` compares only."""

from vectors.plain.forms import ROUND, context, drawn, fields, msgpack, scope
from vectors.plain.writing import Vectors, finish

H = drawn("some manifest", 32)


def part(value: bytes | str | int) -> dict[str, object]:
    """Return a field with its type."""
    return {{bytes: "bytes", str: "text", int: "int"}[type(value)]: value}


def contexts(to: Vectors) -> None:
    """Add lists of fields and contexts."""
    lists: dict[str, list[bytes | str | int]] = {
        "no fields": [], "empty field": [""], "two empty fields": ["", ""],
        "bytes, text, integer": [b"\0\xff", "a", 255],
        "not the text it joins to (1)": ["ab", "c"], "not the text it joins to (2)": ["a", "bc"],
        "text of two bytes a letter": ["äß"], "long": [bytes(300)],
    }  # fmt: skip
    for name, parts in lists.items():
        to.accept(name, "fields", {"parts": [part(entry) for entry in parts]}, fields(*parts))
    where = scope(H)
    for sender, receiver in (("north", "*"), ("north", "south"), ("south", "north")):
        given = {"label": "secagg/v1/message", "kind": "AdvertiseKeys", "scope": where}
        out = context("secagg/v1/message", "AdvertiseKeys", where, sender, receiver)
        to.accept(f"{sender} to {receiver}", "context", {**given, "sender": sender, "receiver": receiver}, out)


def scopes(to: Vectors) -> None:
    """Add identifiers as they arrive."""
    name = "a" * 64
    good = scope(H, federation="0-9", job=name, round=2**31 - 1, attempt=1, group=2**31 - 1)
    to.accept("longest identifier", "scope", {"data": msgpack(good)}, f"{name}.{2**31 - 1}.1.{2**31 - 1}")
    to.accept("identifier", "scope", {"data": msgpack(scope(H))}, "heart.3.2.0")
    names = {
        "empty name": "", "name of 65 letters": "a" * 65, "name in capitals": "Heart", "newline at the end": "heart\n",
        "space": "heart risk", "dot": "heart.1", "letter beyond ASCII": "hërz", "slash": "fed/a", "number": 7,
    }  # fmt: skip
    changes: dict[str, dict[str, object]] = {
        **{what: {"job": value} for what, value in names.items()},
        "round 0": {"round": 0}, "attempt 0": {"attempt": 0}, "round of 32 bits": {"round": 2**31},
        "group below 0": {"group": -1}, "round that is true": {"round": True}, "round as text": {"round": "3"},
        "unknown field": {"epoch": 1},
    }  # fmt: skip
    bad = {what: msgpack(scope(H, **change)) for what, change in changes.items()}
    lacking = {key: value for key, value in ROUND.items() if key != "job"}
    bad |= {
        "digest of 31 bytes": msgpack(scope(H[1:])),
        "digest of 33 bytes": msgpack(scope(H + b"\0")),
        "digest as text": msgpack({**scope(H), "manifest": H.hex()[:32]}),
        "name as bytes": msgpack(scope(H, job=b"heart")),
        "no job": msgpack({"round": lacking, "manifest": H}),
        "byte behind it": msgpack(scope(H)) + b"\0",
        "cut short": msgpack(scope(H))[:-1],
        "nothing": b"",
        "list instead of a map": msgpack([ROUND, H]),
    }
    for what, data in bad.items():
        to.refuse(what, "scope", {"data": data}, "WireError")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Length-prefixed fields, the context that signatures, derivations and seals share, and identifiers.")
    contexts(to)
    scopes(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
