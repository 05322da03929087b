"""The load test itself: it does what it says in seconds, and sees wrong bytes, leaks and deadlocks."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "benchmarks"))  # spawned processes look there too

import load
import load_workers
from load_operations import Operations, WrongBytes, make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("load")
    make(made, only=("pyramid map", "vq"))
    return made


def options(*arguments):
    return load.parse([*arguments, "--rounds", "1", "--patience", "60", "--episodes"])


def test_threads_and_processes_give_the_bytes_of_one_thread(folder):
    seen = load.run(folder, options("--minutes", "0.02", "--threads", "2", "--processes", "1"))
    assert seen.problems == []
    assert {who for who, _ in seen.done} >= {"thread", "process"}


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_goes_on_with_what_it_inherited(folder):
    operations, told = Operations(folder), []
    operations.run("decode vq")  # this process has sessions by now
    load_workers.fork(folder, operations, lambda *each: told.append(each), 60.0)
    assert ("forked", "decode vq", "") in told
    assert all(problem == "" for _, _, problem in told)


def test_wrong_bytes_are_seen(folder):
    operations = Operations(folder)
    operations.expected["decode vq"] = "0" * 16
    with pytest.raises(WrongBytes, match=r"decode vq: expected 0{16}, got"):
        operations.run("decode vq")
    seen = load.Seen()
    seen.take("thread 1", "decode vq", "wrong bytes: decode vq")
    assert not load.report(seen, options("--minutes", "1"))


def test_memory_that_grows_is_a_leak(capsys):
    seen, minute = load.Seen(), 60
    for second in range(2 * minute):
        seen.memory["flat"].append((second, 300 + second % 7))
        seen.memory["grows"].append((second, 300 + second / 2))
    ((_, before, after, slope, flat), (*_, other)) = seen.growth(2 * minute)
    assert flat
    assert abs(after - before) < 1
    assert abs(slope) < 1
    assert not other
    assert not load.report(seen, options("--minutes", "2"))
    assert "leaks: 1" in capsys.readouterr().out


def test_memory_of_a_warm_up_does_not_count():
    seen = load.Seen()
    for second in range(100):
        seen.memory["one"].append((second, min(300.0, 100 + 10 * second)))
    assert [flat for *_, flat in seen.growth(100)] == [True]


def test_who_is_silent_is_stuck():
    seen = load.Seen()
    seen.take("thread 1", "xarray", "")
    seen.take("process 2", "xarray", "")
    seen.last["thread 1"] = time.monotonic() - 61
    assert seen.silent(60) == ["thread 1"]


def test_all_well_is_said_so(capsys):
    seen = load.Seen()
    seen.take("thread 1", "xarray", "")
    assert load.report(seen, options("--minutes", "1"))
    assert "wrong bytes: 0, errors: 0, deadlocks: 0, leaks: 0" in capsys.readouterr().out
