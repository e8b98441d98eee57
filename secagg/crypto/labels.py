"""Length-prefixed contexts: two different lists of fields never give the same bytes.

Rule (protocol §1): everything that is signed, derived or sealed is bound to its context through `fields`.
"""


def fields(*parts: bytes | str | int) -> bytes:
    """Return every part behind its length (4 bytes, big-endian); text as UTF-8, integers in decimal ASCII."""
    found: list[bytes] = []
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        found += (len(data).to_bytes(4, "big"), data)
    return b"".join(found)
