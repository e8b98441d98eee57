"""Cryptographic primitives behind names of our own; the only room with `cryptography` and OS randomness."""
