"""Whole rounds in one process: who takes part, what a party remembers, and the runner."""
