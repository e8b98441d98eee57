"""Length-prefixed contexts: two different lists of fields never give the same bytes.

Rule (protocol §1): everything that is signed, derived or sealed is bound to its context through `fields`.
"""


def fields(*parts: bytes | str | int) -> bytes:
    """Return every part behind its length (4 bytes, big-endian); text as UTF-8, integers in decimal ASCII."""
    return b"".join(len(data).to_bytes(4, "big") + data for data in map(_bytes, parts))


def _bytes(part: bytes | str | int) -> bytes:
    if isinstance(part, bytes):
        return part
    return str(part).encode()
