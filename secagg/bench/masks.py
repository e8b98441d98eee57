"""What a round of engine `masks` costs one node and the aggregator, measured through the real messages.

Rules (operations, bench): client = from the float32 array to signed chunks in memory, keys, shares and signatures
included; server = from the last upload to the clear sum; `exact` compares with a numpy integer sum of the clear slots
made before protection; the AES limit is measured in the same run; the client figure is the
median over the members; `handicap` does the work on the vector twice and must show.
Leaves to others: printing (command.py), judging.
"""

import resource
import statistics
import time
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.crypto.prg import Keystream, aes_rate
from secagg.crypto.rng import Rng
from secagg.crypto.sign import SigningKey
from secagg.errors import BadInput
from secagg.ids import NO_DIGEST
from secagg.protocol.lanes import Groups, Words, encode_training, packing
from secagg.protocol.manifest import JobSpec, Manifest, Scalar
from secagg.protocol.masks.rounds import Closed, FromNode
from secagg.protocol.rehearsal import Federation, found, propose, table
from secagg.protocol.run import Table, run_round
from secagg.wire.chunks import ChunkHeader, count
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, sign

SERVER_PHASES = ("Freezing", "Agreeing", "Opening", "Unmasking")


class Case(Struct, frozen=True):
    """One measured case."""

    nodes: int
    params: int
    bits: int
    dropout: float
    handicap: bool = False


class Figures(Struct, frozen=True):
    """What a case costs; seconds are wall time of one role's own work, ratios are for the reader to form."""

    engine: str
    nodes: int
    params: int
    bits: int
    dropouts: int
    client_seconds: float
    server_seconds: float
    upload_bytes_per_param: float
    peak_rss_bytes: int
    exact: bool
    aes_gbps: float
    mask_bytes: int
    handicap: bool


class Inputs(Mapping[str, Groups]):
    """Members' float32 updates, made when asked for and quantised inside the measured time; sums the clear words."""

    def __init__(self, federation: Federation, manifest: Manifest, repeat: int) -> None:
        self._federation, self._manifest = federation, manifest
        self._repeat, self._asked = repeat, dict.fromkeys(federation.members, 0)
        self.reference: dict[str, Words] = {}
        self.spent = 0.0
        self._template = _update(federation.spec.parameters, federation.rng)

    def __getitem__(self, name: str) -> Groups:
        index = list(self._federation.members).index(name)
        update = self._template * np.float32(1.0 / (index + 1))
        words = encode_training(self._manifest, update, 100, {}, self._federation.rng)
        began = time.perf_counter()
        self._asked[name] += 1
        if self._asked[name] < self._repeat:
            return words
        for group, found_words in words.items():
            if group in self.reference:
                self.reference[group] += found_words
            else:
                self.reference[group] = found_words.copy()
        self.spent += time.perf_counter() - began
        return words

    def __iter__(self) -> Iterator[str]:
        return iter(self._federation.members)

    def __len__(self) -> int:
        return len(self._federation.members)


def _update(count_of: int, rng: Rng) -> npt.NDArray[np.float32]:
    """Return floats in [-1, 1) from key-stream bytes: real updates are not constant."""
    raw = np.zeros(count_of + 8, dtype=np.uint32)
    stream, view = Keystream(rng(16)), raw.view(np.uint8).data
    for start in range(0, 4 * count_of, 262_144):
        stream.fill(view[start:], min(262_144, len(view) - start))
    return (raw[:count_of].astype(np.float32) * np.float32(2.0**-31)) - np.float32(1.0)


def measure(case: Case, rng: Rng) -> Figures:
    """Run one round in process and return what it cost.

    Raises: BadInput when the case leaves fewer members than a round needs.
    """
    names = tuple(f"node-{index:04d}" for index in range(case.nodes))
    federation = found(names, _job(case, names), rng)
    manifest = propose(federation)
    dropped = names[1 : 1 + round(case.dropout * case.nodes)]
    if case.nodes - len(dropped) < manifest.needed:
        raise BadInput(
            f"{len(dropped)} of {case.nodes} drop out, but {manifest.needed} are needed.", "Lower --dropout."
        )
    repeat = 2 if case.handicap else 1
    inputs = Inputs(federation, manifest, repeat)
    seated = table(federation, inputs, dict.fromkeys(dropped, "MaskedInput"), manifest=manifest)
    seated.keep_uploads = False
    seated.repeat = repeat
    end = run_round(seated)
    exact = isinstance(end, Closed) and all(
        group.words == inputs.reference[group.name].tobytes() for group in end.published.groups
    )
    observed = names[0]
    client = statistics.median(seated.spent[name] for name in names if name not in dropped)
    sent = sum(len(entry.data) for entry in seated.wire if isinstance(entry, FromNode) and entry.sender == observed)
    upload = sum(packing(group).wire_bytes for group in manifest.groups)
    chunks_seconds, chunk_bytes = _chunks(manifest, federation.members[observed], upload, observed)
    return Figures(
        engine="masks", nodes=case.nodes, params=case.params, bits=case.bits, dropouts=len(dropped),
        client_seconds=client - inputs.spent / case.nodes + chunks_seconds,
        server_seconds=_server(seated),
        upload_bytes_per_param=(upload + sent + chunk_bytes) / case.params,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        exact=exact, aes_gbps=aes_rate(1.0) / 1e9,
        mask_bytes=case.nodes * sum(packing(g).words * np.dtype(packing(g).dtype).itemsize for g in manifest.groups),
        handicap=case.handicap,
    )  # fmt: skip


def _job(case: Case, names: tuple[str, ...]) -> JobSpec:
    return JobSpec(
        federation="bench", name="bench", purpose="training", task="bench", rounds=1, cohort=names, min_nodes=3,
        parameters=case.params, bits=case.bits, clip_log2=0, weight_bound=100, step_ms=60_000, round_ms=600_000,
        scalars=(Scalar("examples", 2**30), Scalar("saturated", 2**40)),
    )  # fmt: skip


def _server(seated: Table) -> float:
    return sum(seated.spent[phase] for phase in SERVER_PHASES)


def _chunks(manifest: Manifest, key: SigningKey, total: int, name: str) -> tuple[float, int]:
    """Return the seconds that hashing and signing an upload's chunks takes, and the bytes of their headers."""
    scope, body, headers = Scope(manifest.round, NO_DIGEST), bytes(manifest.chunk_bytes), 0
    began = time.perf_counter()
    for index in range(count(total, manifest.chunk_bytes)):
        header = ChunkHeader(manifest.round, name, index, manifest.chunk_bytes, total, sha256(body))
        headers += len(encode(sign(key, "ChunkHeader", scope, name, manifest.aggregator, encode(header))))
    return time.perf_counter() - began, headers
