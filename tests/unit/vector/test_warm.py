"""Warm arrays: one for each use and thread, as long as is asked for, on a page of its own."""

import threading

import numpy as np

from secagg.vector.warm import warm


def test_an_array_stays_with_its_use_and_grows_when_it_must() -> None:
    first = warm("test", 10, np.uint32)
    first[:] = 7
    assert warm("test", 5, np.uint32).tolist() == [7] * 5
    assert warm("other", 5, np.uint32).ctypes.data != first.ctypes.data
    assert warm("test", 10_000, np.float64).shape == (10_000,)
    assert warm("test", 3, np.uint64).ctypes.data % 4096 == 0


def test_threads_share_nothing() -> None:
    mine = warm("threads", 4, np.uint64)
    mine[:] = 1
    seen: list[int] = []

    def other() -> None:
        theirs = warm("threads", 4, np.uint64)
        theirs[:] = 2
        seen.append(theirs.ctypes.data)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert mine.tolist() == [1] * 4
    assert seen != [mine.ctypes.data]
