"""A whole round in one process: every member real, every message checked by everybody (secagg.rehearsal.run).

Rules: the sum is compared with the numpy sum of the clear words. Uploads are added as they come and dropped, so that
memory stays O(d) whatever the number of members. Slower than one role per process, and the proof that what those
measure is a round. Leaves to others: figures by role (masks.py).
"""

import time
from collections.abc import Iterator, Mapping

import numpy as np
from msgspec import Struct

from secagg.bench.case import Case, establish, policy
from secagg.bench.footprint import Footprint
from secagg.bench.inputs import update_of
from secagg.crypto.rng import Rng
from secagg.protocol.lanes import Quantised, Words, packing
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.phases import Closed
from secagg.rehearsal.federation import Federation, party, table
from secagg.rehearsal.run import run_round


class WholeFigures(Struct, frozen=True):
    """What a whole round in one process took."""

    engine: str
    nodes: int
    params: int
    bits: int
    dropouts: int
    graph: str
    seconds: float
    peak_bytes: int
    peak_rss_bytes: int
    exact: bool


class _Kept(Quantised):
    """A contribution that adds its clear words to the reference as it makes them."""

    def __init__(self, federation: Federation, manifest: Manifest, factor: float, inputs: "Inputs") -> None:
        update = inputs.template * np.float32(factor)
        super().__init__(manifest, {manifest.lanes[0].name: update}, 100, {}, federation.rng)
        self._inputs = inputs

    def fill(self, group: str, start: int, out: Words) -> None:
        """Make words and remember their sum."""
        super().fill(group, start, out)
        self._inputs.reference[group][start : start + len(out)] += out


class Inputs(Mapping[str, Quantised]):
    """Members' float32 updates, made when asked for; `reference` is the sum of the clear words that were made."""

    def __init__(self, federation: Federation, manifest: Manifest) -> None:
        self._federation, self._manifest = federation, manifest
        self.template = update_of(federation.spec.parameters, federation.rng)
        packs = {group.name: packing(group) for group in manifest.groups}
        self.reference: dict[str, Words] = {
            name: np.zeros(pack.words, dtype=pack.dtype) for name, pack in packs.items()
        }

    def __getitem__(self, name: str) -> Quantised:
        index = list(self._federation.members).index(name)
        return _Kept(self._federation, self._manifest, 1.0 / (index + 1), self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._federation.members)

    def __len__(self) -> int:
        return len(self._federation.members)


class _Forgetful(list[object]):
    """A wire that keeps nothing."""

    def append(self, item: object) -> None:
        """Let a message go."""
        del item


def measure(case: Case, rng: Rng) -> WholeFigures:
    """Run one round in process and return what it cost.

    Raises: BadInput when the case leaves fewer members than a round needs.
    """
    federation, manifest = establish(case, rng)
    space, began = Footprint(), time.perf_counter()
    inputs = Inputs(federation, manifest)
    parties = {name: party(federation, name, policy=policy(case)) for name in case.names}
    drops = dict.fromkeys(case.dropped, "MaskedInput")
    seated = table(federation, inputs, drops, manifest=manifest, parties=parties, keep_uploads=False)
    seated.wire = _Forgetful()  # type: ignore[assignment]  # a list of messages that stays empty
    end = run_round(seated)
    for group in manifest.groups:
        packing(group).reduce(inputs.reference[group.name])
    wanted = inputs.reference
    exact = isinstance(end, Closed) and all(
        np.array_equal(np.frombuffer(group.words, dtype=wanted[group.name].dtype), wanted[group.name])
        for group in end.published.groups
    )
    return WholeFigures(
        engine="masks", nodes=case.nodes, params=case.params, bits=case.bits, dropouts=len(case.dropped),
        graph=case.graph, seconds=time.perf_counter() - began, peak_bytes=space.peak(), peak_rss_bytes=space.whole(),
        exact=exact,
    )  # fmt: skip
