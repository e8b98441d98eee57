"""Write masks.json: key streams, the uploads of a small round, and what opens it. `--check` compares only.

Four members, n = 4, c = 1, t = 3. Masks are expanded and added here in Python's integers.
"""

from collections.abc import Mapping, Sequence

from vectors.gen_packing import wire
from vectors.plain.aes import key_stream
from vectors.plain.cohort import MEMBERS, groups, manifest, mask_private, mask_public, self_seed
from vectors.plain.curves import x25519
from vectors.plain.forms import context, drawn, fields, hkdf, leaf, msgpack, scope, sha, share, tree_hash
from vectors.plain.writing import Vectors, finish

U2 = drawn("list of shares", 32)
PLACE = "secagg/v1/masks/"
SIZES = {"3x21": 8, "3bytes": 4, "lane32": 4, "lane64": 8}
Slots = dict[str, list[int]]
THRESHOLD = 3


def words(layout: str, slots: Sequence[int]) -> list[int]:
    """Return the words in memory of slots."""
    if layout == "3x21":
        return [sum(v << 21 * lane for lane, v in enumerate(slots[at : at + 3])) for at in range(0, len(slots), 3)]
    return [value % 256 ** SIZES[layout] for value in slots]


class Round:
    """The round of the vectors at one width: H, keys of masks, uploads."""

    def __init__(self, bits: int) -> None:
        self.bits, self.groups = bits, groups(bits, 7)
        self.manifest = msgpack(manifest(bits))
        self.scope = scope(sha(self.manifest))
        self.masked = {name: self._masked(name) for name in MEMBERS}

    @property
    def digest(self) -> bytes:
        """Return H."""
        return sha(self.manifest)

    def given(self) -> dict[str, object]:
        """Return what every case of this round needs."""
        keys = {name: mask_public(name) for name in MEMBERS}
        return {"manifest": f"{self.bits} bits", "u2": U2, "mask_keys": keys}

    def slots(self, name: str) -> Slots:
        """Return a member's clear slots."""
        at = MEMBERS.index(name)
        values = [int.from_bytes(drawn(f"{name}/{index}", 3), "big") % 2**self.bits for index in range(7)]
        return {"scalars": [1, 10 + at, 0, -(2**20) * at], "update": [1, *values]}

    def stream(self, key: bytes, group: Mapping[str, object], count: int) -> list[int]:
        """Return a mask."""
        size = SIZES[str(group["layout"])]
        data = key_stream(key, size * count)
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]

    def masks(self, name: str, group: str) -> list[tuple[bytes, int]]:
        """Return the keys and signs of a member's masks."""
        info = context(f"{PLACE}self", group, self.scope, name, name)
        found = [(hkdf(self_seed(name), self.digest, info, 16), 1)]
        for peer in MEMBERS:
            if peer != name:
                low, high = sorted((name, peer))
                info = context(f"{PLACE}pair", group, self.scope, low, high)
                info += fields(U2, mask_public(low), mask_public(high))
                secret = x25519(mask_private(name), mask_public(peer))
                found.append((hkdf(secret, self.digest, info, 16), 1 if name == low else -1))
        return found

    def _masked(self, name: str) -> dict[str, list[int]]:
        """Return a member's masked words by group."""
        result = {}
        for group in self.groups:
            total = words(str(group["layout"]), self.slots(name)[str(group["name"])])
            for key, sign in self.masks(name, str(group["name"])):
                stream = self.stream(key, group, len(total))
                total = [a + sign * b for a, b in zip(total, stream, strict=True)]
            modulus = 256 ** SIZES[str(group["layout"])]
            result[str(group["name"])] = [value % modulus for value in total]
        return result

    def upload(self, name: str) -> bytes:
        """Return the wire form of a member's upload."""
        return b"".join(self.parts(name))

    def parts(self, name: str) -> list[bytes]:
        """Return the wire form of a member's upload, group by group, each filled up."""
        parts = [self.on_wire(group, self.masked[name][str(group["name"])]) for group in reversed(self.groups)]
        return [part + bytes(-len(part) % 8) for part in parts]

    def on_wire(self, group: Mapping[str, object], values: Sequence[int]) -> bytes:
        """Return masked words as they travel."""
        size = SIZES[str(group["layout"])]
        width = 3 if group["layout"] == "3bytes" else size
        return b"".join(value.to_bytes(size, "little")[:width] for value in values)

    def root(self, name: str) -> bytes:
        """Return the Merkle root of an upload: here each lane group is one leaf."""
        return tree_hash([leaf(part) for part in self.parts(name)])

    def commitment(self, name: str) -> bytes:
        """Return the commitment to b_u."""
        return sha(context(f"{PLACE}commit", "seed", self.scope, name, name) + fields(self_seed(name)))

    def answers(self, u3: Sequence[str], by: Sequence[str]) -> dict[str, dict[str, object]]:
        """Return the shares that members reveal."""
        gone = [name for name in MEMBERS if name not in u3]
        return {
            member: {
                "u2": U2,
                "seeds": {name: dealt(self_seed(name), f"b/{name}", member) for name in u3},
                "keys": {name: dealt(mask_private(name), f"sk/{name}", member) for name in gone},
            }
            for member in by
        }

    def sums(self, u3: Sequence[str]) -> dict[str, bytes]:
        """Return the clear sum as words in memory, of `3bytes` modulo 2^24."""
        found = {}
        for group in self.groups:
            layout = str(group["layout"])
            columns = zip(*(words(layout, self.slots(n)[str(group["name"])]) for n in u3), strict=True)
            modulus = 2**24 if layout == "3bytes" else 256 ** SIZES[layout]
            total = [sum(column) % modulus for column in columns]
            found[str(group["name"])] = b"".join(value.to_bytes(SIZES[layout], "little") for value in total)
        return found

    def opening(self, u3: Sequence[str], by: Sequence[str]) -> dict[str, object]:
        """Return what the aggregator has when it opens."""
        uploads = {name: self.upload(name) for name in u3}
        commitments = {name: self.commitment(name) for name in MEMBERS}
        return {**self.given(), "uploads": uploads, "commitments": commitments, "answers": self.answers(u3, by)}


