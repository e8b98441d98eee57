"""Rounds in process that are kept as a member's check needs them, honest or not, and the evidence that follows."""

import numpy as np
from msgspec import Raw

from secagg.demo.lying import CheatingTable
from secagg.protocol.masks.rounds import Unmasked, Unmasking
from secagg.protocol.masks.spot import Transcript, transcript_of
from secagg.protocol.round import spots
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.lie import Lie
from secagg.protocol.round.phases import Closed, within
from secagg.protocol.round.spots import frozen_entry
from secagg.rehearsal.federation import Federation, propose, table
from secagg.rehearsal.run import Table, run_round
from secagg.wire.codec import encode
from support.federation import counted_rng, inputs_of, make

FEDERATION = make(4, parameters=20_000)


class Kept(Table):
    """A table that keeps what opened the round."""

    transcript: Transcript

    def open_sum(self, asked: Effect | None = None) -> Event:
        """Keep the transcript."""
        phase = self.phase
        assert isinstance(phase, Unmasking)
        self.transcript = transcript_of(phase, frozen_entry(self.log.size, self.log.leaf, phase.scope))
        return super().open_sum(asked)


class Lying(Kept, CheatingTable):
    """A table that keeps what opened the round, and lies."""


class Thousandfold(Kept):
    """A table whose aggregator publishes a thousand times the sum of all n_k: every model step is a thousandth."""

    def open_sum(self, asked: Effect | None = None) -> Event:
        """Return a clear sum with that lie in a scalar."""
        made = within(super().open_sum(asked), Unmasked)
        made.groups["scalars"][1] *= np.uint64(1000)
        return made


def evidence_of(kind: type[Kept], federation: Federation = FEDERATION) -> tuple[Lie, Kept]:
    """Play a round and return what a member that checks it holds, whether the aggregator lied or not."""
    manifest = propose(federation)
    made = kind(**vars(table(federation, inputs_of(federation, manifest), {"node-02": "MaskedInput"})))
    end = run_round(made)
    assert isinstance(end, Closed)
    drawn = spots.draw(manifest, counted_rng(b"draw"))
    leaves = tuple(spots.leaves(manifest, data, spots.tree_of(manifest, data), drawn) for data in made.uploads.values())
    return Lie(
        aggregator_key=federation.aggregator.public, result=end.leaf, proof=end.proof, salt=end.salt,
        published=encode(end.published), transcript=Raw(encode(made.transcript)), leaves=leaves,
    ), made  # fmt: skip
