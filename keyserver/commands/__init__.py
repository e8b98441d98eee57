"""Commands of the key server."""
