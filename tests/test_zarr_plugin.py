"""Zarr v2 and v3, plain and sharded: every dtype, byte order, layout and kind of content."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import pickle

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import Pyramid
from adiabat.codec.zarr_plugin import PyramidCodec

ABS = 0.01
SERIALIZER = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": ABS}}}
COMPRESSOR = {"id": "adiabat.pyramid", "bound": {"abs": ABS}}
CONTAINERS = ("v2 compressor", "v2 filter", "v3", "v3 sharded")
CONTENTS = ("plain", "nan", "inf", "all nan", "edge chunk", "size one")


def make_field(content, dtype):
    shape = {"edge chunk": (2, 21, 35), "size one": (1, 24, 1)}.get(content, (2, 24, 32))
    index = np.indices(shape).sum(axis=0)
    field = (3 * np.sin(index / 5) + index / 40).astype(dtype)
    if content == "nan":
        field[0, 3:9, 5:20] = np.nan
    if content == "inf":
        field[0, 2, 2], field[1, 4, 4] = np.inf, -np.inf
    if content == "all nan":
        field[:] = np.nan
    return field


def lay_out(field, layout):
    if layout == "F":
        return np.asfortranarray(field)
    if layout == "strided":
        wide = np.zeros((*field.shape[:-1], 2 * field.shape[-1]), field.dtype)
        wide[..., ::2] = field
        return wide[..., ::2]
    return field


def make_array(container, shape, dtype, order="C", store=None):
    chunks = tuple(min(size, step) for size, step in zip(shape, (2, 12, 16), strict=True))
    options = {"store": {} if store is None else store, "shape": shape, "dtype": dtype}
    if container == "v2 compressor":
        return zarr.create_array(**options, chunks=chunks, zarr_format=2, compressors=COMPRESSOR, order=order)
    if container == "v2 filter":
        codec = Pyramid(bound={"abs": ABS})
        return zarr.create_array(
            **options, chunks=chunks, zarr_format=2, filters=[codec], compressors=None, order=order
        )
    options |= {"serializer": SERIALIZER, "compressors": None, "fill_value": np.nan}
    if container == "v3":
        return zarr.create_array(**options, chunks=chunks)
    shards = tuple(2 * step if size > step else step for size, step in zip(shape, chunks, strict=True))
    return zarr.create_array(**options, chunks=chunks, shards=shards)


def check(read, field):
    assert read.shape == field.shape
    assert read.dtype.newbyteorder("=") == field.dtype.newbyteorder("=")
    finite = np.isfinite(field)
    np.testing.assert_array_equal(read[~finite], field[~finite])
    assert np.all(np.abs(read[finite].astype("f8") - field[finite].astype("f8")) <= ABS)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_values_keep_to_the_bound(container, content, dtype, layout):
    field = lay_out(make_field(content, dtype), layout)
    array = make_array(container, field.shape, field.dtype)
    array[:] = field
    check(array[:], field)


@pytest.mark.parametrize("container", ["v2 compressor", "v2 filter"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_fortran_ordered_v2_array(container, dtype):
    field = make_field("edge chunk", dtype)
    array = make_array(container, field.shape, dtype, order="F")
    array[:] = field
    check(array[:], field)


@pytest.mark.parametrize("bound", [{"abs": 0.01}, {"rel": 0.01}, "lossless"])
@pytest.mark.parametrize("sharded", [False, True])
def test_xarray_takes_a_plain_dict(tmp_path, bound, sharded):
    field = make_field("nan", "f4")
    codec = {"name": "adiabat.pyramid", "configuration": {"bound": bound}}
    encoding = {"serializer": codec, "compressors": None, "chunks": (1, 12, 16)}
    if sharded:
        encoding["shards"] = (2, 24, 32)
    dataset = xr.Dataset({"t": (("time", "y", "x"), field)})
    dataset.to_zarr(tmp_path / "a.zarr", encoding={"t": encoding}, consolidated=False)
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as read:
        error = np.abs(read["t"].values.astype("f8") - field.astype("f8"))
    allowed = 0 if bound == "lossless" else next(iter(bound.values()))
    if bound != "lossless" and "rel" in bound:
        allowed = allowed * np.abs(field)
    assert np.array_equal(np.isnan(error), np.isnan(field))
    assert np.all((error <= allowed) | np.isnan(field))


def test_xarray_takes_a_v2_compressor_as_a_plain_dict(tmp_path):
    field = make_field("nan", ">f4")
    dataset = xr.Dataset({"t": (("time", "y", "x"), field)})
    encoding = {"t": {"compressors": COMPRESSOR}}
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2, encoding=encoding)
    with xr.open_zarr(tmp_path / "a.zarr") as read:
        check(read["t"].values, field)


def test_metadata_are_small_and_say_what_was_asked():
    array = make_array("v3", (2, 24, 32), "f4")
    assert array.metadata.to_dict()["codecs"] == (SERIALIZER,)
    codec = PyramidCodec(bound="lossless", valid_range=[0.0, 1.0], wrap=True, threads=3)
    configuration = codec.to_dict()["configuration"]
    assert configuration == {"bound": "lossless", "valid_range": [0.0, 1.0], "wrap": True}
    assert PyramidCodec.from_dict(json.loads(json.dumps(codec.to_dict()))) == codec


def test_empty_chunks_are_not_stored():
    store = {}
    array = make_array("v3", (2, 24, 32), "f4", store=store)
    field = np.full((2, 24, 32), np.nan, "f4")
    field[:, :12, :16] = 1
    array[:] = field
    assert len([key for key in store if key.startswith("c/")]) == 1
    check(array[:], field)


def test_padding_of_an_edge_chunk_costs_next_to_nothing():
    """Zarr pads with the fill value: 0 beside 280 K must not be coded as weather."""
    sizes = {}
    field = 280 + make_field("plain", "f4")[:, :, :20]
    for fill in (0.0, np.nan, 280.0):
        store = {}
        array = zarr.create_array(
            store,
            shape=field.shape,
            chunks=(2, 24, 16),
            dtype="f4",
            fill_value=fill,
            **{"serializer": SERIALIZER, "compressors": None},
        )
        array[:] = field
        check(array[:], field)
        sizes[fill] = sum(len(value) for key, value in store.items() if key.startswith("c/"))
    assert sizes[0.0] <= 1.3 * sizes[280.0]


@pytest.mark.parametrize("dtype", ["i2", "u1", "i8", "bool", "c8"])
def test_other_dtypes_are_refused_in_a_sentence(dtype):
    with pytest.raises(TypeError, match=r"float16, float32 and float64; this array is .* Leave the serializer out"):
        zarr.create_array({}, shape=(4, 4), dtype=dtype, serializer=SERIALIZER, compressors=None)


@pytest.mark.parametrize("bound", [{"abs": -1.0}, {"abs": float("nan")}, {"max": 1.0}, "none", None, {}])
def test_wrong_bounds_are_refused_when_the_array_is_made(bound):
    codec = {"name": "adiabat.pyramid", "configuration": {"bound": bound}}
    with pytest.raises((ValueError, TypeError)):
        zarr.create_array({}, shape=(4, 4), dtype="f4", serializer=codec, compressors=None)


LEVELS = [0.01, 0.1, 0.02, 0.4, 0.05]


def make_levels(bound, shape=(5, 24, 32), chunks=(5, 12, 16), **options):
    codec = {"name": "adiabat.pyramid", "configuration": {"bound": bound}}
    return zarr.create_array(
        {}, shape=shape, chunks=chunks, dtype="f4", serializer=codec, compressors=None, fill_value=0.0, **options
    )


@pytest.mark.parametrize("shards", [None, (5, 24, 32)])
@pytest.mark.parametrize("extra", [{}, {"axis": 0}, {"axis": -3}])
def test_bounds_along_an_axis_that_is_one_chunk(shards, extra):
    field = 9 + np.random.default_rng(0).normal(size=(5, 21, 30)).astype("f4")  # with edge chunks
    array = make_levels({"abs": LEVELS, **extra}, field.shape, shards=shards)
    array[:] = field
    error = np.abs(array[:].astype("f8") - field).max((1, 2))
    assert (error <= LEVELS).all()
    assert error.argmax() == 3


@pytest.mark.parametrize(
    ("bound", "shape", "chunks", "message"),
    [
        ({"abs": LEVELS}, (5, 24, 32), (1, 24, 32), "one axis of length 5, one for each bound, got a chunk of shape"),
        ({"abs": LEVELS, "axis": 0}, (5, 24, 32), (4, 24, 32), "axis 0 to have length 5"),
        ({"abs": LEVELS, "axis": 3}, (5, 24, 32), (5, 24, 32), "axis 3 to have length 5"),
        ({"abs": LEVELS}, (5, 5, 32), (5, 5, 32), "name it: 'axis'"),
        ({"abs": LEVELS}, (10, 24, 32), (5, 24, 32), "need that axis to be one chunk"),
    ],
)
def test_bounds_that_do_not_fit_are_refused_when_the_array_is_made(bound, shape, chunks, message):
    with pytest.raises(ValueError, match=message):
        make_levels(bound, shape, chunks)


def test_an_axis_with_bounds_does_not_grow():
    array = make_levels({"abs": LEVELS})
    array.resize((5, 48, 32))
    with pytest.raises(ValueError, match="one chunk"):
        array.resize((10, 48, 32))


def test_inside_shards_bounds_are_refused_when_they_are_written():
    with pytest.raises(ValueError, match="axis"):  # Zarr 3.4 asks already when the array is made
        make_levels({"abs": LEVELS}, chunks=(1, 12, 16), shards=(5, 24, 32))[:] = 1


@pytest.mark.parametrize("options", [{"compressors": None}, {}])
def test_bounds_along_an_axis_in_zarr_v2(options):
    field = 9 + np.random.default_rng(0).normal(size=(5, 24, 32)).astype("f4")
    codec = {"compressors": Pyramid(bound={"abs": LEVELS})}
    if options:
        codec = {"filters": [Pyramid(bound={"abs": LEVELS})], **options}
    array = zarr.create_array({}, shape=field.shape, chunks=(5, 12, 16), dtype="f4", zarr_format=2, **codec)
    array[:] = field
    assert (np.abs(array[:].astype("f8") - field).max((1, 2)) <= LEVELS).all()


def test_partial_write_keeps_what_it_did_not_touch():
    field = make_field("plain", "f4")
    array = make_array("v3", field.shape, "f4")
    array[:] = field
    before = array[:]
    array[0, 3:5, 3:5] = 7
    after = array[:]
    touched = np.zeros(field.shape, bool)
    touched[0, 3:5, 3:5] = True
    assert np.all(np.abs(after[touched] - 7) <= ABS)
    # Re-encoding may move a value once more, by a bound at the most.
    assert np.all(np.abs(after[~touched].astype("f8") - before[~touched]) <= ABS)


def test_scalar_array():
    array = zarr.create_array({}, shape=(), dtype="f4", serializer=SERIALIZER, compressors=None)
    array[...] = 3.5
    assert abs(float(array[...]) - 3.5) <= ABS


def test_codec_pickles():
    codec = PyramidCodec(bound={"abs": ABS}, valid_range=(0.0, 9.0))
    assert pickle.loads(pickle.dumps(codec)) == codec


def test_threads_read_and_write_side_by_side():
    field = make_field("edge chunk", "f4")
    array = make_array("v3", field.shape, "f4")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        regions = [(slice(None), slice(i, i + 12)) for i in range(0, field.shape[1], 12)]
        list(pool.map(lambda region: array.__setitem__(region, field[region]), regions))
        for read in pool.map(lambda _: array[:], range(16)):
            check(read, field)


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_another_process_reads(tmp_path, method):
    field = make_field("nan", "f4")
    array = make_array("v3", field.shape, "f4", store=tmp_path / "a.zarr")
    array[:] = field
    here = array[:]  # this process has a session by now
    if method == "fork" and "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        for read in pool.map(np.asarray, [array] * 3, timeout=120):
            np.testing.assert_array_equal(read, here)


def test_a_damaged_chunk_is_an_error():
    store = {}
    field = make_field("plain", "f4")
    array = make_array("v3", field.shape, "f4", store=store)
    array[:] = field
    key = next(key for key in store if key.startswith("c/"))
    data = bytearray(store[key].to_bytes())
    data[len(data) // 2] ^= 1
    store[key] = type(store[key]).from_bytes(bytes(data))
    from adiabat.codec.errors import AdiabatError

    with pytest.raises(AdiabatError):
        array[:]
