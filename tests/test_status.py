"""What is said of an archive is what lies on the disk."""

from __future__ import annotations

import os

import pytest
import xarray as xr

from adiabat.formats import RequestError
from adiabat.formats.archive import archive
from adiabat.formats.demo import simulate_field
from adiabat.formats.engine import Run, Workers
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.status import check_store, describe_progress, take_status
from adiabat.formats.tasks import InMemory


class Told(InMemory):
    def identity(self):
        return "told"


@pytest.fixture
def begin(tmp_path):
    """Write an archive of eight blocks, or some of them."""
    dataset = simulate_field((64, 91, 180))
    dataset = xr.Dataset({f"t{i}": dataset.temperature[16 * i : 16 * i + 8].drop_vars("time") for i in range(4)} | {
        f"u{i}": dataset.temperature[8 * i : 8 * i + 8].drop_vars("time") for i in range(4)
    })  # fmt: skip
    groups = plan_groups({"/": dataset}, default_bound={"abs": 0.1})
    done = []

    def begin(blocks=99):
        def progress(name, values, written):
            done.append(written)
            if len(done) == blocks:
                raise InterruptedError

        archive(Told({"/": dataset}), groups, tmp_path / "out.zarr", run=Run(Workers(1)), progress=progress)

    return begin


def test_while_it_is_made_and_when_it_stands(begin, tmp_path):
    target = tmp_path / "out.zarr"
    with pytest.raises(InterruptedError):
        begin(3)
    status = take_status(target)
    assert (status.done, status.blocks, status.stands, status.writers) == (3, 8, False, ())
    assert [each.done for each in status.arrays] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert status.arrays[0].values == 8 * 91 * 180
    assert 0.5 < status.arrays[0].of_bound <= 1
    assert status.mb_per_s > 0
    assert status.seconds_left > 0
    assert describe_progress(target) == "3 of 8 blocks are done"
    with pytest.raises(RequestError, match=r"no archive at .*out\.zarr yet: it is being written"):
        check_store(target)
    begin()
    status = take_status(target)
    assert (status.done, status.blocks, status.stands) == (8, 8, True)
    assert status.arrays[0].written_bytes == (target / "t0" / "c/0/0/0").stat().st_size
    assert describe_progress(target) is None


def test_damage_is_seen(begin, tmp_path):
    begin()
    target = tmp_path / "out.zarr"
    assert check_store(target, decode=True) == []
    chunk = target / "u2" / "c/0/0/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert take_status(target).damaged == []  # of its size
    assert check_store(target) == ["u2/c/0/0/0: its bytes are not those that were written"]
    os.truncate(chunk, 20)
    assert take_status(target).damaged == ["u2/0.0.0"]
    begin()
    assert check_store(target, decode=True) == []
    assert not (tmp_path / "out.zarr.partial").exists()


def test_what_is_no_archive_of_ours(tmp_path):
    with pytest.raises(RequestError, match="there is no archive at"):
        take_status(tmp_path / "out.zarr")
    xr.Dataset({"t": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(RequestError, match="keeps no record of its blocks"):
        take_status(tmp_path / "other.zarr")
