"""Threads and locks of a process: none survives a fork, and none need."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from adiabat.codec import VQ, Hyperprior, Pyramid, float_graph, integer_net, models, package
from adiabat.codec.cached import cached_property
from adiabat.codec.workers import ProcessLock, abreast, share

FIELD = np.add.outer(np.arange(24.0), np.sin(np.arange(32.0))).astype("f4")
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
UNSAFE = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def in_child(work):
    """Do some work in a forked child that has a minute; whether all was well."""
    child = os.fork()
    if not child:
        code = 1
        try:
            threading.Timer(60, os._exit, (2,)).start()
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def held_elsewhere(locks):
    """Hold locks in another thread: how to start it, and the event that ends it."""
    held, done = threading.Event(), threading.Event()

    def hold():
        for lock in locks:
            lock.__enter__()
        held.set()
        done.wait(120)
        for lock in locks:
            lock.__exit__(None, None, None)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    return thread, done


def test_a_lock_keeps_others_out():
    lock, order = ProcessLock(), []

    def second():
        with lock:
            order.append(2)

    with lock:
        thread = threading.Thread(target=second)
        thread.start()
        order.append(1)
    thread.join()
    assert order == [1, 2]


@FORK
@UNSAFE
def test_a_child_is_free_of_locks_that_another_thread_of_its_parent_holds():
    """As if that thread were opening a session, or reading a model, at the moment of the fork."""
    codecs = [Pyramid(bound={"abs": 0.01}), Hyperprior(target={"rmse": 0.1}), VQ(target={"ratio": 20})]
    expected = [codec.encode(FIELD) for codec in codecs]
    thread, done = held_elsewhere([integer_net._lock, float_graph._lock, models._lock, package._lock])
    try:
        assert in_child(lambda: [codec.encode(FIELD) for codec in codecs] == expected)
    finally:
        done.set()
        thread.join()


@FORK
@UNSAFE
def test_a_child_is_free_of_properties_that_another_thread_computes():
    """Python up to 3.11 locks each cached property, of all instances at once."""
    begun, done = threading.Event(), threading.Event()

    class Slow:
        def __init__(self, waits):
            self.waits = waits

        @cached_property
        def value(self):
            if self.waits:
                begun.set()
                done.wait(120)
            return 1

    thread = threading.Thread(target=lambda: Slow(True).value)
    thread.start()
    begun.wait(60)
    try:
        assert Slow(False).value == 1
        assert in_child(lambda: Slow(False).value == 1)
    finally:
        done.set()
        thread.join()


@FORK
@UNSAFE
def test_a_child_has_helpers_of_its_own():
    assert list(abreast([lambda: 1, lambda: 2, lambda: 3], 2)) == [1, 2, 3]
    assert in_child(lambda: list(abreast([lambda: 1, lambda: 2, lambda: 3], 2)) == [1, 2, 3])


def test_helpers_share_all_tasks():
    done = []
    share([lambda number=number: done.append(number) for number in range(20)], 3)
    assert sorted(done) == list(range(20))
