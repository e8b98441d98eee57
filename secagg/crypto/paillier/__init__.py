"""Packed Paillier: keys, encryption, products, threshold decryption and proofs; the only room with gmpy2 and phe."""
