"""Crops from files and from a store of ARCO-ERA5's shape."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("xarray")

from adiabat.training import stream_data
from adiabat.training.data import Fields


def test_normalisation_is_robust():
    rng = np.random.default_rng(0)
    frame = 280 + 15 * rng.standard_normal((200, 300))
    centre, scale = stream_data.normalisation(frame)
    assert abs(centre - 280) < 0.3
    assert abs(scale - 15) < 0.3
    frame[0, :30] = 400.0
    assert abs(stream_data.normalisation(frame)[1] - 15) < 0.5
    frame[:] = np.nan
    assert stream_data.normalisation(frame) == (0.0, 1.0)


def test_a_mostly_dry_field_has_its_standard_deviation():
    frame = np.zeros((100, 100))
    frame[:5] = 3.0
    assert stream_data.normalisation(frame)[1] == pytest.approx(frame.std())


def test_crops_go_round_the_globe_and_change_sign():
    frame = np.tile(np.arange(200, dtype=np.float32), (100, 1))
    rng = np.random.default_rng(0)
    static = np.zeros((2, 100, 200), np.float32)
    static[0] = frame
    steps = set()
    for _ in range(30):
        crops = stream_data.take(frame, static, 2, 60, rng)
        assert crops.values.shape == (2, 60, 60)
        assert crops.static.shape == (2, 2, 60, 60)
        steps |= set(np.unique(np.diff(crops.static[:, 0], axis=2)))
        signs = np.sign(crops.values[:, 0, 1] - crops.values[:, 0, 0])
        assert (np.sign(np.diff(crops.static[:, 0, 0, :2], axis=1)[:, 0]) != 0).all()
        assert set(signs) <= {-1.0, 1.0}
    assert steps >= {1.0, -199.0}


def test_small_frames_are_taken_whole_and_more_often():
    crops = stream_data.take(np.eye(30, 40, dtype=np.float32), np.zeros((2, 30, 40), np.float32), 2, 64,
                             np.random.default_rng(0))  # fmt: skip
    assert crops.values.shape == (6, 30, 40)
    assert np.isfinite(crops.values).all()


def test_fields_give_orography_to_their_grid():
    rng = np.random.default_rng(0)
    fields = [
        Fields("x/PHIS", rng.standard_normal((1, 1, 40, 50)).astype(np.float32)),
        Fields("x/T", rng.standard_normal((3, 1, 40, 50)).astype(np.float32)),
        Fields("y/T", np.full((1, 1, 40, 50), np.nan, np.float32)),
    ]
    batches = stream_data.from_fields(fields, np.random.default_rng(0), count=2, crop=32)
    seen = list(itertools.islice(batches, 12))
    assert {bool(crops.static[:, 0].any()) for crops in seen} == {True, False}  # none for orography itself
    assert not any(crops.static[:, 1].any() for crops in seen)


@pytest.fixture
def store(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "era5.zarr"), mode="w")
    rng = np.random.default_rng(0)
    for name, shape in (("temperature", (3, 4, 33, 64)), ("t2m", (3, 33, 64)), ("geopotential_at_surface", (33, 64))):
        array = group.create_array(name, shape=shape, chunks=(1, *shape[1:]) if len(shape) > 2 else shape, dtype="f4")
        array[:] = rng.standard_normal(shape)
    group.create_array("level", shape=(4,), dtype="i4")[:] = [100, 500, 850, 1000]
    return tmp_path / "era5.zarr"


def test_a_store_is_streamed_chunk_by_chunk(store, monkeypatch):
    stream = stream_data.ZarrStream(store, reuse=3)
    assert list(stream.arrays) == ["t2m", "temperature"]
    read = []
    for name, array in stream.arrays.items():
        stream.arrays[name] = Spy(array, read)
    batches = stream.batches(np.random.default_rng(0), count=2, crop=16)
    seen = list(itertools.islice(batches, 12))
    assert len(read) == 4
    assert all(isinstance(each, int) for each in read)
    assert all(crops.values.shape == (2, 16, 16) for crops in seen)
    levels = {float(np.round(np.exp(crops.static[0, 1, 0, 0]) * 1000)) for crops in seen}
    assert levels <= {100.0, 500.0, 850.0, 1000.0}
    assert all(crops.static[:, 0].any() for crops in seen)


class Spy:
    """An array that notes what is read of it."""

    def __init__(self, array, read):
        self.array, self.read, self.shape = array, read, array.shape

    def __getitem__(self, index):
        self.read.append(index)
        return self.array[index]


def test_a_store_without_the_variable_is_refused(store):
    with pytest.raises(ValueError, match="expected float variables"):
        stream_data.ZarrStream(store, variables=["humidity"])


def test_stores_and_folders_are_told_apart(store, tmp_path):
    assert stream_data.is_store(store)
    assert not stream_data.is_store(tmp_path)


def test_orography_lies_as_the_field_does_and_never_on_itself():
    rng = np.random.default_rng(0)
    frame = rng.standard_normal((30, 40)).astype(np.float32)
    orography = Fields("x/surface_geopotential", frame[None, None])
    turned = Fields("x/T", np.roll(frame[::-1], -20, axis=1)[None, None].copy())
    known = stream_data.Orographies.among([orography, turned], {"x/T": (True, 20)})
    static = known.static(turned)[0]
    assert np.corrcoef(static.ravel(), turned.values.ravel())[0, 1] > 0.999
    assert not known.static(orography).any()
    assert not known.static(Fields("x/T", np.ones((1, 1, 30, 41), np.float32))).any()
