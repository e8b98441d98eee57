"""Floats to slots to words: quantisation, packing and ring arithmetic on numpy arrays."""
