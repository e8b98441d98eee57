"""The ceremony: a dealer makes a key that nobody holds, trustees check their shares and accept (protocol §5)."""
