"""The role `trustee`: holds a share of a decryption key, and opens sums that it multiplied itself (protocol §5)."""
