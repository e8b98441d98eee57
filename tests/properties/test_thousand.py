"""A thousand members on a sparse graph, a hundred of them dropping out before their upload: the sum is exact.

Everybody verifies everybody's signatures, a million of them; in one process nobody verifies what was signed there.
Takes about four minutes and 9 GB: left out of the default run (`pytest -m slow`).
"""

import numpy as np
import pytest

from secagg.crypto.rng import system_rng
from secagg.protocol.acceptance import Policy
from secagg.protocol.lanes import Groups, encode_sum
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import found, party, propose, table
from secagg.rehearsal.run import run_round
from secagg.vector.codec import FRACTION
from support.federation import job

MEMBERS, PARAMETERS = 1000, 100_000
POLICY = Policy(server="semi-malicious")


class Inputs(dict[str, Groups]):
    """The clear words of a member, made when they are asked for: number i has i + 1 everywhere."""

    def __init__(self, names: tuple[str, ...], manifest: Manifest) -> None:
        super().__init__()
        self._names, self._manifest = names, manifest

    def __missing__(self, name: str) -> Groups:
        return encode_sum(self._manifest, np.full(PARAMETERS, float(self._names.index(name) + 1)))


class Forgetful(list[object]):
    """A wire that keeps nothing."""

    def append(self, item: object) -> None:
        del item


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_members_with_a_hundred_drop_outs_sum_exactly() -> None:
    names = tuple(f"node-{index:04d}" for index in range(MEMBERS))
    spec = job(
        names, purpose="sum", parameters=PARAMETERS, bits=64, weight_bound=1, scalars=(), graph="harary", dropouts=100
    )
    federation = found(names, spec, system_rng, 50)
    manifest = propose(federation)
    assert (manifest.degree, manifest.share_threshold) == (78, 52)
    drops = dict.fromkeys(names[::10], "MaskedInput")
    parties = {name: party(federation, name, policy=POLICY) for name in names}
    made = table(federation, Inputs(names, manifest), drops, parties=parties, keep_uploads=False)
    made.wire = Forgetful()  # type: ignore[assignment]  # a list of messages that stays empty
    end = run_round(made)
    assert isinstance(end, Closed)
    assert len(end.published.contributors) == 900
    update = next(group.words for group in end.published.groups if group.name == "update")
    wanted = sum(index + 1 for index in range(MEMBERS) if index % 10)
    fixed = np.frombuffer(update, dtype=np.int64)[1:]
    assert np.array_equal(fixed, np.full(PARAMETERS, wanted << FRACTION))
