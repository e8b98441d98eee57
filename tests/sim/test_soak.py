"""`make soak`: goes on where it was stopped, and says the same as a run without a stop."""

from pathlib import Path

import pytest

from support import soak


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Blocks of two seeds; what is run, not only read back."""
    blocks: list[range] = []
    real = soak.run_block

    def run_block(bug: str, engine: str, seeds: range) -> soak.Block:
        blocks.append(seeds)
        return real(bug, engine, seeds)

    monkeypatch.setattr(soak, "BLOCK", 2)
    monkeypatch.setattr(soak, "run_block", run_block)
    return blocks


def test_a_stopped_run_goes_on(ran: list[range], tmp_path: Path) -> None:
    begun = soak.Soak(range(0, 2), "", 1, tmp_path)
    assert begun.run() == {}
    whole = soak.Soak(range(0, 4), "", 1, tmp_path)
    assert whole.run() == {}
    assert ran == [range(0, 2), range(2, 4)]
    again = soak.Soak(range(0, 4), "", 1, tmp_path)
    assert again.run() == {}
    assert len(ran) == 2
    assert again.report() == whole.report()
    assert begun.digest() != whole.digest()


def test_a_torn_line_of_progress_is_run_again(ran: list[range], tmp_path: Path) -> None:
    soak.Soak(range(0, 2), "", 1, tmp_path).run()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    again = soak.Soak(range(0, 2), "", 1, tmp_path)
    again.run()
    assert ran == [range(0, 2), range(0, 2)]
    assert len(again.blocks) == 1


def test_a_seed_that_fails_is_printed_with_its_replay(
    ran: list[range], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = soak.Soak(range(2, 4), "keys-not-erased", 1, tmp_path).run()
    assert list(found) == [2]
    assert "replay: make soak SEEDS=2 TRACE=1 BUG=keys-not-erased" in capsys.readouterr().out
    assert soak.trace(2, "keys-not-erased") == 1
    assert "ORACLE" in capsys.readouterr().out


@pytest.mark.long
def test_engines_have_progress_and_digests_of_their_own(ran: list[range], tmp_path: Path) -> None:
    masks = soak.Soak(range(7, 8), "", 1, tmp_path)
    trusted = soak.Soak(range(7, 8), "", 1, tmp_path, "paillier")
    assert (masks.run(), trusted.run()) == ({}, {})
    assert len(ran) == 2
    assert masks.digest() != trusted.digest()
    assert soak.replay(5, engine="paillier") == "make soak SEEDS=5 TRACE=1 ENGINE=paillier"


def test_seeds_are_read_as_written() -> None:
    assert soak.seeds_of("5-8") == range(5, 8)
    assert soak.seeds_of("7") == range(7, 8)
