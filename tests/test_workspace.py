"""Beside a destination: one writer at a time, one request, nothing in its place before it is whole."""

from __future__ import annotations

import pytest
import zarr

from adiabat.formats import RequestError
from adiabat.formats.workspace import Workspace, check_target


def make(path):
    zarr.create_group(path, zarr_format=3)


def test_a_store_takes_its_place_when_it_is_whole(tmp_path):
    space = Workspace(tmp_path / "out.zarr")
    with space.lock():
        space.begin({"a": 1}, make)
        assert space.read_job() == {"a": 1}
        assert not space.target.exists()
        space.put_in_place(overwrite=False)
        space.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_one_writer_at_a_time_but_shares_beside_each_other(tmp_path):
    space, other = Workspace(tmp_path / "out.zarr"), Workspace(tmp_path / "out.zarr")
    with space.lock():
        assert len(other.writers()) == 1
        with pytest.raises(RequestError, match=r"out\.zarr is being written by process \d+ on"), other.lock():
            pass
        with other.lock("-2-of-3"):
            assert len(space.writers()) == 2
    assert space.writers() == []


def test_another_request_is_told_what_differs(tmp_path):
    space = Workspace(tmp_path / "out.zarr")
    with space.lock():
        space.begin({"adiabat": "1", "arrays": {"t": {"chunks": [1]}, "u": {}}}, make)
        space.begin({"adiabat": "1", "arrays": {"t": {"chunks": (1,)}, "u": {}}}, make)  # the same
        with pytest.raises(RequestError, match=r"was begun otherwise \(arrays of t\): .*--restart"):
            space.begin({"adiabat": "1", "arrays": {"t": {"chunks": [2]}, "u": {}}}, make)
        with pytest.raises(RequestError, match="another adiabat"):
            space.begin({"adiabat": "2", "arrays": {"t": {"chunks": [1]}, "u": {}}}, make)
        space.clear()
        space.begin({"adiabat": "2"}, make)


def test_what_was_not_made_whole_is_made_again(tmp_path):
    space = Workspace(tmp_path / "out.zarr")

    def fail(path):
        make(path)
        raise OSError("full")

    with space.lock():
        with pytest.raises(OSError, match="full"):
            space.begin({"a": 1}, fail)
        assert space.read_job() is None
        (space.folder / "making").mkdir()  # of one that was killed
        space.begin({"a": 1}, make)
        assert space.read_job() == {"a": 1}


def test_places_that_are_taken_or_not_there(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError, match="exists already; --overwrite"):
        check_target(tmp_path / "file", overwrite=False)
    with pytest.raises(RequestError, match="not a Zarr store, so it is not overwritten"):
        check_target(tmp_path / "file", overwrite=True)
    with pytest.raises(RequestError, match="there is no folder"):
        check_target(tmp_path / "no" / "out.zarr", overwrite=False)
    with pytest.raises(RequestError, match="local folders only"):
        check_target("s3://bucket/out.zarr", overwrite=False)
    with pytest.raises(RequestError, match="cannot be made"), Workspace(tmp_path / "file" / "out.zarr").lock():
        pass
