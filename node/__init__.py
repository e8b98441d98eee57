"""The node daemon of an institution."""
