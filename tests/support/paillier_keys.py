"""Paillier keys for tests: small ones made from a seed, and full-size ones whose primes are written down."""

from functools import lru_cache
from hashlib import shake_256

from gmpy2 import mpz

from secagg.crypto.paillier.keys import Profile
from secagg.crypto.paillier.private import PrivateKey, generate
from secagg.crypto.rng import Rng

SMALL = 512

_P2048 = (
    "c3bc2a0b4facdb9d3ae07e021505a8efba93406b1fbc85b084f9b9bcb80e689b1946fff9118e4a9a0a5ff1ec4502bf5856519bca5e0e0103"
    "3ae7826cbd4d0c9ed816da4f9bdfb87746cf94fed2eb80ab912418749515756153e45e2bf58d07516d9ec6c1f031803f9e80cbc57ff811e7"
    "4e2086d1063e7a1addd5d59a125e3c5b"
)
_Q2048 = (
    "f5678dbce4f4c926833925842d3c7eda9031c89c1cca4188721ced856674ec7046dd38a806fc051cc3c54ba0514e9580fd68c0b5aaa1b977"
    "30a3803ea6dc3f876f1aaf8856a44b348dbac0ffa96591f55b36052559244127ac221779e1bddc656a519d51dac672f318d7a5f334e56873"
    "41e4c3e824f13768d8ff8cbcc15a5667"
)
_FAST_P2048 = (
    "fd36bb8ec52b00d3bf05dd3e37569844708276551bd35a7ef6c533ba32097d359739e09b4ffc93f577665cf19684e0be22ca86ebc23357ca"
    "f099e500432e0f7c16ba54f993ca91baf81b86786de314db77c0bcbf6f8944d46a5e067d23776cd32f49a54abc78feffc6e87f5a32415c77"
    "f8272827921cfc734c797069bfc3383b"
)
_FAST_Q2048 = (
    "c35a7c7f2959bcd179a4976de710aab28ca2f5053ce47da6b56e36a7067e89695e95fb32716469ecda77ffe14cdcb2d7fb959570792079ca"
    "8986e1a9ae20e30b1c2fd9a940c84b28e0b8933aacae867910fb1176809f84f405872c7a055810d9a50df6cff4481128f0dfbb6eb9981616"
    "d897e9ecd99eb64586fcf13614769f53"
)
_FAST_ORDERS = (
    "a485efdc4fde02ea8a8d9fd996ecaed889509eabbff95cb8b1f14a23",
    "9a5d98f832732ae5cf6ac9632de1813079e7930ddc1926d5aa73a297",
)


def seeded(seed: str) -> Rng:
    """Return a generator that gives the same bytes in every run."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return shake_256(f"{seed}/{count}".encode()).digest(size)

    return draw


@lru_cache
def small(profile: Profile = "provable", bits: int = SMALL, seed: str = "key") -> PrivateKey:
    """Return a weak key, made once."""
    return generate(profile, bits, seeded(f"{seed}/{profile}/{bits}"), weak=True)


@lru_cache
def full(profile: Profile = "provable") -> PrivateKey:
    """Return a key of 2048 bits."""
    if profile == "fast":
        orders = (mpz(_FAST_ORDERS[0], 16), mpz(_FAST_ORDERS[1], 16))
        return PrivateKey(profile, (mpz(_FAST_P2048, 16), mpz(_FAST_Q2048, 16)), orders)
    return PrivateKey(profile, (mpz(_P2048, 16), mpz(_Q2048, 16)))
