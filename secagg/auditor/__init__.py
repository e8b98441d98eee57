"""Offline verification of a bundle."""