def dealt(secret: bytes, label: str, receiver: str) -> bytes:
    """Return a member's share; its x is its place in the roster, from 1."""
    return share(secret, drawn(label, 64 * (THRESHOLD - 1)), MEMBERS.index(receiver) + 1)


def streams(to: Vectors) -> None:
    """Add raw key stream."""
    for size in (16, 32):
        key = drawn(f"stream {size}", size)
        for offset, length in ((0, 48), (16, 20), (2**20, 16)):
            given = {"key": key, "offset": offset, "length": length}
            to.accept(f"AES-{8 * size} from byte {offset}", "key-stream", given, key_stream(key, length, offset))
    cases: dict[str, dict[str, object]] = {
        "from byte 8": {"offset": 8}, "from byte 1": {"offset": 1}, "key of 15 bytes": {"key": bytes(15)},
        "key of 33 bytes": {"key": bytes(33)}, "no key": {"key": b""},
    }  # fmt: skip
    for name, change in cases.items():
        to.refuse(name, "key-stream", {"key": bytes(16), "offset": 0, "length": 16, **change}, "ValueError")


def uploads(to: Vectors, at: Round) -> None:
    """Add every member's upload."""
    for name in MEMBERS:
        slots = {key: [str(value) for value in values] for key, values in at.slots(name).items()}
        given = {**at.given(), "me": name, "private": mask_private(name), "seed": self_seed(name), "slots": slots}
        out = {"upload": at.upload(name), "root": at.root(name)}
        to.accept(f"{at.bits} bits: upload of {name}", "protect", given, out)
        assert at.on_wire(at.groups[1], words(str(at.groups[1]["layout"]), at.slots(name)["update"])) == wire(
            str(at.groups[1]["layout"]), at.slots(name)["update"]
        )


def openings(to: Vectors, at: Round) -> None:
    """Add sums that are opened, with and without a member."""
    for name, u3, by in (
        ("nobody dropped", MEMBERS, MEMBERS), ("three answer", MEMBERS, MEMBERS[1:]),
        ("one dropped", MEMBERS[:3], MEMBERS[:3]), ("first dropped", MEMBERS[1:], MEMBERS[1:]),
    ):  # fmt: skip
        out = {"sums": at.sums(u3)}
        to.accept(f"{at.bits} bits: {name}", "open-sum", at.opening(u3, by), out)


