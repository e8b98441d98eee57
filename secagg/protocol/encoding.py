"""Which words an input becomes, as far as a job chooses it: what has to stay when an input is summed again.

Rules (protocol §6.5): two sums of one input in two encodings tell more than one does. W · Σ min(n, W) · update is a
line in the bound W but at members that have exactly W examples. A clip bends it at their values. So the digest covers
every field of a job that an unchanged input's words depend on, the rule of local training too. It covers nothing that
only says how words lie (engine, layouts, room for the cohort), so that one input may be summed by any engine. It covers
no step that is computed from the sum.
Leaves to others: making words (lanes.py), which input it is and when it is refused (inputs.py).
"""

from secagg.crypto.derive import sha256
from secagg.crypto.labels import fields
from secagg.learning.algorithms import at_members
from secagg.protocol.manifest import JobSpec, Manifest
from secagg.vector.codec import described

ENCODING_LABEL = "secagg/v2/ledger/encoding"


def encoding_digest(of: JobSpec | Manifest) -> bytes:
    """Return what names the encoding of a job; a sum has no weight.

    Which lanes and metrics there are belongs to it, with codecs and bounds; in which order they lie does not.
    """
    vectors = [fields(lane.name, int(lane.weighted), *described(lane.codec)) for lane in of.lanes]
    scalars = [fields(lane.name, lane.bound, lane.fraction) for lane in of.scalars]
    bound = of.weight_bound if of.purpose == "training" else 0
    return sha256(
        fields(
            ENCODING_LABEL, of.purpose, bound, fields(*at_members(of.algorithm)), fields(*sorted(vectors)),
            fields(*sorted(scalars)),
        )
    )  # fmt: skip
