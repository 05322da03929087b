"""Checks that every codec must pass; tested themselves with bad codecs in `test_checks`."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from numcodecs.abc import Codec

from adiabat.codec import AdiabatError
from adiabat.codec.models import find_model
from adiabat.codec.volume import decode_frames, encode_frames


def bits(array: np.ndarray) -> np.ndarray:
    """The values' bit patterns in native byte order and C order."""
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return native.reshape(array.shape).view(f"u{array.dtype.itemsize}")


def check_bound(bound: Any, array: np.ndarray, decoded: np.ndarray) -> None:
    """Every value keeps the bound in float64; what is not finite comes back bit for bit."""
    special = ~np.isfinite(array)
    assert (bits(array)[special] == bits(decoded)[special]).all(), "special values changed"
    if bound == "lossless":
        assert (bits(array) == bits(decoded)).all(), "bits changed"
        return
    x, x_hat = array[~special].astype(np.float64), decoded[~special].astype(np.float64)
    kind, size = next(item for item in bound.items() if item[0] != "axis")
    if np.ndim(size):
        size = along(bound, array.shape)[~special]
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(x - x_hat)
        room = size * np.abs(x)
    if kind == "rel":
        zero = ~special & (array == 0)
        assert (bits(array)[zero] == bits(decoded)[zero]).all(), "zeros changed"
        assert (np.signbit(x) == np.signbit(x_hat)).all(), "signs changed"
        assert (error <= room).all(), f"relative error over {size}"
    else:
        assert (error <= size).all(), f"error {error.max()} over {size}"


def along(bound: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Each element's bound, of bounds along an axis."""
    sizes = np.asarray(bound["abs"], np.float64)
    axis = bound.get("axis", shape.index(len(sizes)) if len(sizes) in shape else 0)
    return np.broadcast_to(np.moveaxis(sizes.reshape(-1, *[1] * (len(shape) - 1)), 0, axis), shape)


def check_round_trip(codec: Codec, array: np.ndarray, bound: Any) -> np.ndarray:
    """Shape, dtype with byte order, memory order and bound survive; encoding is repeatable and leaves its input."""
    before = array.copy(order="K")
    data = codec.encode(array)
    decoded = codec.decode(data)
    assert isinstance(data, bytes)
    assert (bits(array) == bits(before)).all(), "the input was changed"
    assert decoded.dtype.str == array.dtype.str
    assert decoded.shape == array.shape
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    assert decoded.flags.f_contiguous if fortran else decoded.flags.c_contiguous
    assert decoded.flags.writeable
    check_bound(bound, array, decoded)
    assert codec.encode(array) == data, "the same array gave other bytes"
    out = np.empty(array.shape, array.dtype)
    assert codec.decode(np.frombuffer(data, np.uint8), out=out) is out
    assert (bits(out) == bits(decoded)).all()
    return decoded


def check_frames(target, *, valid=None, step=256, snap=1, wrap=False, threads=1, taper=(), **others):
    """Encode and decode; the decoder's values are the encoder's and lie within half a step. Returns both."""
    options = {"valid": valid, "step": step, "snap": snap, "wrap": wrap, "model": find_model(), **others}
    payload, told = encode_frames(target, taper=taper, threads=threads, **options)
    decoded = decode_frames(payload, target.shape, threads=threads, **options)
    assert decoded.dtype == told.dtype
    assert (decoded == told).all()
    error = np.abs(target - decoded)
    assert (error if valid is None else error[valid]).max(initial=0) <= step / 2
    return payload, decoded


def check_idempotent(codec: Codec, array: np.ndarray) -> bool:
    """Whether encoding decoded values gives the same values."""
    once = codec.decode(codec.encode(array))
    return bool((bits(codec.decode(codec.encode(once))) == bits(once)).all())


def check_every_truncation(codec: Codec, data: bytes) -> None:
    """Every proper beginning of a stream is refused with a named error."""
    for length in range(len(data)):
        with pytest.raises(AdiabatError):
            codec.decode(data[:length])


def check_bit_flips(codec: Codec, data: bytes) -> None:
    """Every single flipped bit is refused with a named error."""
    for at in range(8 * len(data)):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(AdiabatError):
            codec.decode(bytes(bad))


def check_config(codec: Codec) -> None:
    """The configuration is JSON, makes an equal codec, and the codec pickles."""
    config = codec.get_config()
    assert config["id"] == codec.codec_id
    text = json.dumps(config, allow_nan=False)
    again = type(codec).from_config(json.loads(text))
    assert again.get_config() == config
    assert again == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
