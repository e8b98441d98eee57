"""Work on parts: in order, by the caller as well, over when it returns, and never stuck behind a busy pool."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from secagg.crypto.spread import spread


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_stand_in_the_order_of_the_parts(workers: int, count: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert spread(lambda part: part * part, range(count), pool, workers) == [part * part for part in range(count)]


def test_caller_and_pool_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def meet(part: int) -> str:
        both.wait()
        return threading.current_thread().name

    with ThreadPoolExecutor(1) as pool:
        assert len(set(spread(meet, range(2), pool, 2))) == 2


def test_no_more_threads_work_than_are_allowed() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(spread(lambda _: threading.get_ident(), range(100), pool, 1)) == {threading.get_ident()}


@pytest.mark.parametrize("error", [ValueError, IndexError])
def test_what_the_work_raises_comes_out_when_nobody_works_any_more(error: type[Exception]) -> None:
    under_way, failing, caller = threading.Event(), threading.Event(), threading.get_ident()
    done: list[int] = []

    def work(part: int) -> None:
        if threading.get_ident() == caller:
            assert under_way.wait(20)
            failing.set()
            raise error("this part cannot be done")
        under_way.set()
        assert failing.wait(20)
        done.append(sum(range(3_000_000)))  # still at it when the caller fails

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(error, match="cannot be done"):
            spread(work, range(50), pool, 2)
        # Before the pool is closed, which would wait as well.
        assert len(done) == 1


def test_what_another_thread_raises_comes_out_as_well() -> None:
    caller, raised = threading.get_ident(), threading.Event()

    def work(part: int) -> None:
        if threading.get_ident() == caller:
            assert raised.wait(20)
            return
        raised.set()
        raise KeyError("not the caller's")

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyError, match="not the caller's"):
        spread(work, range(2), pool, 2)


def test_a_caller_from_the_same_full_pool_does_it_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        asked: Future[list[int]] = pool.submit(lambda: spread(lambda part: part + 1, range(3), pool, 2))
        assert asked.result(20) == [1, 2, 3]
