"""The codec as a whole: every kind of array, every bound, every broken byte."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zlib

import numpy as np
import pytest
from checks import (
    bits,
    check_bit_flips,
    check_bound,
    check_config,
    check_every_truncation,
    check_idempotent,
    check_round_trip,
)
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, bounds, fields, quick

from adiabat.codec import AdiabatError, Pyramid, describe
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.paths import Chunk

BOUNDS = [{"abs": 0.1}, {"abs": 1e-4}, {"rel": 0.01}, {"rel": 1e-7}, "lossless"]


@quick
@given(arrays(), bounds)
def test_round_trip(array, bound):
    check_round_trip(Pyramid(bound=bound), array, bound)


@quick
@given(arrays(), bounds, st.sampled_from([-1.0, 0.0, 0.25, 300.0]), st.sampled_from([0.0, 301.0]))
def test_valid_range_and_fill_value(array, bound, low, width):
    codec = Pyramid(bound=bound, valid_range=(low, low + width), fill_value=1.0)
    decoded = check_round_trip(codec, array, bound)
    with np.errstate(invalid="ignore"):  # signalling NaN
        inside = (array.astype("f8") >= low) & (array.astype("f8") <= low + width)
    wide = decoded[inside].astype("f8")
    assert ((wide >= low) & (wide <= low + width)).all()
    fill = array == 1
    assert (bits(decoded)[fill] == bits(array)[fill]).all()


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_fields(bound, kind):
    field = np.stack([fields(kind, seed=seed) for seed in range(3)])
    decoded = check_round_trip(Pyramid(bound=bound), field, bound)
    assert bound == "lossless" or kind == "<f2" or (decoded != field).any() or bound == {"rel": 1e-7}


@pytest.mark.parametrize("bound", [{"abs": 0.5}, {"abs": 0.01}, {"rel": 0.01}, "lossless"])
def test_idempotence(bound):
    codec = Pyramid(bound=bound)
    assert all(check_idempotent(codec, fields(seed=seed, shape=(24, 48))) for seed in range(10))
    packed = np.round(fields() / 0.05) * 0.05
    assert check_idempotent(codec, packed.astype("f4"))


@pytest.mark.parametrize(
    ("array", "path"),
    [
        (np.zeros((4, 5)), "constant"),
        (np.empty((0, 7), "f4"), "constant"),
        (fields(), "neural"),
        (np.float32(3.0), "constant"),
        (np.full((9, 9), np.nan, ">f4"), "constant"),
        (np.random.default_rng(0).integers(0, 256, 800, np.uint8).view("f8"), "raw"),
    ],
)
def test_smallest_path(array, path):
    data = Pyramid(bound={"abs": 0.1}).encode(array)
    assert describe(data)["path"] == path


def test_land_mask_costs_little():
    field = fields(shape=(90, 180))
    sea = fields(shape=(90, 180), seed=1) > 290
    plain = len(Pyramid(bound={"abs": 0.1}).encode(field))
    masked = np.where(sea, field, np.float32(np.nan))
    data = Pyramid(bound={"abs": 0.1}).encode(masked)
    assert len(data) < plain
    decoded = Pyramid(bound={"abs": 0.1}).decode(data)
    check_bound({"abs": 0.1}, masked, decoded)


def test_outliers_are_kept():
    field = fields()
    field[3, 4] = 1e30
    field[5, 6] = -3e38
    codec = Pyramid(bound={"abs": 0.1})
    check_round_trip(codec, field, {"abs": 0.1})


def small_streams():
    with_nan = fields(shape=(5, 6))
    with_nan[2, 3] = np.nan
    noise = np.random.default_rng(0).normal(size=(3, 4))
    yield Pyramid(bound={"abs": 0.1}), with_nan
    yield Pyramid(bound={"rel": 0.1}, valid_range=(0, 1)), noise
    yield Pyramid(bound="lossless"), noise
    yield Pyramid(bound="lossless"), np.float16(2.5)
    yield Pyramid(bound={"abs": 0.1}), fields(shape=(40, 40))[::3]
    yield Pyramid(bound={"abs": [0.5, 1.0, 0.2, 4.0, 0.1]}), with_nan


@pytest.mark.parametrize("number", range(6))
def test_broken_streams_are_named(number):
    codec, array = list(small_streams())[number]
    data = codec.encode(array)
    check_every_truncation(codec, data)
    check_bit_flips(codec, data)


def forgeries(data, count, seed):
    """Copies of a stream with a few bytes changed and the checksum made right again."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        bad = bytearray(data)
        for at in rng.integers(6, len(data) - 4, rng.integers(1, 4)):
            bad[at] = rng.choice([0, 1, 2, 127, 128, 255, bad[at] ^ 1, rng.integers(256)])
        yield bytes(bad[:-4]) + zlib.crc32(bad[:-4]).to_bytes(4, "little")


