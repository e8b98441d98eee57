"""Engine `masks`: Bonawitz et al. 2017, malicious-server variant, hardened (protocol §3)."""
