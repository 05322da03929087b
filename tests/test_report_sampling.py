"""What the report looks at: disjoint regions, few values of what is large, neighbours in time, all levels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from adiabat.formats.report.axes import Axes
from adiabat.formats.report.collect import measure
from adiabat.formats.report.pairs import Pair
from adiabat.formats.report.sampling import LEVELS, SIDE, TIMES, VALUES, choose_boxes

CASES = [
    (Axes((2500, 721, 1440), (1, 2), 0, None), (24, 721, 1440)),
    (Axes((2500, 37, 721, 1440), (2, 3), 0, 1), (24, 1, 721, 1440)),
    (Axes((1, 137, 721, 1440), (2, 3), None, 1), (1, 24, 721, 1440)),
    (Axes((8760, 33, 49), (1, 2), 0, None), (744, 33, 49)),
    (Axes((40000, 50000), (0, 1), None, None), (2048, 2048)),
    (Axes((131, 2048, 1028), (0, 1), None, 2), (131, 256, 1028)),
    (Axes((500, 400_000), (1,), 0, None), (24, 400_000)),
    (Axes((10, 20, 30, 721, 1440), (3, 4), 0, 2), None),
    (Axes((50_000_000,), (0,), None, None), None),
]


@pytest.mark.parametrize(
    ("axes", "chunks"), CASES, ids=lambda case: "x".join(map(str, getattr(case, "shape", case or ())))
)
def test_regions_are_disjoint_and_few(axes, chunks):
    boxes = choose_boxes(axes, chunks)
    assert sum(box.values for box in boxes if box.whole) <= VALUES
    assert sum(box.values for box in boxes if not box.whole) <= (LEVELS + TIMES) * SIDE**2
    assert sum(box.values for box in boxes) > 0
    for box in boxes:
        assert all(0 <= part.start < part.stop <= size for part, size in zip(box.region, axes.shape, strict=True))
    for one, other in itertools.combinations(boxes, 2):
        assert any(a.stop <= b.start or b.stop <= a.start for a, b in zip(one.region, other.region, strict=True))


def test_what_is_small_is_looked_at_whole():
    (box,) = choose_boxes(Axes((4, 181, 360), (1, 2), 0, None))
    assert box.values == 4 * 181 * 360
    assert choose_boxes(Axes((0, 181, 360), (1, 2), None, None)) == []


def test_neighbours_in_time_and_all_levels_are_among_it():
    boxes = choose_boxes(Axes((2500, 37, 721, 1440), (2, 3), 0, 1), (24, 37, 721, 1440))
    assert boxes[0].region[0].stop - boxes[0].region[0].start == 2
    assert {level for box in boxes for level in range(box.region[1].start, box.region[1].stop)} == set(range(37))


class Counting(BackendArray):
    """A large array that makes its values when asked, and counts them."""

    def __init__(self, shape, add):
        self.shape, self.dtype, self.add, self.read = shape, np.dtype("f4"), add, 0

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._make)

    def _make(self, key):
        parts = [np.arange(size)[part] for part, size in zip(key, self.shape, strict=True)]
        self.read += math.prod(np.size(part) for part in parts)
        grid = np.meshgrid(*parts, indexing="ij", sparse=True)
        return (250 + np.sin(sum(grid) * 0.01) + self.add * np.cos(grid[-1])).astype("f4")


def test_ten_gigabytes_cost_a_sample():
    shape = (40_000, 181, 360)
    sides = [Counting(shape, add) for add in (0.0, 0.05)]
    fields = [xr.DataArray(indexing.LazilyIndexedArray(each), dims=("time", "lat", "lon")) for each in sides]
    found = measure(Pair("t", *fields, {"abs": 0.1}), {}, 400_000)
    assert found.values == math.prod(shape)
    assert found.sampled == sides[0].read == sides[1].read
    assert found.sampled <= 400_000 + TIMES * SIDE**2
    assert found.errors.max_error == pytest.approx(0.05, rel=1e-3)
    assert found.problem is None
