"""Hyperprior: it meets what it is asked for, on any field, and decodes to the same bits however it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numcodecs
import numpy as np
import pytest
import xarray as xr
from latent_cases import hard_cases, rmse, smooth

from adiabat.codec import (
    VQ,
    CorruptStreamError,
    Hyperprior,
    ModelNotFoundError,
    Pyramid,
    TruncatedStreamError,
    describe,
)

HARD = hard_cases()


@pytest.mark.parametrize("name", HARD)
def test_any_field_meets_its_error(name):
    array = HARD[name]
    finite = np.asarray(array, np.float64)[np.isfinite(np.asarray(array, np.float64))]
    largest = float(np.abs(finite).max(initial=0.0))
    wanted = 0.02 * (float((finite / (largest or 1)).std()) * largest if finite.size else 0.0) or 1.0
    codec = Hyperprior(target={"rmse": wanted})
    decoded = codec.decode(codec.encode(array))
    assert decoded.shape == array.shape
    assert decoded.dtype == array.dtype
    scale = largest or 1.0
    error = rmse(array.astype(np.float64) / scale, decoded.astype(np.float64) / scale) * scale
    assert error <= wanted * (1 + 1e-12)
    assert np.array_equal(np.isnan(array), np.isnan(decoded))
    special = ~np.isfinite(array)
    assert np.array_equal(array[special], decoded[special], equal_nan=True)


@pytest.mark.parametrize("name", HARD)
def test_any_field_keeps_a_bound(name):
    array = HARD[name]
    finite = np.asarray(array, np.float64)[np.isfinite(np.asarray(array, np.float64))]
    bound = 0.05 * float(np.ptp(finite)) if finite.size > 1 and np.ptp(finite) > 0 else 0.1
    codec = Hyperprior(target={"ratio": 100}, bound={"abs": bound})
    decoded = codec.decode(codec.encode(array))
    good = np.isfinite(array)
    assert np.all(np.abs(decoded[good].astype(np.float64) - array[good].astype(np.float64)) <= bound)
    assert np.array_equal(array[~good], decoded[~good], equal_nan=True)


@pytest.mark.parametrize("ratio", [20, 60, 200])
def test_a_ratio_is_met(ratio):
    field = smooth((181, 360))
    data = Hyperprior(target={"ratio": ratio}).encode(field)
    assert field.nbytes / len(data) >= ratio
    assert field.nbytes / len(data) < 1.5 * ratio
    assert describe(data)["codec"] == "adiabat.hyperprior"
    assert describe(data)["bound"] is None


def test_a_ratio_beyond_any_stream_gives_the_smallest():
    field = smooth((7, 13))
    data = Hyperprior(target={"ratio": 100_000}).encode(field)
    assert len(data) < 80
    assert rmse(field, Hyperprior(target={"ratio": 9}).decode(data)) < 2 * field.std()


def test_an_error_beyond_float32_falls_back_to_pyramid():
    field = smooth((33, 40))
    data = Hyperprior(target={"rmse": 1e-7}).encode(field)
    assert rmse(field, Hyperprior(bound="lossless").decode(data)) <= 1e-7
    assert describe(data)["codec"] == "adiabat.pyramid"


def test_an_error_whose_square_is_beyond_float64():
    field = smooth((24, 32)).astype("f8") * 1e180
    codec = Hyperprior(target={"rmse": 1e181})
    error = (codec.decode(codec.encode(field)) - field) / 1e181
    assert np.sqrt(np.mean(error**2)) <= 1


def test_frames_that_repeat_are_left_to_pyramid():
    stack = np.stack([smooth((60, 90))] * 8)
    codec = Hyperprior(target={"rmse": 0.05})
    data = codec.encode(stack)
    alone = Hyperprior(target={"rmse": 0.05}).encode(stack[0])
    assert len(data) < 3 * len(alone)
    assert rmse(stack, codec.decode(data)) <= 0.05


@pytest.mark.parametrize("bound", ["lossless", {"rel": 1e-3}])
def test_other_bounds_are_pyramids(bound):
    field = smooth((33, 40))
    assert Hyperprior(bound=bound).encode(field) == Pyramid(bound=bound).encode(field)


def test_bound_and_error_hold_together():
    field = smooth((60, 90))
    codec = Hyperprior(target={"rmse": 0.01}, bound={"abs": 0.5})
    decoded = codec.decode(codec.encode(field))
    assert rmse(field, decoded) <= 0.01
    assert np.abs(decoded.astype("f8") - field).max() <= 0.5


def test_valid_range_and_fill_value():
    field = smooth((40, 60)) - 280
    field[3:9, 4:20] = -999
    codec = Hyperprior(target={"rmse": 0.3}, valid_range=(0, None), fill_value=-999)
    decoded = codec.decode(codec.encode(np.where(field == -999, field, np.maximum(field, 0))))
    assert np.array_equal(decoded == -999, field == -999)
    assert decoded[field != -999].min() >= 0


def test_same_array_same_bytes_whatever_the_threads():
    field = smooth((181, 360))
    streams = {Hyperprior(target={"rmse": 0.2}, threads=threads).encode(field) for threads in (1, 2, 4)}
    assert len(streams) == 1
    data = streams.pop()
    decoded = [Hyperprior(bound="lossless", threads=threads).decode(data).tobytes() for threads in (1, 2, 4)]
    assert len(set(decoded)) == 1


@pytest.mark.parametrize("runner", ["numpy", "onnx", "onnx-unoptimised", "onnx-float"])
def test_same_bits_however_networks_are_run(runner, tmp_path):
    field = smooth((45, 90))
    data = Hyperprior(target={"rmse": 0.2}).encode(field)
    here = Hyperprior(bound="lossless").decode(data)
    np.save(tmp_path / "field.npy", field)
    program = (
        "import sys, numpy as np, hashlib; from adiabat.codec import Hyperprior\n"
        "codec = Hyperprior(target={'rmse': 0.2}); data = codec.encode(np.load(sys.argv[1]))\n"
        "print(hashlib.sha256(data).hexdigest(), hashlib.sha256(codec.decode(data).tobytes()).hexdigest())"
    )
    import hashlib

    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "field.npy")],
        env={**os.environ, "ADIABAT_RUNNER": runner}, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert found == [hashlib.sha256(data).hexdigest(), hashlib.sha256(here.tobytes()).hexdigest()]


def test_configuration_round_trips():
    codec = Hyperprior(target={"ratio": 300}, bound={"abs": 0.5}, valid_range=(0, None), wrap=True)
    config = json.loads(json.dumps(codec.get_config()))
    assert config == {
        "id": "adiabat.hyperprior", "target": {"ratio": 300.0}, "bound": {"abs": 0.5},
        "valid_range": [0.0, None], "wrap": True,
    }  # fmt: skip
    assert numcodecs.get_codec(config) == codec
    assert repr(codec).startswith("Hyperprior(target={'ratio': 300.0}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got neither"),
        ({"target": {"rmse": 0}}, "above zero"),
        ({"target": {"mae": 1}}, "expected target="),
        ({"target": {"rmse": 1, "ratio": 2}}, "expected target="),
        ({"target": {"rmse": "1"}}, "with a number"),
        ({"target": {"rmse": 1}, "model": 3}, "expected model"),
        ({"target": {"rmse": 1}, "valid_range": (2, 1)}, "lowest <= highest"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Hyperprior(**options)


def test_wrong_arrays_are_named():
    with pytest.raises(TypeError, match="expected float16, float32 or float64"):
        Hyperprior(target={"rmse": 1}).encode(np.arange(5))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="adiabat models add"):
        Hyperprior(target={"rmse": 0.1}, model="0123456789abcdef").encode(smooth())


def test_broken_streams_are_named():
    data = Hyperprior(target={"rmse": 0.5}).encode(smooth())
    assert describe(data)["path"] == "latent"
    codec = Hyperprior(bound="lossless")
    for cut in range(0, len(data), 7):
        with pytest.raises(TruncatedStreamError):
            codec.decode(data[:cut])
    for place in range(0, len(data), 5):
        broken = bytearray(data)
        broken[place] ^= 16
        with pytest.raises((CorruptStreamError, TruncatedStreamError)):
            codec.decode(bytes(broken))


def test_any_codec_decodes_any_stream():
    field = smooth((30, 50))
    data = Hyperprior(target={"rmse": 0.3}).encode(field)
    assert np.array_equal(Pyramid(bound="lossless").decode(data), Hyperprior(bound="lossless").decode(data))
    out = np.empty_like(field)
    assert Hyperprior(bound="lossless").decode(data, out=out) is out


def test_a_store_opens_with_plain_xarray(tmp_path):
    field = smooth((2, 60, 120)[1:])
    stack = np.stack([field, field + 1])
    dataset = xr.Dataset({"t": (("time", "lat", "lon"), stack)})
    serializer = {"name": "adiabat.hyperprior", "configuration": {"target": {"rmse": 0.2}}}
    encoding = {"t": {"serializer": serializer, "compressors": None, "chunks": (1, 60, 120)}}
    dataset.to_zarr(tmp_path / "s.zarr", encoding=encoding, consolidated=False)
    with xr.open_zarr(tmp_path / "s.zarr", consolidated=False) as back:
        assert rmse(stack, back.t.values) <= 0.2
        assert rmse(stack[1, 3:9], back.t[1, 3:9].values) < 1


def test_values_next_to_the_largest_float16_keep_a_bound_without_a_warning():
    field = np.array([[-65504.0], [65504.0]], np.float16)
    codec = Hyperprior(bound={"abs": 0.21})
    assert (codec.decode(codec.encode(field)) == field).all()


def test_the_smallest_stream_stays_in_the_valid_range_too():
    field, codec = np.array([[0.0, 2.4]], np.float32), Hyperprior(target={"ratio": 500}, valid_range=(None, 0.0))
    assert (codec.decode(codec.encode(field)) <= 0).all()


def test_a_latent_that_decodes_to_infinity_is_no_warning():
    """float16 near its end, where the coarsest latents overflow."""
    field = np.frombuffer(bytes.fromhex("10e8d1eaffeb0069c06cb86df06c0356b169"), "<f2").reshape(1, 9)
    codec = VQ(fill_value=0.0, target={"ratio": 500.0})
    assert np.isfinite(codec.decode(codec.encode(field))).all()
