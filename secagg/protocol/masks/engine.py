"""Engine `masks`, put together: which module is which side.

Rule: this is the only module that the table of engines names; the type checker holds every side to its type.
"""

from secagg.protocol.engine import Engine
from secagg.protocol.masks import member, shell, spot, terms, verify

ENGINE = Engine(terms=terms, sums=shell, member=member, audit=verify, spots=spot)
