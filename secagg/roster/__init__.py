"""Members of a federation, the roster chain, tokens and fingerprints."""
