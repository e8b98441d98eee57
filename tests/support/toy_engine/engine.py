"""Engine `toy`, put together: plain sums, which protect nobody. For tests: what a third engine has to be, and no more.

Whoever adds an engine writes a folder like this one and a line in the table (secagg.protocol.engines).
"""

from secagg.protocol.engine import Engine
from support.toy_engine import audit, member, sums, terms

ENGINE = Engine(terms=terms, sums=sums, member=member, audit=audit)
