"""Chunks are volumes worth predicting across; blocks are whole chunks and cover an array once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.chunks import CHUNK_VALUES, FRAME_VALUES, PLAIN_VALUES, REGION_VALUES, blocks, choose_chunks


def empty(shape, dims=None):
    dims = dims or tuple(f"d{i}" for i in range(len(shape)))
    return xr.DataArray(np.broadcast_to(np.float32(0), shape), dims=dims)


CASES = [
    ((), ()),
    ((0, 4), (1, 4)),
    ((7,), (7,)),
    ((721, 1440), (721, 1440)),
    ((24, 721, 1440), (24, 721, 1440)),  # a day
    ((744, 721, 1440), (24, 721, 1440)),  # a month
    ((25, 721, 1440), (13, 721, 1440)),  # never a chunk of one frame
    ((744, 33, 49), (744, 33, 49)),
    ((20000, 33, 49), (1250, 33, 49)),
    ((1000, 181, 360), (48, 181, 360)),
    ((24, 22, 41, 41), (24, 22, 41, 41)),
    ((8760, 37, 181, 360), (48, 7, 181, 360)),  # time first, then levels
    ((8760, 37, 721, 1440), (24, 1, 721, 1440)),
    ((1, 37, 721, 1440), (1, 19, 721, 1440)),  # a column at one time
    ((100, 37, 64, 128), (100, 19, 64, 128)),
    ((3, 4000, 8000), (3, 2000, 2000)),  # tiles
]


@pytest.mark.parametrize(("shape", "chunks"), CASES)
def test_chunks_are_volumes_of_whole_frames(shape, chunks):
    assert choose_chunks(empty(shape)) == chunks
    assert math.prod(chunks) <= CHUNK_VALUES
    assert math.prod(chunks[-2:]) <= FRAME_VALUES


@pytest.mark.parametrize("shape", [shape for shape, _ in CASES])
def test_what_is_not_predicted_gets_small_chunks(shape):
    chunks = choose_chunks(empty(shape), most=PLAIN_VALUES)
    assert math.prod(chunks) <= max(PLAIN_VALUES, math.prod(chunks[-2:]))


def test_time_comes_first_wherever_it_stands():
    assert choose_chunks(empty((50, 24, 721, 1440), ("member", "time", "lat", "lon"))) == (1, 24, 721, 1440)
    assert choose_chunks(empty((37, 48, 181, 360), ("level", "valid_time", "lat", "lon"))) == (7, 48, 181, 360)


def test_wanted_chunks_are_taken_and_the_rest_is_shared():
    field = empty((24, 721, 1440), ("time", "lat", "lon"))
    assert choose_chunks(field, {"time": 12, "lon": 9999}) == (12, 721, 1440)
    column = empty((48, 37, 721, 1440), ("time", "level", "lat", "lon"))
    assert choose_chunks(column, {"level": 37}) == (1, 37, 721, 1440)
    assert choose_chunks(column, {"time": 1}) == (1, 19, 721, 1440)
    large = empty((4, 4000, 8000), ("time", "lat", "lon"))
    assert choose_chunks(large, {"lat": 4000, "lon": 8000}) == (1, 4000, 8000)
    assert choose_chunks(large, {"lon": 8000}) == (4, 500, 8000)


@pytest.mark.parametrize(("shape", "chunks"), [((), ()), ((10,), (4,)), ((5, 9, 7), (2, 4, 7)), ((0, 3), (1, 3))])
@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_blocks_cover_an_array_once_in_whole_chunks(shape, chunks, at_once):
    count = np.zeros(shape, int)
    for region in blocks(shape, chunks, at_once=at_once):
        count[region] += 1
        assert all(part.start % step == 0 for part, step in zip(region, chunks, strict=True))
        steps = zip(region, chunks, strict=True)
        assert math.prod(math.ceil((part.stop - part.start) / step) for part, step in steps) <= at_once
    assert np.all(count == 1)


def test_blocks_of_large_chunks_are_few_at_once(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    chunk = (24, 721, 1440)
    region = next(blocks((8760, 721, 1440), chunk))
    assert math.prod(part.stop - part.start for part in region) == 4 * math.prod(chunk) <= REGION_VALUES
    assert next(blocks((800, 19, 36), (1, 19, 36)))[0].stop == 8
