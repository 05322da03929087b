"""Blocks on this process and on others: tried again, given up with one sentence, stopped between them."""

from __future__ import annotations

import pytest
from flaky_sources import Flaky, Lacking, dataset

from adiabat.formats import RequestError
from adiabat.formats.archive import archive
from adiabat.formats.engine import BlockError, Run, Workers
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.status import check_store, describe_progress, take_status


def write(tmp_path, source, **how):
    run = Run(Workers(**how))
    return archive(source, plan_groups({"/": dataset()}, default_bound={"abs": 0.1}), tmp_path / "out.zarr", run=run)


def faults(tmp_path, count):
    folder = tmp_path / "faults"
    folder.mkdir()
    for i in range(count):
        (folder / f"fault{i}").touch()
    return str(folder)


def test_a_process_that_ends_is_replaced(tmp_path):
    assert write(tmp_path, Flaky(faults(tmp_path, 2), "exit"), count=2)
    assert take_status(tmp_path / "out.zarr").done == 5
    assert check_store(tmp_path / "out.zarr", decode=True) == []


def test_what_is_done_stays_when_something_else_fails(tmp_path):
    def progress(name, values, written):
        if name == "v1":
            raise OSError("the cable was pulled")

    groups = plan_groups({"/": dataset()}, default_bound={"abs": 0.1})
    with pytest.raises(OSError, match="cable"):
        archive(Flaky(faults(tmp_path, 0)), groups, tmp_path / "out.zarr", progress=progress)
    assert not (tmp_path / "out.zarr").exists()
    assert describe_progress(tmp_path / "out.zarr") == "2 of 5 blocks are done"


def test_a_block_that_fails_too_often_is_named(tmp_path):
    with pytest.raises(BlockError, match=r"block v3/0\.0\.0 failed: "):
        write(tmp_path, Lacking(), count=2, retries=1)
    assert describe_progress(tmp_path / "out.zarr") is not None
    assert not take_status(tmp_path / "out.zarr").damaged


def test_nothing_stays_of_a_source_that_cannot_be_told_again(tmp_path):
    from adiabat.formats import write as write_dataset
    from adiabat.formats.plan import make_plan

    def stop(name, values, written):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(dataset(), make_plan(dataset(), bounds={}), tmp_path / "out.zarr", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"count": 0}, "expected at least 1 worker, got 0"),
        ({"retries": -1}, "expected 0 retries or more, got -1"),
        ({"count": 2, "scheduler": "tcp://127.0.0.1:1"}, "give --workers or --scheduler, not both"),
    ],
)
def test_workers_that_make_no_sense(how, message):
    with pytest.raises(RequestError, match=message):
        Workers(**how)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "http://"])
def test_a_wrong_address_is_one_sentence(tmp_path, address):
    pytest.importorskip("distributed")
    with pytest.raises(RequestError, match="no Dask scheduler answers at"):
        write(tmp_path, Flaky(faults(tmp_path, 0)), scheduler=address)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("part", [(0, 3), (4, 3), (1, 0)])
def test_shares_that_are_none(part):
    with pytest.raises(RequestError, match="expected a part from"):
        Run(part=part)
