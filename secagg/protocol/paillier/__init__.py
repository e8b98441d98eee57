"""Engine `paillier`: packed, threshold, verifiable; one message from each node, t of m trustees open (protocol §5)."""
