"""Write keys.json: X25519, HKDF, the keys of masks, commitments, seals' contexts, sparse graphs. `--check` compares."""

from vectors.plain.curves import P, x25519, x25519_public
from vectors.plain.forms import context, drawn, fields, hkdf, scope, sha
from vectors.plain.writing import Vectors, finish

H, U2 = drawn("some manifest", 32), drawn("some U2", 32)
PLACE = "secagg/v1/masks/"
NORTH, SOUTH = drawn("mask north", 32), drawn("mask south", 32)
SEED = drawn("self mask", 32)
MEMBERS = [f"m{index}" for index in range(9)]


def self_keys(to: Vectors) -> None:
    """Add keys of self masks."""
    for name, where, owner, group in (
        ("self mask of update", scope(H), "north", "update"),
        ("self mask of scalars", scope(H), "north", "scalars"),
        ("self mask of another owner", scope(H), "south", "update"),
        ("self mask of another attempt", scope(H, attempt=3), "north", "update"),
    ):
        out = hkdf(SEED, H, context(f"{PLACE}self", group, where, owner, owner), 16)
        to.accept(name, "self-key", {"seed": SEED, "scope": where, "owner": owner, "group": group}, out)


def pair_keys(to: Vectors) -> None:
    """Add secrets and keys of pairs."""
    low, high = ("north", x25519_public(NORTH)), ("south", x25519_public(SOUTH))
    secret = x25519(NORTH, high[1])
    to.accept("agreement", "agree", {"private": NORTH, "peer": high[1]}, secret)
    to.accept("agreement, other side", "agree", {"private": SOUTH, "peer": low[1]}, secret)
    top = bytes([*high[1][:31], high[1][31] | 0x80])
    to.accept("agreement ignores the highest bit", "agree", {"private": NORTH, "peer": top}, secret)
    for name, u2, group in (
        ("pair mask of update", U2, "update"), ("pair mask of scalars", U2, "scalars"),
        ("pair mask over another U2", drawn("other U2", 32), "update"),
    ):  # fmt: skip
        info = context(f"{PLACE}pair", group, scope(H), low[0], high[0]) + fields(u2, low[1], high[1])
        given = {"secret": secret, "scope": scope(H), "u2": u2, "low": low, "high": high, "group": group}
        to.accept(name, "pair-key", given, hkdf(secret, H, info, 16))


def contexts(to: Vectors) -> None:
    """Add commitments and contexts of seals."""
    out = sha(context(f"{PLACE}commit", "seed", scope(H), "north", "north") + fields(SEED))
    to.accept("commitment", "commitment", {"seed": SEED, "scope": scope(H), "owner": "north"}, out)
    for name, do, label, kind in (
        ("context of a sealed share", "share-info", "share", "ShareKeys"),
        ("context of a sealed answer", "answer-info", "answer", "Unmask"),
    ):
        given = {"scope": scope(H), "sender": "north", "receiver": "south"}
        to.accept(name, do, given, context(PLACE + label, kind, scope(H), "north", "south"))


def beacon(draw: int) -> bytes:
    """Return what a member opens in a draw: the end of the chain in the last one."""
    value = SEED
    for _ in range(3 - draw):
        value = sha(context(f"{PLACE}beacon", "link", scope(H), "north", "north") + fields(value))
    return value


def graphs(to: Vectors) -> None:
    """Add beacons, and the neighbours that a seed draws."""
    for draw in (-1, 0, 3):
        do = "beacon-commitment" if draw < 0 else "beacon"
        given = {"secret": SEED, "scope": scope(H), "owner": "north"} | ({} if draw < 0 else {"draw": draw})
        to.accept("commitment of a beacon" if draw < 0 else f"beacon of draw {draw}", do, given, beacon(draw))
    u1, opened = drawn("some U1", 32), drawn("some beacons", 32)
    seed = sha(context(f"{PLACE}graph", "seed", scope(H), "*", "*") + fields(u1, opened))
    to.accept("seed of a graph", "graph-seed", {"scope": scope(H), "u1": u1, "beacons": opened}, seed)
    stream = hkdf(seed, b"", fields(f"{PLACE}graph", "order", len(MEMBERS)), 32)
    circle = sorted(range(len(MEMBERS)), key=lambda index: sha(stream + index.to_bytes(4, "big")))
    out = {}
    for at, index in enumerate(circle):
        near = sorted(circle[(at + step) % len(circle)] for step in (-2, -1, 0, 1, 2))
        out[MEMBERS[index]] = [MEMBERS[other] for other in near]
    ordered = {name: out[name] for name in MEMBERS}
    to.accept("graph of degree 4", "graph", {"members": MEMBERS, "degree": 4, "seed": seed}, ordered)
    few = MEMBERS[:3]
    to.accept("complete graph", "graph", {"members": few, "degree": 0, "seed": seed}, dict.fromkeys(few, few))
    for degree in (1, 3, 5, 9, 10):
        given = {"members": MEMBERS, "degree": degree, "seed": seed}
        to.refuse(f"graph of degree {degree} on 9 members", "graph", given, "BadInput")


def small_points(to: Vectors) -> None:
    """Add public keys that give nothing."""
    eighth = 325606250916557431795983626356110631294008115727848805560023387167927233504
    points = {
        "0": 0, "1": 1, "a point of order 8": eighth,
        "the other point of order 8": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
        "p - 1": P - 1, "p": P, "p + 1": P + 1, "2^255": 2**255, "2^255 + 1": 2**255 + 1,
        "order 8 with the highest bit": 2**255 + eighth, "2^255 + p - 1": 2**255 + P - 1,
    }  # fmt: skip
    for name, value in points.items():
        given = {"private": NORTH, "peer": value.to_bytes(32, "little")}
        to.refuse(f"agreement with {name}", "agree", given, "ProtocolViolation", rule="agree.small-order")
    for length in (0, 31, 33):
        given = {"private": NORTH, "peer": bytes([9]) * length}
        to.refuse(f"agreement with {length} bytes", "agree", given, "ProtocolViolation", rule="agree.small-order")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Agreement, key derivations of engine masks, commitments, contexts of seals, and sparse graphs.")
    for add in (self_keys, pair_keys, contexts, graphs, small_points):
        add(to)
    for length in (16, 8160):
        given = {"ikm": SEED, "salt": b"", "info": b"label", "length": length}
        to.accept(f"hkdf of {length} bytes", "hkdf", given, hkdf(SEED, b"", b"label", length))
    for length in (8161, 65_536):
        to.refuse(f"hkdf of {length} bytes", "hkdf", {**given, "length": length}, "ValueError")
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
