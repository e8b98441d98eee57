"""Demonstrations that start the roles as processes."""
