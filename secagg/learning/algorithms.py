"""The algorithms there are, by name. A new one is a file beside this one, a line in the table and a file of vectors.

Leaves to others: what an algorithm is (secagg.learning.algorithm).
"""

from collections.abc import Mapping
from types import MappingProxyType

from secagg.learning.algorithm import Algorithm
from secagg.learning.fedavg import FedAvg

ALGORITHMS: Mapping[str, type[Algorithm]] = MappingProxyType({"fedavg": FedAvg})

DEFAULT = "fedavg"
"""What a job trains by when it names nothing."""


def default() -> Algorithm:
    """Return the algorithm of a job that names none."""
    return ALGORITHMS[DEFAULT]()
