"""Write signatures.json: signed messages, signed with plain integers. `--check` compares only."""

from vectors.plain.curves import ORDER, ed25519_public
from vectors.plain.forms import drawn, message, msgpack, scope
from vectors.plain.writing import Vectors, finish

H = drawn("some manifest", 32)
SEED = drawn("signer", 32)
PUBLIC = ed25519_public(SEED)
BODY = b"a body"


def signed(kind: str = "MaskedInput", receiver: str = "*", body: bytes = BODY) -> dict[str, object]:
    """Return a message of member north."""
    return message(SEED, kind, scope(H), "north", receiver, body)


def opened(data: bytes, kind: str = "MaskedInput", receiver: str = "*", /, **changes: object) -> dict[str, object]:
    """Return how a receiver opens a message."""
    manifest = changes.pop("manifest", H)
    public = changes.pop("public", PUBLIC)
    where = {"round": scope(H, **changes)["round"], "manifest": manifest}
    return {"data": data, "public": public, "kind": kind, "scope": where, "receiver": receiver}


def accepted(to: Vectors) -> None:
    """Add messages that open."""
    for name, kind, receiver, body in (
        ("to everybody", "MaskedInput", "*", BODY),
        ("to one", "Unmask", "aggregator", bytes(range(256))),
        ("empty body", "AdvertiseKeys", "*", b""),
    ):
        value = signed(kind, receiver, body)
        given = {"seed": SEED, "kind": kind, "scope": scope(H), "sender": "north", "receiver": receiver, "body": body}
        to.accept(f"{name}, signed", "sign", given, msgpack(value))
        to.accept(f"{name}, opened", "open-signed", opened(msgpack(value), kind, receiver), body)


def elsewhere(to: Vectors) -> None:
    """Add a good message that is shown in another slot."""
    data = msgpack(signed())
    places: dict[str, object] = {"federation": "fed-b", "job": "lung", "round": 4, "attempt": 1, "group": 1}
    for field, value in places.items():
        given = opened(data, **{field: value})
        to.refuse(f"of another {field}", "open-signed", given, "BadSignature", rule="signature.invalid")
    other: dict[str, object] = {"manifest": drawn("another manifest", 32), "public": ed25519_public(drawn("other", 32))}
    for field, wrong in other.items():
        given = opened(data, **{field: wrong})
        to.refuse(f"of another {field}", "open-signed", given, "BadSignature", rule="signature.invalid")
    for name, given in (
        ("of another kind", opened(data, "Freeze")),
        ("for another receiver", opened(data, "MaskedInput", "south")),
    ):
        to.refuse(name, "open-signed", given, "BadSignature", rule="signature.slot")


def tampered(to: Vectors) -> None:
    """Add messages that were changed."""
    good = signed()
    signature = good["signature"]
    assert isinstance(signature, bytes)
    above = (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    relabelled = {**signed("Freeze"), "kind": "MaskedInput"}
    cases: dict[str, dict[str, object]] = {
        "changed body": {"body": BODY + b"."}, "another sender": {"sender": "south"}, "relabelled kind": relabelled,
        "first half changed": {"signature": bytes([signature[0] ^ 1]) + signature[1:]},
        "S not reduced": {"signature": signature[:32] + above}, "signature of zeros": {"signature": bytes(64)},
    }  # fmt: skip
    for name, change in cases.items():
        given = opened(msgpack({**good, **change}))
        to.refuse(name, "open-signed", given, "BadSignature", rule="signature.invalid")
    anybodys = msgpack({**good, "signature": (1).to_bytes(32, "little") + bytes(32)})
    for name, number in {
        "key of small order": 0, "key of order one": 1, "key of order one, written as p + 1": 2**255 - 18,
        "key of order one, its sign set": 2**255 + 1,
    }.items():  # fmt: skip
        given = opened(anybodys, public=number.to_bytes(32, "little"))
        to.refuse(name, "open-signed", given, "BadSignature", rule="signature.invalid")
    short = opened(msgpack(good), public=PUBLIC[1:])
    to.refuse("key of 31 bytes", "open-signed", short, "BadSignature", rule="signature.invalid")


def malformed(to: Vectors) -> None:
    """Add bytes that are no message."""
    good = signed()
    for name, data in {
        "signature of 63 bytes": msgpack({**good, "signature": bytes(63)}),
        "signature of 65 bytes": msgpack({**good, "signature": bytes(65)}),
        "sender with a newline": msgpack({**good, "sender": "north\n"}),
        "unknown field": msgpack({**good, "time": 1}),
        "body as text": msgpack({**good, "body": "a body"}),
        "no signature": msgpack({key: value for key, value in good.items() if key != "signature"}),
        "byte behind it": msgpack(good) + b"\0",
    }.items():
        to.refuse(name, "open-signed", opened(data), "WireError")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Signed messages: Ed25519 over the context and the body's SHA-256.")
    for add in (accepted, elsewhere, tampered, malformed):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