@pytest.mark.parametrize("path", ["raw", "constant", "classical"])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 5])
def test_forged_streams_give_an_array_or_a_named_error(path, number):
    codec, array = list(small_streams())[number]
    layout = Layout.of(np.asarray(array))
    chunk = Chunk(layout.frames(array), layout, Bound.parse(codec.bound), valid_range=(0.0, None))
    made = getattr(chunk, path)()
    if made is None:
        return
    stream = made[0] if isinstance(made, tuple) else made
    for bad in forgeries(stream.write(), 300, number):
        with contextlib.suppress(AdiabatError), np.errstate(all="ignore"):
            assert isinstance(codec.decode(bad), np.ndarray)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"valid_range": (0, None)},
        {"valid_range": [None, 1.5], "wrap": True, "fill_value": -9999},
        {"wrap": False, "model": "pyramid", "threads": 2},
    ],
)
@pytest.mark.parametrize("bound", [*BOUNDS, {"abs": [0.1, 0.5]}, {"abs": [0.25], "axis": -2}])
def test_config(bound, options):
    codec = Pyramid(bound=bound, **options)
    check_config(codec)
    assert codec.get_config()["bound"] == bound
    assert "threads" not in codec.get_config()
    assert str(bound) in repr(codec)


@pytest.mark.parametrize(
    "options",
    [{"valid_range": (2, 1)}, {"valid_range": (0, np.inf)}, {"fill_value": np.nan}, {"threads": 0}],
)
def test_bad_options_are_value_errors(options):
    with pytest.raises(ValueError, match=r"expected .* got"):
        Pyramid(bound="lossless", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"valid_range": 3},
        {"valid_range": (1, 2, 3)},
        {"valid_range": "ab"},
        {"fill_value": "x"},
        {"wrap": 1},
        {"model": 3},
    ],
)
def test_bad_options_are_type_errors(options):
    with pytest.raises(TypeError, match=r"expected .* got"):
        Pyramid(bound="lossless", **options)


@pytest.mark.parametrize("array", [b"abcd", np.arange(4), np.zeros(2, bool), np.zeros(2, "M8[s]")])
def test_other_dtypes_are_refused_with_advice(array):
    with pytest.raises(TypeError, match="zstd"):
        Pyramid(bound="lossless").encode(array)


def test_context_and_size_are_refused():
    codec = Pyramid(bound="lossless")
    with pytest.raises(TypeError, match=r"expected context=None or a ChunkContext, got \{\}"):
        codec.encode(np.zeros(3), context={})
    huge = np.broadcast_to(np.float32(0), (2**16, 2**16))
    with pytest.raises(ValueError, match="2\\*\\*31"):
        codec.encode(huge)
    with pytest.raises(ValueError, match="valid_range"):
        Pyramid(bound="lossless", valid_range=(0.1, 0.1)).encode(np.zeros(3, "f4"))


def test_import_is_light():
    script = (
        "import sys, adiabat.codec; adiabat.codec.Pyramid(bound='lossless');"
        "bad = {'torch', 'xarray', 'numba', 'constriction', 'onnxruntime', 'zarr'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
