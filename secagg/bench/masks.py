"""What a round of engine `masks` costs one member and the aggregator, each measured in a process of its own.

Rules: one JSON object per case; seconds are medians (case.py says of which clock). Every ratio (`_x`, `_part`) divides
figures of the same run by the AES rate and the numpy sums of the same process. So it holds on any machine. Memory is
the peak above the process's own baseline, in vectors of 4·d bytes. `handicap` does the member's vector work twice and
must show.
Leaves to others: the roles (client.py, server.py), printing (command.py), judging (targets.py).
"""

import subprocess  # a role is this program again, started with its own interpreter
import sys
from typing import TypeVar

import msgspec
from msgspec import Struct

from secagg.bench.case import Case, ClientFigures, ServerFigures, establish
from secagg.crypto.rng import system_rng
from secagg.errors import BadInput

_SETTLED = 15e-3
"""Seconds that a small case may take besides: half of what does not depend on the length at fifty members."""

F = TypeVar("F", ClientFigures, ServerFigures)


class Figures(Struct, frozen=True):
    """What a case costs; fields from `client_x` on are ratios of one run.

    `client_seconds` is a member's cryptographic work in the round. `quantise_seconds`, from floats to words, come on
    top, and `protect_seconds`, its work on its vector, holds both. `client_x` = client ÷ (mask bytes ÷ AES rate),
    `client_settled_x` the same less 15 ms, `client_whole_x` = (client + quantise) ÷ it. `server_seconds` runs from the
    last upload to the logged sum. `server_x` = server ÷ (AES time of the masks that come off + as many plain numpy
    additions as there were uploads). `server_adding_x` is the same with the additions of all uploads (`adding_seconds`,
    done while they arrive). `server_vector_x` has only what it does with vectors (`unmask_seconds`, `adding_seconds`),
    and `server_aes_x` = server ÷ that AES time alone. `verify_part` = verify ÷ client. Vectors: peak memory ÷ 4·d.
    """

    engine: str
    nodes: int
    params: int
    bits: int
    dropouts: int
    graph: str
    degree: int
    threads: int
    client_seconds: float
    client_setup_seconds: float
    quantise_seconds: float
    protect_seconds: float
    server_seconds: float
    adding_seconds: float
    checking_seconds: float
    unmask_seconds: float
    verify_seconds: float
    verify_bytes: int
    verify_sent_bytes: int
    upload_bytes_per_param: float
    peak_rss_bytes: int
    exact: bool
    aes_gbps: float
    mask_bytes: int
    self_aes_seconds: float
    pair_aes_seconds: float
    additions_seconds: float
    client_x: float
    client_settled_x: float
    client_whole_x: float
    server_x: float
    server_adding_x: float
    server_vector_x: float
    server_aes_x: float
    verify_part: float
    node_vectors: float
    aggregator_vectors: float
    client_best_seconds: float
    server_best_seconds: float
    handicap: bool


def measure(case: Case) -> Figures:
    """Run both roles and return what the case costs.

    Raises: BadInput when the case leaves fewer members than a round needs, or a role does not come to its end.
    """
    manifest = establish(case, system_rng)[1]
    client, server = _role("client", case, ClientFigures), _role("server", case, ServerFigures)
    masks = client.mask_bytes / client.aes_rate
    own, pairs = server.self_bytes / server.aes_rate, server.pair_bytes / server.aes_rate
    plain, vector = own + pairs + server.additions_seconds, 4 * case.params
    return Figures(
        engine="masks", nodes=case.nodes, params=case.params, bits=case.bits, dropouts=len(case.dropped),
        graph=case.graph, degree=manifest.degree or case.nodes - 1, threads=case.threads,
        client_seconds=client.seconds, client_setup_seconds=client.setup_seconds,
        quantise_seconds=client.quantise_seconds, protect_seconds=client.protect_seconds, server_seconds=server.seconds,
        adding_seconds=server.adding_seconds, checking_seconds=server.checking_seconds,
        unmask_seconds=server.unmask_seconds, verify_seconds=server.verify_seconds, verify_bytes=server.verify_bytes,
        verify_sent_bytes=server.verify_sent_bytes,
        upload_bytes_per_param=(client.upload_bytes + client.control_bytes) / case.params,
        peak_rss_bytes=max(client.baseline_bytes + client.peak_bytes, server.baseline_bytes + server.peak_bytes),
        exact=server.exact, aes_gbps=client.aes_rate / 1e9, mask_bytes=client.mask_bytes, self_aes_seconds=own,
        pair_aes_seconds=pairs, additions_seconds=server.additions_seconds, client_x=client.seconds / masks,
        client_settled_x=(client.seconds - _SETTLED) / masks,
        client_whole_x=(client.seconds + client.quantise_seconds) / masks, server_x=server.seconds / plain,
        server_adding_x=(server.seconds + server.adding_seconds) / plain,
        server_vector_x=(server.unmask_seconds + server.adding_seconds) / plain,
        server_aes_x=server.seconds / (own + pairs), verify_part=server.verify_seconds / client.seconds,
        node_vectors=client.peak_bytes / vector, aggregator_vectors=server.peak_bytes / vector,
        client_best_seconds=client.best, server_best_seconds=server.best, handicap=case.handicap,
    )  # fmt: skip


def _role(name: str, case: Case, figures: type[F]) -> F:
    """Run a role in a process of its own and return what it reports."""
    command = [sys.executable, "-m", "secagg.bench.role", name]
    done = subprocess.run(command, input=msgspec.json.encode(case), capture_output=True, check=False)  # noqa: S603 - our own module
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise BadInput(f"The measured {name} did not come to its end: {said}", "Try a smaller case.")
    return msgspec.json.decode(done.stdout, type=figures)
