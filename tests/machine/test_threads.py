"""Threads of numerical libraries, and work that is spread over them."""

import threading

import pytest

from nsff.machine.threads import in_threads


@pytest.mark.parametrize("threads", [1, 2])
def test_results_come_in_the_order_of_the_items(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    together, seen = threading.Barrier(threads, timeout=20), set()

    def work(item):
        together.wait()  # breaks where fewer threads work at a time
        seen.add(threading.get_ident())
        return 10 * item

    assert list(in_threads(work, range(4))) == [0, 10, 20, 30]
    assert len(seen) == threads


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 // item, [1, 0]))
