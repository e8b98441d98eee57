"""Codec, signed messages, chunks and limits; knows no message."""
