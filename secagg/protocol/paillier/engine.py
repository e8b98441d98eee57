"""Engine `paillier`, put together: which module is which side.

Rule: this is the only module that the table of engines names; the type checker holds every side to its type.
"""

from secagg.protocol.engine import Engine
from secagg.protocol.paillier import member, opener, shell, terms, verify

ENGINE = Engine(terms=terms, sums=shell, member=member, audit=verify, opener=opener)
