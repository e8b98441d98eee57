"""Manifest, engines and the round, without I/O."""
