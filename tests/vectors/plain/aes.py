"""AES in counter mode, byte by byte, for generators only. Source: FIPS 197, SP 800-38A §6.5."""


def _doubled(value: int) -> int:
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _product(left: int, right: int) -> int:
    result = 0
    while right:
        if right & 1:
            result ^= left
        left, right = _doubled(left), right >> 1
    return result


def _substitution(value: int) -> int:
    inverse = next((other for other in range(256) if _product(value, other) == 1), 0)
    result = 0x63
    for shift in range(5):
        result ^= inverse << shift | inverse >> (8 - shift)
    return result & 0xFF


S_BOX = [_substitution(value) for value in range(256)]


def _round_keys(key: bytes) -> list[bytes]:
    count = len(key) // 4
    words = [key[4 * i : 4 * i + 4] for i in range(count)]
    constant = 1
    for index in range(count, 4 * (count + 7)):
        last = words[-1]
        if index % count == 0:
            last = bytes(S_BOX[value] for value in last[1:] + last[:1])
            last = bytes([last[0] ^ constant]) + last[1:]
            constant = _doubled(constant)
        elif count > 6 and index % count == 4:
            last = bytes(S_BOX[value] for value in last)
        words.append(bytes(a ^ b for a, b in zip(words[-count], last, strict=True)))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def _mixed(state: list[int]) -> list[int]:
    result = []
    for at in range(0, 16, 4):
        a, b, c, d = state[at : at + 4]
        result += [
            _doubled(a) ^ _doubled(b) ^ b ^ c ^ d,
            a ^ _doubled(b) ^ _doubled(c) ^ c ^ d,
            a ^ b ^ _doubled(c) ^ _doubled(d) ^ d,
            _doubled(a) ^ a ^ b ^ c ^ _doubled(d),
        ]
    return result


def _block(keys: list[bytes], block: bytes) -> bytes:
    state = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for number, key in enumerate(keys[1:], start=1):
        state = [S_BOX[state[5 * at % 16]] for at in range(16)]
        if number < len(keys) - 1:
            state = _mixed(state)
        state = [a ^ b for a, b in zip(state, key, strict=True)]
    return bytes(state)


def key_stream(key: bytes, length: int, offset: int = 0) -> bytes:
    """Return `length` bytes of AES-CTR with IV 0 from byte `offset`, a multiple of 16."""
    keys, start = _round_keys(key), offset // 16
    blocks = (_block(keys, (start + at).to_bytes(16, "big")) for at in range(-(-length // 16)))
    return b"".join(blocks)[:length]
