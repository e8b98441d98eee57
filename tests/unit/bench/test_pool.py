"""The pool: nothing comes out twice, whatever happens in between."""

import os
from pathlib import Path

import pytest
from gmpy2 import mpz

from secagg.bench.pool import Pool
from secagg.crypto.paillier.encrypt import obfuscate
from secagg.crypto.paillier.ring import Ring
from secagg.crypto.paillier.table import Table
from secagg.errors import BadConfiguration
from support.paillier_keys import seeded, small

RING = Ring(small().public)
TABLE = Table.build(RING, 2**16)
RNG = seeded("pool")


def filled(directory: Path, *sizes: int) -> Pool:
    pool = Pool(directory, RING, 1)
    for size in sizes:
        pool.put(obfuscate(TABLE, size, RNG))
    return pool


def test_what_comes_out_is_what_went_in_once(tmp_path: Path) -> None:
    made = obfuscate(TABLE, 10, RNG)
    with Pool(tmp_path / "pool", RING, 1) as pool:
        pool.put(made)
        pool.put(obfuscate(TABLE, 5, RNG))
        assert len(pool) == 15
        taken = [pool.take(4) for _ in range(5)]
    assert [len(one) for one in taken] == [4, 4, 4, 3, 0]
    values = [value for one in taken for value in one.values]
    assert len(set(values)) == 15
    assert set(made.values) <= set(values)
    assert all(
        value == TABLE.powers([r])[0] for one in taken for r, value in zip(one.exponents, one.values, strict=True)
    )


def test_the_files_are_gone_before_anything_is_handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = filled(tmp_path, 3, 3)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        pool.take(2)
    monkeypatch.undo()
    pool.close()
    with Pool(tmp_path, RING, 1) as again:
        assert len(again) == 3
        assert len(again.take(9)) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_dies_after_taking_leaves_nothing_of_it(tmp_path: Path) -> None:
    pool = filled(tmp_path, 4, 4)
    taken = pool.take(1)
    os.close(pool._handle)  # what the kernel does to a killed process
    with Pool(tmp_path, RING, 1) as again:
        rest = again.take(100)
    assert len(rest) == 4
    assert set(rest.values).isdisjoint(taken.values)


def test_a_file_is_overwritten_before_it_is_unlinked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, unlink = filled(tmp_path, 2), Path.unlink
    seen: list[bytes] = []

    def watched(path: Path) -> None:
        seen.append(path.read_bytes())
        unlink(path)

    monkeypatch.setattr(Path, "unlink", watched)
    pool.take(1)
    assert [set(data) for data in seen] == [{0}]
    pool.close()


@pytest.mark.parametrize("epoch", [0, 2])
def test_another_epochs_obfuscators_are_deleted(tmp_path: Path, epoch: int) -> None:
    filled(tmp_path, 3).close()
    with Pool(tmp_path, RING, epoch) as pool:
        assert len(pool) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ring", [Ring(small(seed="other").public), Ring(small().public, 2)])
def test_another_keys_obfuscators_are_deleted(tmp_path: Path, ring: Ring) -> None:
    filled(tmp_path, 3).close()
    with Pool(tmp_path, ring, 1) as pool:
        assert len(pool.take(1)) == 0


def test_damaged_and_half_written_files_are_deleted(tmp_path: Path) -> None:
    filled(tmp_path, 2, 2, 2, 2).close()
    first, second, third, fourth = sorted(tmp_path.iterdir())
    data = bytearray(first.read_bytes())
    data[-40] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-1])
    third.rename(third.with_suffix(".new"))
    (tmp_path / "stray").write_bytes(b"")
    with Pool(tmp_path, RING, 1) as pool:
        assert [path.name for path in tmp_path.iterdir()] == [fourth.name]
        fourth.write_bytes(b"damaged later")
        assert len(pool.take(2)) == 0
        pool.put(obfuscate(TABLE, 1, RNG))
        assert len(pool.take(2)) == 1


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with filled(tmp_path, 1), pytest.raises(BadConfiguration):
        Pool(tmp_path, RING, 1)
    with Pool(tmp_path, RING, 1) as pool:
        assert len(pool) == 1


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    filled(tmp_path / "pool", 1).close()
    assert (tmp_path / "pool").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "pool").iterdir())


def test_names_are_not_used_again_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path, 1, 1).close()
    with filled(tmp_path, 1) as pool:
        assert len({path.name for path in tmp_path.iterdir()}) == 3
        assert len(pool) == 3
        assert pool.take(3).exponents[0] != mpz(0)
