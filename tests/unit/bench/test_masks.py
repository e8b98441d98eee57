"""The benchmark tells the truth: sums are exact, roles do their whole work, bytes and memory are those of the role."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from secagg.bench import client, masks, server, whole
from secagg.bench.case import Case, ClientFigures, establish
from secagg.bench.command import bench
from secagg.bench.inputs import clear_words
from secagg.errors import BadInput
from secagg.protocol.lanes import packing
from secagg.protocol.manifest import GroupSum, Published
from support.federation import counted_rng

FIELDS = {
    "engine", "nodes", "params", "bits", "dropouts", "client_seconds", "server_seconds", "upload_bytes_per_param",
    "peak_rss_bytes", "exact", "aes_gbps",
}  # fmt: skip

CASES = [
    Case(4, 1000, 16),
    Case(10, 1000, 20, 0.2),
    Case(5, 200_000, 24, 0.2, threads=2),
    Case(5, 100_000, 31 - 3, repeat=2),
    Case(30, 500, 16, 0.05, graph="sparse", gamma=0.04),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_aggregator_gets_the_exact_sum_of_masked_uploads_in_every_layout(case: Case) -> None:
    figures = server.measure(case, counted_rng(b"bench"))
    assert figures.exact
    left = case.nodes - len(case.dropped)
    assert figures.self_bytes > 3 * left * case.params * 0.66
    assert (figures.pair_bytes > 0) == bool(case.dropped)
    if case.graph == "complete":
        assert figures.pair_bytes == len(case.dropped) * figures.self_bytes
    else:
        assert figures.pair_bytes < len(case.dropped) * figures.self_bytes
    assert min(figures.seconds, figures.adding_seconds, figures.checking_seconds, figures.verify_seconds) > 0
    assert figures.unmask_seconds < figures.seconds


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_member_sends_its_whole_upload_and_counts_every_message(case: Case) -> None:
    figures = client.measure(case, counted_rng(b"bench"))
    widths = {16: 8 / 3, 20: 3, 24: 4, 28: 4}
    assert figures.upload_bytes == pytest.approx(widths[case.bits] * case.params, abs=64)
    # Keys, a sealed pair of shares for every neighbour, the answer: more than a kilobyte each.
    assert figures.control_bytes > 1200 * (4 if case.graph == "sparse" else case.nodes - 1)
    assert figures.mask_bytes >= figures.upload_bytes
    # What is done to the vector holds its quantising, which is no cryptography.
    assert figures.seconds > figures.protect_seconds - figures.quantise_seconds > 0
    assert figures.quantise_seconds > 0


def test_a_sum_with_one_word_off_is_not_exact() -> None:
    """The reference is made from the clear words, not from what the aggregator found."""
    found = server.measure(Case(4, 1000, 16), counted_rng(b"bench"))
    assert found.exact
    manifest = establish(Case(4, 1000, 16), counted_rng(b"bench"))[1]
    uploads = server.Uploads(manifest, Path(), counted_rng(b"bench"), None)
    uploads.reference = clear_words(manifest, counted_rng(b"words"))
    groups = tuple(GroupSum(name, words.tobytes()) for name, words in sorted(uploads.reference.items()))
    published = Published(manifest.round, bytes(32), ("node-0000",), groups)
    assert uploads.exact(published)
    uploads.reference["update"][7] += 1
    assert not uploads.exact(published)


def test_clear_words_are_honest_values() -> None:
    """In every slot a code of the case's bits, canaries one: what decoding refuses would not be measured."""
    for bits, layout in ((16, "3x21"), (19, "3bytes"), (25, "lane32")):
        manifest = establish(Case(8, 1001, bits), counted_rng(b"bench"))[1]
        words = clear_words(manifest, counted_rng(b"words"))
        group = manifest.groups[1]
        slots = packing(group).unpack(words["update"])
        assert (group.layout, int(slots[0])) == (layout, 1)
        assert len(slots) == 1002
        assert int(slots.max()) < 2**bits
        assert int(slots[1:].max()) > 2 ** (bits - 1)
        assert int(words["scalars"][0]) == 1


def _handicap() -> float:
    """Return how many times longer a member works with the handicap."""
    plain, twice = (
        client.measure(Case(4, 1_000_000, 16, repeat=5, handicap=handicap), counted_rng(b"handicap")).protect_seconds
        for handicap in (False, True)
    )
    return twice / plain


def test_the_handicap_does_the_members_work_twice() -> None:
    # Three tries, as other work on the machine may slow one half of a measurement down and not the other.
    assert any(1.5 < _handicap() < 2.6 for _ in range(3))


def test_memory_is_counted_from_the_roles_own_baseline() -> None:
    """A member holds its update (4 bytes per parameter) and its upload; the interpreter alone has 40 MB."""
    figures = client.measure(Case(4, 2_000_000, 16), counted_rng(b"m"))
    assert 2_000_000 * (4 + 8 / 3) * 0.9 < figures.peak_bytes < 2_000_000 * 4 * 4


def test_a_case_below_the_quorum_is_refused() -> None:
    with pytest.raises(BadInput, match="are needed"):
        masks.measure(Case(4, 10, 16, 0.5))


def test_a_role_that_fails_says_why() -> None:
    with pytest.raises(BadInput, match=r"measured client did not come to its end: .*A slot of 42 bits"):
        masks._role("client", Case(4, 10, 40), ClientFigures)


@pytest.mark.parametrize("case", [Case(4, 1000, 16), Case(30, 200, 20, 0.06, graph="sparse", gamma=0.04, delta=0.07)])
def test_a_whole_round_of_real_members_is_exact(case: Case) -> None:
    assert whole.measure(case, counted_rng(b"whole")).exact


def test_the_command_prints_one_json_object_with_ratios_of_one_run() -> None:
    line = "--nodes 4 --params 3000 --dropout 0.25 --repeat 2 --format jsonl"
    done = CliRunner().invoke(bench, line.split())
    assert (done.exit_code, done.stderr) == (0, "")
    (found,) = [json.loads(row) for row in done.stdout.splitlines()]
    assert set(found) >= FIELDS
    assert (found["exact"], found["dropouts"], found["degree"]) == (True, 1, 3)
    masks_seconds = found["mask_bytes"] / (found["aes_gbps"] * 1e9)
    assert found["client_x"] == pytest.approx(found["client_seconds"] / masks_seconds)
    off = found["self_aes_seconds"] + found["pair_aes_seconds"]
    assert found["server_aes_x"] == pytest.approx(found["server_seconds"] / off)
    whole_work = found["server_seconds"] + found["adding_seconds"]
    plain = off + found["additions_seconds"]
    assert found["server_x"] == pytest.approx(found["server_seconds"] / plain)
    assert found["server_adding_x"] == pytest.approx(whole_work / plain)
    with_quantising = found["client_seconds"] + found["quantise_seconds"]
    assert found["client_whole_x"] == pytest.approx(with_quantising / masks_seconds)
    assert found["verify_part"] == pytest.approx(found["verify_seconds"] / found["client_seconds"])


def test_the_command_plays_a_whole_round() -> None:
    done = CliRunner().invoke(bench, ["--nodes", "4", "--params", "100", "--whole", "--format", "jsonl"])
    assert json.loads(done.stdout)["exact"] is True
