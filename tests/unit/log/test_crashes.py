"""The disk fails at every single step of a publication: nothing signed is lost, and the log goes on from there."""

from contextlib import closing
from pathlib import Path

import pytest

from secagg.crypto.sign import SigningKey
from secagg.log.checkpoint import open_checkpoint
from secagg.log.durable import TileLog, read_log
from secagg.log.witness import check

KEY = SigningKey.from_private_bytes(b"\x01" * 32)
ORIGIN = "trial/rounds"
STEPS = 8  # bundles 000 and 001, tiles 0/000, 0/001, 1/000, checkpoint; then a run that meets no failure


def leaf(index: int) -> bytes:
    return f"entry {index}".encode()


def fill(log: TileLog, size: int) -> None:
    while log.size < size:
        log.append(leaf(log.size))
    log.publish()


@pytest.mark.parametrize("step", range(STEPS))
def test_a_failure_at_any_step(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(TileLog(tmp_path, ORIGIN, ORIGIN, KEY)) as log:
        fill(log, 3)
        last = open_checkpoint(log.checkpoint, ORIGIN, KEY.public)
    left = [step]
    rename = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if left[0] == 0:
            path.write_bytes(path.read_bytes()[:10])
            raise OSError("no space left on device")
        left[0] -= 1
        return rename(path, target)

    with closing(TileLog(tmp_path, ORIGIN, ORIGIN, KEY)) as log, monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        if step < 6:
            with pytest.raises(OSError, match="no space left"):
                fill(log, 300)
            assert open_checkpoint(log.checkpoint, ORIGIN, KEY.public) == last
        else:
            fill(log, 300)
    published = read_log(tmp_path)[0]
    assert published == [leaf(index) for index in range(3 if step < 6 else 300)]
    with closing(TileLog(tmp_path, ORIGIN, ORIGIN, KEY)) as log:
        assert log.size >= len(published)
        fill(log, 301)
        assert check(leaf(300), log.prove(300, 3), ORIGIN, KEY.public, last).size == 301
    assert read_log(tmp_path)[0] == [leaf(index) for index in range(301)]


def test_a_failed_publication_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, target: Path) -> Path:
        raise OSError(f"no space left for {target}, from {path}")

    with closing(TileLog(tmp_path, ORIGIN, ORIGIN, KEY)) as log:
        log.append(leaf(0))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail)
            with pytest.raises(OSError, match="no space left"):
                log.publish()
        fill(log, 2)
    assert read_log(tmp_path)[0] == [leaf(0), leaf(1)]
