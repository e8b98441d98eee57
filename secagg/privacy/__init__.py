"""Clipping, rotation, noise and accounting for differential privacy."""
