"""Constant-time powers by OpenSSL: the libcrypto that the interpreter's own `ssl` is linked with, through ctypes.

Rules (protocol §5, attack 30, ADR 14): only `BN_mod_exp_mont_consttime`, the routine behind OpenSSL's own private RSA
and Diffie-Hellman keys. It has windows of one width, and every entry of the table is read for every window. So its time
and its memory accesses depend on lengths only. Exponent and modulus carry BN_FLG_CONSTTIME, and the exponent is
overwritten when it is freed. ctypes gives up the interpreter's lock for every call. Where no such library can be
reached, `LIBRARY` is None; nothing else in the product loads a foreign library.
Leaves to others: what runs instead, blinding, which exponents are secret (powers).
"""

import ctypes
from ctypes import c_char_p, c_int, c_void_p
from importlib.util import find_spec
from types import TracebackType

from gmpy2 import mpz

Library = ctypes.CDLL

_CONSTTIME = 4
"""BN_FLG_CONSTTIME: setting up for a modulus takes the path without branches."""

_FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {
    "BN_CTX_new": (c_void_p, ()),
    "BN_CTX_free": (None, (c_void_p,)),
    "BN_MONT_CTX_new": (c_void_p, ()),
    "BN_MONT_CTX_free": (None, (c_void_p,)),
    "BN_MONT_CTX_set": (c_int, (c_void_p, c_void_p, c_void_p)),
    "BN_new": (c_void_p, ()),
    "BN_clear_free": (None, (c_void_p,)),
    "BN_set_flags": (None, (c_void_p, c_int)),
    "BN_bin2bn": (c_void_p, (c_char_p, c_int, c_void_p)),
    "BN_bn2binpad": (c_int, (c_void_p, c_char_p, c_int)),
    "BN_mod_exp_mont_consttime": (c_int, (c_void_p,) * 6),
    "ERR_clear_error": (None, ()),
}


def load() -> Library | None:
    """Return the library with everything declared, None when the interpreter has none that can be reached."""
    spec = find_spec("_ssl")
    try:
        found = Library(None if spec is None or not spec.has_location else spec.origin)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return found


LIBRARY = load()


class Libcrypto:
    """base^exponent mod modulus for one exponent and one modulus, in one thread; a context manager."""

    def __init__(self, library: Library, exponent: int | mpz, modulus: int | mpz) -> None:
        """Set up.

        Raises: ValueError when the exponent is not positive or the modulus is not odd and above 1.
        """
        if exponent <= 0 or modulus <= 1 or not modulus & 1:
            raise ValueError("a secret exponent is positive and its modulus odd")
        self._library, self._width = library, _bytes(modulus)
        self._out = ctypes.create_string_buffer(self._width)
        self._context, self._montgomery = library.BN_CTX_new(), library.BN_MONT_CTX_new()
        self._base, self._result = library.BN_new(), library.BN_new()
        self._exponent, self._modulus = self._number(exponent), self._number(modulus)
        self._check(library.BN_MONT_CTX_set(self._montgomery, self._modulus, self._context))

    def __enter__(self) -> "Libcrypto":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        library = self._library
        for number in (self._exponent, self._base, self._result, self._modulus):
            library.BN_clear_free(number)
        library.BN_MONT_CTX_free(self._montgomery)
        library.BN_CTX_free(self._context)
        ctypes.memset(self._out, 0, self._width)

    def raised(self, base: mpz) -> mpz:
        """Return the power of a base from 0 to the modulus."""
        library, width = self._library, self._width
        library.BN_bin2bn(base.to_bytes(width, "big"), width, self._base)
        self._check(
            library.BN_mod_exp_mont_consttime(
                self._result, self._base, self._exponent, self._modulus, self._context, self._montgomery
            )
        )
        library.BN_bn2binpad(self._result, self._out, width)
        return mpz.from_bytes(self._out.raw, "big")

    def _number(self, value: int | mpz) -> int:
        data = value.to_bytes(_bytes(value), "big")
        found: int = self._library.BN_bin2bn(data, len(data), None)
        self._library.BN_set_flags(found, _CONSTTIME)
        return found

    def _check(self, done: int) -> None:
        """Raise MemoryError: of numbers that were checked, OpenSSL refuses nothing else."""
        if not done:
            self._library.ERR_clear_error()
            raise MemoryError("OpenSSL had no memory for a power")


def _bytes(value: int | mpz) -> int:
    return -(-int(value.bit_length()) // 8)
