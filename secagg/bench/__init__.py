"""Measured costs of the engines."""
