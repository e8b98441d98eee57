"""What is installed without extras: neither torch nor big integers, because most roles need none."""

import re
from importlib.metadata import requires


def test_the_plain_installation_has_neither_torch_nor_gmpy2() -> None:
    plain = [line for line in requires("secagg") or () if "extra ==" not in line]
    names = {re.match(r"[A-Za-z0-9_.-]+", line).group().lower() for line in plain}  # type: ignore[union-attr]
    assert {"click", "cryptography", "msgspec", "numpy", "pyzmq"} <= names
    assert names.isdisjoint({"torch", "gmpy2", "phe"})
