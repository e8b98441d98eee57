"""Steps of algorithms value by value in Python's own floats: + − × ÷ and √ of IEEE 754, rounded after each of them."""

import struct
from math import sqrt


def near(value: float, dtype: str) -> float:
    """Return the value of a tensor of this dtype that is nearest."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0]) if dtype == "float32" else value


def fedadam(
    model: list[float], state: dict[str, list[float]], mean: list[float], numbers: dict[str, float], dtype: str
) -> tuple[list[float], dict[str, list[float]]]:
    """Return the next model and state; before the first round (`state` is empty) m is 0 and v is tau²."""
    rate, tau = numbers["rate"], numbers["tau"]
    first, second = numbers["beta1"], numbers["beta2"]
    m = state.get("m") or [0.0] * len(model)
    v = state.get("v") or [tau * tau] * len(model)
    m = [old * first + by * (1 - first) for old, by in zip(m, mean, strict=True)]
    v = [old * second + by * by * (1 - second) for old, by in zip(v, mean, strict=True)]
    x = [near(x + a * rate / (sqrt(b) + tau), dtype) for x, a, b in zip(model, m, v, strict=True)]
    return x, {"m": m, "v": v}


def fedavg(model: list[float], mean: list[float], dtype: str) -> list[float]:
    """Return the next model of federated averaging, and of FedProx."""
    return [near(x + by, dtype) for x, by in zip(model, mean, strict=True)]
