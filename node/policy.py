"""`[policy]` of node.toml: what this institution's node takes part in.

Rules: what is not written has the strict default of secagg.protocol.acceptance.Policy. An unknown key, an unknown
engine or a value that would allow more than the protocol does is an error and never ignored. Leaves to others: holding
a manifest against it (secagg.protocol.acceptance). Source: docs/operations.md "Configuration".
"""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from secagg.daemon.config import duration, means
from secagg.errors import BadConfiguration
from secagg.ids import Count, Name, Ordinal
from secagg.protocol.acceptance import Policy
from secagg.protocol.affordable import Most
from secagg.protocol.engines import ENGINES
from secagg.protocol.round.spots import LEAVES, MOST

_STRICT, _MOST = Policy(), Most()
_PEER = re.compile(r"\A(?P<name>[a-z0-9-]{1,64})=(?P<key>[0-9a-f]{64})\Z")


class PolicySection(Struct, frozen=True, forbid_unknown_fields=True):
    """The section as written; `pinned_peers` are `name=key`, the key in 64 lowercase hex digits; `allow_trials` takes
    trustees of whom none may collude.

    `exact_counts` takes rounds whose sums hold exact numbers of examples. A sum tells the total of its members, and two
    sums with one member between them tell that member's number. `changing_sets` lets the members of a job change
    between its rounds. Two rounds with one member between them show that member's update, up to how much those of the
    others changed. Whoever runs the aggregator chooses who drops out. Without it every round of a job is summed over
    the set of its first. `unlisted_jobs` is how many training jobs over a source, after its first, need no
    `secagg node allow`; they are bound to the set of the first. `min_change` is the sine between two updates below
    which the second is taken for the first. `static_inputs` says whether all sums over a source are one input, or those
    of a task. `max_failures` is how many rounds of sums, or of training, may fail on a source's data. From then on
    every further job needs `secagg node allow`. Each failure tells one bit of the data to whoever chose the job."""

    min_nodes: Annotated[int, Meta(ge=3, lt=2**31), means("Members that a job has at least.")] = _STRICT.min_nodes
    max_colluders: Annotated[Count | None, means("Members that may collude, if more.")] = _STRICT.max_colluders
    engines: Annotated[tuple[Name, ...], Meta(min_length=1), means("Engines that it takes part in.")] = ("masks",)
    exact_counts: Annotated[bool, means("Whether sums may hold exact numbers of examples.")] = _STRICT.exact_counts
    max_rounds_per_source: Annotated[Ordinal, means("Rounds over one source at most.")] = _STRICT.max_rounds_per_source
    server: Annotated[Literal["malicious", "semi-malicious"], means("How far the aggregator is trusted.")] = "malicious"
    pinned_peers: Annotated[tuple[str, ...], means("Members whose keys are known here, as `name=key`.")] = ()
    changing_sets: Annotated[bool, means("Whether a job's members may change between rounds.")] = _STRICT.changing_sets
    unlisted_jobs: Annotated[Count, means("Training jobs of a source that need no word.")] = _STRICT.unlisted_jobs
    min_change: Annotated[float, Meta(ge=0.0, lt=1.0), means("Least sine between two updates.")] = _STRICT.min_change
    static_inputs: Annotated[Literal["source", "task"], means("Whose sums are one input.")] = "source"
    max_failures: Annotated[Ordinal, means("Rounds that may fail on a source's data.")] = _STRICT.max_failures
    allow_trials: Annotated[bool, means("Whether trustees may be such that none may collude.")] = _STRICT.allow_trials
    min_key_bits: Annotated[int, Meta(ge=2048, le=8192), means("Bits of a key at least.")] = _STRICT.min_key_bits
    spot_leaves: Annotated[int, Meta(ge=0, le=MOST), means("Leaves of every sum that are recomputed here.")] = LEAVES
    max_parameters: Annotated[Ordinal, means("Parameters of a job at most.")] = _MOST.max_parameters
    max_rounds: Annotated[Ordinal, means("Rounds of a job at most.")] = _MOST.max_rounds
    max_members: Annotated[Ordinal, means("Members of a job at most.")] = _MOST.max_members
    max_metrics: Annotated[Count, means("Metrics of a job at most.")] = _MOST.max_metrics
    max_step_time: Annotated[str, means("The longest step.")] = "1d"
    max_round_time: Annotated[str, means("The longest round.")] = "7d"

    def most(self) -> Most:
        """Return what a job may ask for. Raises: BadConfiguration when a time is none."""
        return Most(
            max_parameters=self.max_parameters, max_rounds=self.max_rounds, max_members=self.max_members,
            max_metrics=self.max_metrics, max_step_time=_milliseconds(self.max_step_time),
            max_round_time=_milliseconds(self.max_round_time),
        )  # fmt: skip

    def policy(self) -> Policy:
        """Return what manifests are held against.

        Raises: BadConfiguration when a pinned peer is no `name=key` or pinned twice, or there is no such engine.
        """
        for engine in self.engines:
            if engine not in ENGINES:
                cause = f"policy.engines lists {engine}, and there is no such engine."
                raise BadConfiguration(cause, f"Choose among: {', '.join(ENGINES)}.")
        return Policy(
            min_nodes=self.min_nodes, max_colluders=self.max_colluders, engines=self.engines,
            exact_counts=self.exact_counts, max_rounds_per_source=self.max_rounds_per_source, server=self.server,
            pinned_peers=_pins(self.pinned_peers), allow_trials=self.allow_trials, min_key_bits=self.min_key_bits,
            changing_sets=self.changing_sets, unlisted_jobs=self.unlisted_jobs, min_change=self.min_change,
            static_inputs=self.static_inputs, max_failures=self.max_failures, most=self.most(),
        )  # fmt: skip


def _milliseconds(text: str) -> int:
    return max(1, round(duration(text) * 1000))


def _pins(written: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pins: dict[str, str] = {}
    for entry in written:
        found = _PEER.match(entry)
        if found is None:
            raise BadConfiguration(
                f"policy.pinned_peers: {entry!r} is not name=key.", "Write the signing key as 64 lowercase hex digits."
            )
        if found["name"] in pins:
            raise BadConfiguration(f"policy.pinned_peers: {found['name']} is pinned twice.", "Keep one of the two.")
        pins[found["name"]] = found["key"]
    return tuple(pins.items())
