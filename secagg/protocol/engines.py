"""The table of engines: a name and where it lives. Read by command line and policy without numpy.

A new engine is one folder and one line here; tests/unit/protocol holds every line to the contract of `Engine`.
"""

from importlib import import_module
from types import ModuleType

from secagg.errors import BadInput

ENGINES = {"masks": "secagg.protocol.masks", "paillier": "secagg.protocol.paillier"}

ENTRUSTED = frozenset({"paillier"})
"""Engines whose sums trustees open: their manifests name who (`custody`)."""


def load(name: str, part: str) -> ModuleType:
    """Import one part (`node`, `aggregator`, `verify`) of an engine.

    Raises: BadInput naming the engines there are.
    """
    if name not in ENGINES:
        raise BadInput(f"There is no engine {name}.", f"Choose one of: {', '.join(ENGINES)}.")
    return import_module(f"{ENGINES[name]}.{part}")
