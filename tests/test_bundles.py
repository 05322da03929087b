"""Blocks that share chunks of the source are read once, within the memory there is."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.blocks import Block, blocks_of, hull
from adiabat.formats.bundles import bundle_blocks, reads_of
from adiabat.formats.plan import make_plan


def source(chunks, shape=(4, 6, 8, 10)):
    field = xr.DataArray(np.zeros(shape, "f4"), dims=("time", "level", "y", "x"), name="t")
    field.encoding["preferred_chunks"] = dict(zip(field.dims, chunks, strict=True))
    return {"/": field.to_dataset()}


def level_blocks(datasets):
    (variable,) = make_plan(datasets["/"], bounds={"t": {"abs": 1.0}}, chunks={"time": 2, "level": 1})
    blocks = blocks_of("/", variable)
    return [
        Block("/", "t", (t, k, 0, 0), (t + 2, k + 1, 8, 10)) for t in (0, 2) for k in range(6)
    ] if len(blocks) != 12 else blocks  # fmt: skip


@pytest.mark.parametrize(
    ("chunks", "most", "sizes", "reads"),
    [
        ((1, 6, 8, 10), 10**9, [6, 6], 1.0),  # as ARCO-ERA5 has them
        ((1, 6, 8, 10), 480, [3, 3, 3, 3], 2.0),
        ((1, 6, 8, 10), 1, [1] * 12, 6.0),
        ((2, 1, 8, 10), 10**9, [1] * 12, 1.0),
        ((4, 6, 8, 10), 10**9, [12], 1.0),  # longer in time as well
        ((4, 1, 8, 10), 10**9, [2] * 6, 1.0),
    ],
)
def test_what_shares_chunks_is_read_together(chunks, most, sizes, reads):
    datasets = source(chunks)
    blocks = level_blocks(datasets)
    bundles = bundle_blocks(blocks, datasets, most=most)
    assert [len(bundle) for bundle in bundles] == sizes
    assert sorted(block.key for bundle in bundles for block in bundle) == sorted(block.key for block in blocks)
    assert reads_of(bundles, datasets) == reads


def test_the_hull_of_a_bundle_is_what_it_covers():
    datasets = source((1, 6, 8, 10))
    for bundle in bundle_blocks(level_blocks(datasets), datasets, most=10**9):
        whole = hull(bundle)
        assert whole.values == sum(block.values for block in bundle)
        assert whole.source_region == whole.region
