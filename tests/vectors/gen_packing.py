"""Write packing.json: slots to words, words to bytes, and sums of words, in Python's integers. `--check` compares."""

from vectors.plain.forms import drawn
from vectors.plain.writing import Vectors, finish

LAYOUTS = {"3x21": (8, 3), "3bytes": (4, 1), "lane32": (4, 1), "lane64": (8, 1)}
"""Bytes of a word in memory, slots in a word."""


def wire(layout: str, slots: list[int]) -> bytes:
    """Return the wire form of slots."""
    size, each = LAYOUTS[layout]
    result = b""
    for at in range(0, len(slots), each):
        word = sum(value << 21 * lane for lane, value in enumerate(slots[at : at + each])) % 256**size
        result += word.to_bytes(size, "little")[: 3 if layout == "3bytes" else size]
    return result


def text_of(slots: list[int]) -> list[str]:
    """Return integers as JSON can hold them."""
    return [str(value) for value in slots]


def slots_of(label: str, bits: int, count: int) -> list[int]:
    """Return slots that follow from the label, both ends among them."""
    inner = [int.from_bytes(drawn(f"{label}/{at}", 8), "big") % 2**bits for at in range(max(count - 2, 0))]
    return [0, 2**bits - 1, *inner][:count]


def packed(to: Vectors) -> None:
    """Add slots of every layout at its widest and narrower, with counts that leave a word unfilled."""
    for layout, bits, count in (
        ("3x21", 21, 1), ("3x21", 21, 3), ("3x21", 18, 8), ("3bytes", 24, 1), ("3bytes", 22, 5), ("lane32", 32, 4),
        ("lane32", 27, 3),
    ):  # fmt: skip
        slots = slots_of(layout, bits, count)
        given = {"layout": layout, "slot_bits": bits, "slots": text_of(slots)}
        to.accept(f"{count} slots of {bits} bits in {layout}", "pack", given, wire(layout, slots))
    signed = [0, -1, 2**63 - 1, -(2**63), 5]
    given = {"layout": "lane64", "slot_bits": 64, "slots": text_of(signed)}
    to.accept("two's complement", "pack", given, wire("lane64", signed))


def summed(to: Vectors) -> None:
    """Add sums of words that are opened again, one of them wrapped by masks."""
    for layout, bits in (("3x21", 18), ("3bytes", 22), ("lane32", 27), ("lane64", 64)):
        rows = [slots_of(f"sum/{row}", min(bits - 2, 40), 7) for row in range(4)]
        total = [sum(column) for column in zip(*rows, strict=True)]
        size, each = LAYOUTS[layout]
        modulus = 2**24 if layout == "3bytes" else 256**size
        masks = [int.from_bytes(drawn(f"{layout}/{at}", size), "little") % modulus for at in range(-(-7 // each))]
        first = wire(layout, rows[0])
        width = len(first) // len(masks)
        words = [int.from_bytes(first[at : at + width], "little") for at in range(0, len(first), width)]
        pairs = list(zip(words, masks, strict=True))
        plus = b"".join(((a + m) % modulus).to_bytes(width, "little") for a, m in pairs)
        minus = b"".join((-m % modulus).to_bytes(width, "little") for m in masks)
        uploads = [plus, *(wire(layout, row) for row in rows[1:]), minus]
        given = {"layout": layout, "slot_bits": bits, "count": 7, "uploads": uploads}
        to.accept(f"sum that wraps in {layout}", "sum", given, text_of(total))


def choices(to: Vectors) -> None:
    """Add what is chosen for a slot."""
    for value_bits, nodes, width, layout in (
        (16, 32, 21, "3x21"), (16, 33, 22, "3bytes"), (16, 256, 24, "3bytes"), (16, 257, 25, "lane32"),
        (31, 2, 32, "lane32"),
    ):  # fmt: skip
        given = {"value_bits": value_bits, "nodes": nodes}
        to.accept(f"{value_bits} bits, {nodes} members", "cheapest", given, {"slot_bits": width, "layout": layout})
    for value_bits, nodes in ((31, 3), (32, 2), (16, 65_537)):
        given = {"value_bits": value_bits, "nodes": nodes}
        to.refuse(f"{value_bits} bits, {nodes} members", "cheapest", given, "BadInput")


def refused(to: Vectors) -> None:
    """Add slots, layouts and bytes that do not fit."""
    for name, layout, bits, slots in (
        ("slot too large for 21 bits", "3x21", 21, [0, 2**21]), ("slot too large for 18 bits", "3x21", 18, [2**18]),
        ("slot below 0", "3x21", 21, [0, -1]), ("slot too large for 24 bits", "3bytes", 24, [2**24]),
        ("slot below 0 in 3bytes", "3bytes", 22, [-1]), ("slot too large for 32 bits", "lane32", 32, [2**32]),
        ("slot below 0 in lane32", "lane32", 32, [-1]),
    ):  # fmt: skip
        to.refuse(name, "pack", {"layout": layout, "slot_bits": bits, "slots": text_of(slots)}, "BadInput")
    for name, layout, bits, count in (
        ("unknown layout", "4x16", 16, 4), ("22 bits in 3x21", "3x21", 22, 3), ("25 bits in 3bytes", "3bytes", 25, 3),
        ("33 bits in lane32", "lane32", 33, 3), ("65 bits in lane64", "lane64", 65, 3), ("0 bits", "3x21", 0, 3),
        ("no slots", "3x21", 21, 0),
    ):  # fmt: skip
        given = {"layout": layout, "slot_bits": bits, "count": count, "uploads": []}
        to.refuse(name, "sum", given, "ProtocolViolation", rule="manifest.groups")
    for layout, right in (("3x21", 24), ("3bytes", 21), ("lane32", 28), ("lane64", 56)):
        for length in (right - 1, right + 1):
            given = {"layout": layout, "slot_bits": 18, "count": 7, "uploads": [bytes(length)]}
            to.refuse(f"{length} bytes of seven slots in {layout}", "sum", given, "WireError")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Packing: slots (decimal text) to little-endian words as they travel, and back from sums.")
    for add in (packed, summed, choices, refused):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
