"""Ed25519 and X25519 in plain integers, for generators only: slow, not constant in time, and written from the RFCs.

Source: RFC 8032 §5.1 and §6, RFC 7748 §5.
"""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def _add(left: Point, right: Point) -> Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % P
    b = (left[1] + left[0]) * (right[1] + right[0]) % P
    c = 2 * left[3] * right[3] * D % P
    d = 2 * left[2] * right[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _x_of(y: int, sign: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    return P - x if x & 1 != sign else x


_BASE_Y = 4 * pow(5, -1, P) % P
_BASE_X = _x_of(_BASE_Y, 0)
BASE: Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)


def _compress(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _clamped(data: bytes) -> int:
    return int.from_bytes(data, "little") & (1 << 254) - 8 | 1 << 254


def ed25519_public(seed: bytes) -> bytes:
    """Return the public key of a 32-byte seed."""
    return _compress(_times(_clamped(hashlib.sha512(seed).digest()[:32]), BASE))


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Return the signature of a message (64 bytes)."""
    digest = hashlib.sha512(seed).digest()
    secret, public = _clamped(digest[:32]), ed25519_public(seed)
    nonce = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % ORDER
    first = _compress(_times(nonce, BASE))
    challenge = int.from_bytes(hashlib.sha512(first + public + message).digest(), "little") % ORDER
    return first + ((nonce + challenge * secret) % ORDER).to_bytes(32, "little")


def x25519(private: bytes, public: bytes) -> bytes:
    """Return the shared secret of 32 private bytes and a 32-byte public key: the Montgomery ladder."""
    scalar, u = _clamped(private), int.from_bytes(public, "little") & 2**255 - 1
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in range(254, -1, -1):
        swap = scalar >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def x25519_public(private: bytes) -> bytes:
    """Return the public key of 32 private bytes."""
    return x25519(private, (9).to_bytes(32, "little"))
