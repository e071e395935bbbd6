"""Whose a file is, and whether its owner is proven dead."""

import dataclasses
import os
import subprocess
import sys

import pytest

from nsff.files import owners
from nsff.files.owners import INITIAL_NAMESPACE, Owner, current, state_of_token


@pytest.fixture
def ended():
    """The owner of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = dataclasses.replace(current(), pid=child.pid, started=owners._started(child.pid))
    assert owner.state() == "alive"
    assert child.stdin
    child.stdin.close()
    child.wait()
    return owner


def test_the_living_and_the_dead(ended):
    assert current().state() == "alive"
    assert ended.state() == "dead"


def test_a_number_that_is_used_again_is_another_process():
    assert dataclasses.replace(current(), started=current().started - 1).state() == "dead"


@pytest.mark.parametrize("field", ["host", "boot", "namespace"])
def test_nothing_is_proven_of_another_place(ended, field):
    """The same number on another host, of an earlier boot of unknown machine, or in a container."""
    assert dataclasses.replace(ended, machine="", **{field: "other"}).state() == "unknown"


def test_a_restart_of_the_same_machine_is_a_proof(ended, monkeypatch):
    here = dataclasses.replace(current(), machine="m", boot="now", namespace=INITIAL_NAMESPACE)
    monkeypatch.setattr(owners, "current", lambda: here)
    before = dataclasses.replace(here, boot="before", pid=os.getpid())
    assert before.state() == "dead"
    assert dataclasses.replace(before, machine="another").state() == "unknown"
    assert dataclasses.replace(before, namespace="pid:[7]").state() == "unknown"


def test_without_times_of_start_a_living_number_proves_nothing(ended):
    assert dataclasses.replace(current(), started=-1).state() == "unknown"
    assert dataclasses.replace(ended, started=-1).state() == "dead"


def test_there_and_back(ended):
    for owner in (current(), ended):
        assert Owner.from_dict(owner.to_dict()) == owner
        assert state_of_token(owner.token()) == owner.state()
    assert state_of_token("0123456789ab-1-2") == "unknown"
    assert state_of_token("nonsense") == "unknown"


@pytest.mark.parametrize("change", [{"pid": "1"}, {"pid": 0}, {"pid": True}, {"host": None}, {"started": 1.5}])
def test_what_is_no_owner(change):
    assert Owner.from_dict(current().to_dict() | change) is None
    assert Owner.from_dict([]) is None
    assert Owner.from_dict({}) is None
