"""The secure-aggregation service: sans-I/O protocol, transport, log and tools."""
