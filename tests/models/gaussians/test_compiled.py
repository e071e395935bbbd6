"""Shares and threads of compiled functions, and a cache that cannot be written."""

import threading

import pytest
import torch

from nsff.models.gaussians import compiled


@pytest.mark.parametrize("threads", [1, 3, 200])
def test_every_share_is_done_once(monkeypatch, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    done, names = [], set()

    def kernel(share, shares, word):
        assert (shares, word) == (compiled.SHARES, "x")
        done.append(share)
        names.add(threading.get_ident())

    compiled.in_shares(kernel, "x")
    assert sorted(done) == list(range(compiled.SHARES)) and len(names) <= threads


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_thread_raises_is_raised(monkeypatch, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    def kernel(share, shares):
        raise MemoryError(share)

    with pytest.raises(MemoryError):
        compiled.in_shares(kernel)


def test_without_a_folder_for_the_cache_it_compiles_all_the_same(monkeypatch):
    asked = []

    def njit(cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled.numba, "njit", njit)
    assert compiled.compiled(len) is len
    assert asked == [True, False]