def dealing(to: Vectors) -> None:
    """Add what a dealer signs of its shares: digests, leaves and their root."""
    for owner in MEMBERS[:2]:
        leaves, hashed = [], []
        for x, receiver in enumerate(MEMBERS, start=1):
            piece = sha(drawn(f"piece {owner} {receiver}", 64))
            b, sk = dealt(self_seed(owner), f"b/{owner}", receiver), dealt(mask_private(owner), f"sk/{owner}", receiver)
            parts = (("seed", b), ("key", sk))
            digests = [sha(fields(f"{PLACE}share-of-{kind}", owner, x, part)) for kind, part in parts]
            leaves.append({"x": x, "piece": piece, "seed": b, "key": sk})
            hashed.append(leaf(fields(f"{PLACE}share-leaf", owner, x, piece, *digests)))
        for count in (1, 3, 4):
            given = {"owner": owner, "leaves": leaves[:count]}
            to.accept(f"{count} leaves of {owner}", "dealt-root", given, tree_hash(hashed[:count]))


def lied(answers: dict[str, dict[str, object]], member: str, **changes: object) -> dict[str, dict[str, object]]:
    """Return answers with one member's changed."""
    return {**answers, member: {**answers[member], **changes}}


def refused(to: Vectors, at: Round) -> None:
    """Add answers and uploads that open nothing."""
    u3, first = MEMBERS[:3], MEMBERS[0]
    good = at.opening(u3, u3)
    answers = at.answers(u3, u3)
    both = {name: dealt(self_seed(name), f"b/{name}", first) for name in MEMBERS}
    private = {name: dealt(mask_private(name), f"sk/{name}", first) for name in MEMBERS}
    stranger = {**private, "stranger": bytes(33)}
    for name, changed in {
        "a self mask's share of one who dropped": lied(answers, first, seeds=both),
        "a private key's share of a contributor": lied(answers, first, keys=private),
        "a share of a stranger": lied(answers, first, keys={"stranger": stranger["stranger"]}),
        "an answer about another U2": lied(answers, first, u2=drawn("another U2", 32)),
    }.items():
        given = {**good, "answers": changed}
        to.refuse(f"{at.bits} bits: {name}", "open-sum", given, "ProtocolViolation", rule="answer.sets")
    wrong = {name: (5).to_bytes(33, "big") for name in u3}
    for name, changed in {
        "two answers where three are needed": at.answers(u3, u3[:2]), "no answers": {},
        "no share of the one who dropped": {key: {**entry, "keys": {}} for key, entry in answers.items()},
    }.items():  # fmt: skip
        to.refuse(f"{at.bits} bits: {name}", "open-sum", {**good, "answers": changed}, "TryLater", code="E-SHARES")
    for name, rule, changed in (
        ("a forged share among three", "shares.commitment", lied(answers, first, seeds=wrong)),
        ("a share that is no field element", "shamir.range", lied(answers, first, keys={MEMBERS[3]: b"\xff" * 33})),
    ):
        given = {**good, "answers": changed}
        to.refuse(f"{at.bits} bits: {name}", "open-sum", given, "ProtocolViolation", rule=rule)
    for name, data in (("short", at.upload(first)[1:]), ("long", at.upload(first) + b"\0"), ("empty", b"")):
        changed_uploads = {**{key: at.upload(key) for key in u3}, first: data}
        given = {**good, "uploads": changed_uploads}
        to.refuse(f"{at.bits} bits: {name} upload", "open-sum", given, "ProtocolViolation", rule="upload.length")
    slots = {key: [str(value) for value in values] for key, values in at.slots(first).items()}
    for name, key in (("0", bytes(32)), ("1", (1).to_bytes(32, "little"))):
        keys = {**{peer: mask_public(peer) for peer in MEMBERS}, MEMBERS[2]: key}
        given = {
            **at.given(), "me": first, "private": mask_private(first), "seed": self_seed(first), "slots": slots,
            "mask_keys": keys,
        }  # fmt: skip
        what = f"{at.bits} bits: a peer's key is {name}"
        to.refuse(what, "protect", given, "ProtocolViolation", rule="agree.small-order")


def text() -> str:
    """Return the file's text."""
    rounds = [Round(bits) for bits in (16, 20, 24)]
    to = Vectors(
        "Key streams, masked uploads of a round of four members, and the openings of their sum.",
        manifests={f"{at.bits} bits": at.manifest for at in rounds},
    )
    streams(to)
    dealing(to)
    for at in rounds:
        uploads(to, at)
        openings(to, at)
        refused(to, at)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
