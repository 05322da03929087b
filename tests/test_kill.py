"""Killed at random moments, or by a full disk, and started again: the store is byte for byte the one without faults.

Each test kills a few times; ``ADIABAT_KILLS=50 pytest tests/test_kill.py`` as often as one likes.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr

from adiabat.formats import verify
from adiabat.formats.checksums import CHECKSUMS
from adiabat.formats.demo import simulate_field
from adiabat.formats.status import check_store, take_status

KILLS = int(os.environ.get("ADIABAT_KILLS", "2"))
COMMAND = [str(Path(sys.executable).with_name("adiabat")), "compress", "source.nc", "out.zarr"]
OPTIONS = ["--default-bound", "abs:0.02", "--chunk", "time=4"]
VARIABLES = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a source of many variables, and the store that an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("made")
    field = simulate_field((8, 61, 120))
    fields = {f"t{i:02}": field.temperature + np.float32(i) for i in range(VARIABLES)}
    fields["count"] = (("lat", "lon"), np.arange(61 * 120, dtype="i8").reshape(61, 120))
    xr.Dataset(fields, field.coords, field.attrs).to_netcdf(folder / "source.nc")
    ran = run(folder, "--workers", "1")
    assert ran.returncode == 0, ran.stderr
    (folder / "out.zarr").rename(folder / "whole.zarr")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copy2(made / "source.nc", tmp_path)
    return tmp_path


def environment():
    return {**os.environ, "SOURCE_DATE_EPOCH": "1800000000", "OMP_NUM_THREADS": "1"}


def start(folder, *options, **how):
    command = [*COMMAND, *OPTIONS, *options]
    return subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True, **how)


def run(folder, *options):
    command = [*COMMAND, *OPTIONS, *options]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)


def wait_for(folder, blocks=1):
    """Until that many blocks are recorded, or a minute has passed."""
    deadline = time.monotonic() + 60
    while len(list((folder / "out.zarr.partial" / "journal").glob("*/*.json"))) < blocks:
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


HOW = re.compile(rb" (--(workers|scheduler|part) \S+|\S*source.nc|\S*kept.nc)")  # in the history, all that may differ
SUM = re.compile(rb"[0-9a-f]{64}  zarr\.json")  # so does what is summed of it


def files(store):
    found = {str(file.relative_to(store)): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()}
    found |= {name: HOW.sub(b"", data) for name, data in found.items() if name.endswith(".json")}
    return found | {CHECKSUMS: SUM.sub(b"", found[CHECKSUMS])}


def is_whole(made, folder):
    """The same files with the same bytes, and nothing beside the store."""
    there, here = files(made / "whole.zarr"), files(folder / "out.zarr")
    assert there.keys() == here.keys()
    assert [name for name in there if there[name] != here[name]] == []
    assert [path.name for path in folder.iterdir() if "out.zarr" in path.name] == ["out.zarr"]
    assert not [check.problem for check in verify(folder / "source.nc", folder / "out.zarr") if check.problem]
    assert check_store(folder / "out.zarr", decode=True) == []


def tells_the_truth(folder):
    """What is said to be done is done: the files of every record have its bytes, where the store is being made."""
    if not (folder / "out.zarr.partial" / "job.json").exists():
        return
    status = take_status(folder / "out.zarr")
    assert not status.stands
    assert not status.damaged
    assert status.done <= status.blocks == VARIABLES + 1
    assert not (folder / "out.zarr").exists()


def kill_at_random(folder, seed, *options):
    """Start, kill -9 at a random moment, again and again; what finished in between starts afresh."""
    chance = random.Random(seed)
    for _ in range(KILLS):
        running = start(folder, *options)
        time.sleep(chance.uniform(0.8, 5.0))
        victims = [running.pid, *[child.pid for child in psutil.Process(running.pid).children(recursive=True)]]
        victim = running.pid if chance.random() < 0.5 else chance.choice(victims)
        if psutil.pid_exists(victim):
            os.kill(victim, signal.SIGKILL)
        if victim != running.pid:  # a worker: the others go on without it, unless it was the last that mattered
            time.sleep(chance.uniform(0, 1))
            running.kill()
        running.communicate()
        if (folder / "out.zarr").exists():
            shutil.rmtree(folder / "out.zarr")
        else:
            tells_the_truth(folder)


def test_local_processes(made, folder):
    kill_at_random(folder, 1, "--workers", "2")
    ran = run(folder, "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    is_whole(made, folder)


def test_one_process(made, folder):
    kill_at_random(folder, 2, "--workers", "1")
    ran = run(folder, "--workers", "1")
    assert ran.returncode == 0, ran.stderr
    is_whole(made, folder)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        yield local


@pytest.mark.filterwarnings("ignore")
def test_dask_cluster(made, folder, cluster):
    kill_at_random(folder, 3, "--scheduler", cluster.scheduler_address)
    ran = run(folder, "--scheduler", cluster.scheduler_address)
    assert ran.returncode == 0, ran.stderr
    is_whole(made, folder)


@pytest.mark.filterwarnings("ignore")
def test_dask_workers(made, folder, cluster):
    """Workers are killed while the command goes on: their blocks are done by others, and the command succeeds."""
    running = start(folder, "--scheduler", cluster.scheduler_address)
    time.sleep(3)
    for worker in list(cluster.workers.values())[:1]:
        os.kill(worker.pid, signal.SIGKILL)
    _, message = running.communicate(timeout=300)
    assert running.returncode == 0, message
    is_whole(made, folder)


def test_a_worker_dies(made, folder):
    """The command goes on without it."""
    running = start(folder, "--workers", "2")
    wait_for(folder)
    workers = [child for child in psutil.Process(running.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    os.kill(workers[-1].pid, signal.SIGKILL)
    _, message = running.communicate(timeout=300)
    assert running.returncode == 0, message
    is_whole(made, folder)


def test_truncated_shards(made, folder):
    """Behind its back: of a store that is being made, and of one that stands."""
    running = start(folder, "--workers", "1")
    wait_for(folder, blocks=4)
    running.kill()
    running.communicate()
    done = sorted((folder / "out.zarr.partial" / "journal").glob("t*/*.json"))[0].parent.name
    os.truncate(folder / "out.zarr.partial" / "store" / done / "c/0/0/0", 50)
    assert take_status(folder / "out.zarr").damaged == [f"{done}/0.0.0"]
    assert run(folder, "--workers", "1").returncode == 0
    is_whole(made, folder)
    os.truncate(folder / "out.zarr" / "t03" / "c/1/0/0", 50)
    (folder / "out.zarr" / "t05" / "c/0/0/0").unlink()
    assert take_status(folder / "out.zarr").damaged == ["t03/0.0.0", "t05/0.0.0"]
    assert len(check_store(folder / "out.zarr")) == 2
    assert run(folder, "--workers", "1").returncode == 0
    is_whole(made, folder)


def test_two_writers_at_once(made, folder):
    first, second = start(folder, "--workers", "1"), start(folder, "--workers", "1")
    messages = [each.communicate(timeout=300)[1] for each in (first, second)]
    codes = sorted((first.returncode, second.returncode))
    assert codes in ([0, 0], [0, 2]), messages
    if codes == [0, 2]:
        assert any("out.zarr is being written by process" in message for message in messages)
    is_whole(made, folder)


def test_shares_of_a_batch_system(made, folder):
    """Three at once, each a share; whoever is last finishes."""
    running = [start(folder, "--workers", "1", "--part", f"{k}/3") for k in (1, 2, 3)]
    messages = [each.communicate(timeout=300)[1] for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], messages
    is_whole(made, folder)


def test_a_full_disk(made, folder):
    """On a small file system of its own, where the machine lets us make one."""
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system takes more rights than this test has")
    try:
        shutil.copy2(folder / "source.nc", folder / "kept.nc")
        command = [COMMAND[0], "compress", "../kept.nc", "out.zarr", *OPTIONS, "--workers", "1"]
        ran = subprocess.run(command, cwd=small, env=environment(), capture_output=True, text=True, timeout=300)
        assert ran.returncode == 1
        assert "No space left on device" in ran.stderr
        assert len(ran.stderr.strip().splitlines()) == 1
        assert not (small / "out.zarr").exists()
        assert not take_status(small / "out.zarr").damaged
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        ran = subprocess.run(command, cwd=small, env=environment(), capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
        there, here = files(made / "whole.zarr"), files(small / "out.zarr")
        assert [name for name in there if there[name] != here[name]] == ["zarr.json"]  # another path, another request
        assert check_store(small / "out.zarr", decode=True) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_another_request_does_not_go_on(made, folder):
    running = start(folder, "--workers", "1")
    wait_for(folder)
    running.kill()
    running.communicate()
    other = [COMMAND[0], "compress", "source.nc", "out.zarr", "--default-bound", "abs:0.5", "--workers", "1"]
    ran = subprocess.run(other, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 2
    assert "was begun otherwise" in ran.stderr
    ran = subprocess.run([*other, "--restart"], cwd=folder, env=environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    with xr.open_zarr(folder / "out.zarr") as store:
        assert json.loads(store.t00.attrs["adiabat"])["bound"] == {"abs": 0.5}
