"""A block is whole files: cut so that none is shared, written, read back, and refused where it is out of bounds."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec.errors import BoundError
from adiabat.formats.blocks import BLOCK_VALUES, Block, blocks_of, find_files, read_digest
from adiabat.formats.journal import Journal
from adiabat.formats.metadata import write_metadata
from adiabat.formats.plan import make_plan
from adiabat.formats.tasks import InMemory, Job, write_blocks


def dataset(shape=(5, 30, 40)):
    values = np.sin(np.arange(np.prod(shape)).reshape(shape) / 50).astype("f4")
    return xr.Dataset({"t": (("time", "y", "x"), values), "n": (("row", "column"), np.arange(1200).reshape(30, 40))})


@pytest.mark.parametrize(
    ("shape", "chunks", "shards"),
    [
        ((5, 30, 40), {"time": 2}, {}),
        ((5, 30, 40), {"y": 15, "x": 20}, {}),
        ((5, 30, 40), {"y": 15, "x": 20}, {"y": 15, "x": 20}),
        ((5, 30, 40), {"time": 1, "y": 7, "x": 11}, {"time": 2, "y": 14, "x": 22}),
        ((70, 300, 400), {"time": 4}, {}),
    ],
)
def test_blocks_cover_an_array_once_and_share_no_file(shape, chunks, shards, tmp_path):
    field = xr.Dataset({"t": (("time", "y", "x"), np.broadcast_to(np.float32(1), shape))})
    (variable,) = make_plan(field, bounds={"t": {"abs": 1.0}}, chunks=chunks, shards=shards)
    blocks, covered = blocks_of("/", variable), np.zeros(shape, int)
    whole = variable.shards or variable.chunks
    for block in blocks:
        covered[block.region] += 1
        assert all(start % step == 0 for start, step in zip(block.start, whole, strict=True))
        assert block.values <= max(BLOCK_VALUES, np.prod(whole))
    assert (covered == 1).all()
    write_metadata({"/": (field, [variable])}, tmp_path / "a.zarr", command="test", request="")
    stored = zarr.open_array(tmp_path / "a.zarr", path="t", mode="r")
    files = list(itertools.chain(*(find_files(tmp_path / "a.zarr", stored, block) for block in blocks)))
    assert len(set(files)) == len(files)
    if shape[0] > whole[0]:  # what is left from the second file on
        rest = blocks_of("/", variable, origin=(whole[0], 0, 0))
        assert min(block.start[0] for block in rest) == whole[0]
        assert sum(block.values for block in rest) == (shape[0] - whole[0]) * shape[1] * shape[2]


def begin(tmp_path, field, bound=0.01):
    plan = make_plan(field, bounds={"t": {"abs": bound}}, chunks={"time": 2})
    write_metadata({"/": (field, plan)}, tmp_path / "a.zarr", command="test", request="")
    job = Job(InMemory({"/": field}), tmp_path / "a.zarr", tmp_path / "journal")
    return job, [block for variable in plan for block in blocks_of("/", variable)]


def test_a_block_leaves_its_files_and_its_record(tmp_path):
    field = dataset()
    job, blocks = begin(tmp_path, field)
    (record,) = write_blocks(job, blocks[:1])
    assert Journal(job.journal).read() == {record.block: record}
    stored = zarr.open_array(job.store, path="t", mode="r")
    files = find_files(job.store, stored, blocks[0])
    assert read_digest(files) == (record.written_bytes, record.digest)
    digest = hashlib.blake2b(digest_size=8)
    for number, file in enumerate(files):
        data = file.read_bytes()
        digest.update(f"{number}:{len(data)}:".encode() + data)
    assert record.digest == digest.hexdigest()  # as spec/archive.md has it
    error = np.abs(stored[blocks[0].region] - field.t.values[blocks[0].region].astype("f8"))
    assert record.max_error == error.max()
    assert record.sum_of_squares == pytest.approx((error**2).sum(), rel=1e-9)
    assert record.used == pytest.approx(error.max() / 0.01)


def test_what_is_read_together_is_the_same_as_one_by_one(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "all").mkdir()
    job, blocks = begin(tmp_path / "one", dataset((8, 300, 900)))
    one = [record for block in blocks[:3] for record in write_blocks(job, [block])]
    job, blocks = begin(tmp_path / "all", dataset((8, 300, 900)))
    assert write_blocks(job, blocks[:3]) == one


def test_a_source_that_changed_under_our_hands_is_not_recorded(tmp_path, monkeypatch):
    field = dataset()
    job, blocks = begin(tmp_path, field)
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, region: np.full((5, 30, 40), 9, "f4"))
    with pytest.raises(BoundError, match=r"t/0\.0\.0: read back, \d+ values are outside abs:0\.01"):
        write_blocks(job, blocks[:1])
    assert Journal(job.journal).read() == {}


def test_integers_that_differ_are_not_recorded(tmp_path, monkeypatch):
    job, blocks = begin(tmp_path, dataset())
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, region: np.zeros((30, 40), "i8"))
    with pytest.raises(BoundError, match="integers that were read back differ"):
        write_blocks(job, [block for block in blocks if block.name == "n"])


def test_lead_says_where_the_source_begins():
    block = Block("/", "t", (10, 0), (14, 5), lead=(8, 0))
    assert block.source_region == (slice(2, 6), slice(0, 5))
    assert (block.key, block.name, block.values) == ("t/10.0", "t", 20)
