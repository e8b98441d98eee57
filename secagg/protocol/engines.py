"""The table of engines: a name and where it lives. Read by command line and policy without numpy.

A new engine is one folder and one line here. Its engine.py says which of its modules is which side, and the type
checker holds each to its type (secagg.protocol.engine).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from secagg.errors import BadConfiguration, BadInput, Refused

if TYPE_CHECKING:
    from secagg.protocol.engine import Engine, OpenerSide

ENGINES = {"masks": "secagg.protocol.masks", "paillier": "secagg.protocol.paillier"}

ENTRUSTED = frozenset({"paillier"})
"""Engines whose sums trustees open: their manifests name who (`custody`)."""


def load(name: str) -> Engine:
    """Return an engine.

    Raises: BadInput naming the engines there are; BadConfiguration when what it needs is not installed.
    """
    if name not in ENGINES:
        raise BadInput(f"There is no engine {name}.", f"Choose one of: {', '.join(ENGINES)}.")
    try:
        found: Engine = import_module(f"{ENGINES[name]}.engine").ENGINE
    except ModuleNotFoundError as error:
        if error.name != "gmpy2":
            raise
        raise BadConfiguration("gmpy2 is not installed.", "pip install 'secagg[paillier]'") from None
    return found


def opener_of(name: str) -> OpenerSide:
    """Return the side of an engine that its trustees ask.

    Raises: Refused (`trustee.engine`) when there is no such engine, or it has no trustees.
    """
    opener = load(name).opener if name in ENTRUSTED else None
    if opener is None:
        cause = "The manifest is of an engine that has no trustees."
        raise Refused(cause, "This trustee takes no part in the round.", rule="trustee.engine")
    return opener
