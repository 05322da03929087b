"""Pyramid as numcodecs finds it: by its id, from plain JSON, without an import."""

from __future__ import annotations

import json
import pickle

import numcodecs
import numpy as np
import pytest

from adiabat.codec import Pyramid

CONFIGURATION = {"id": "adiabat.pyramid", "bound": {"abs": 0.01}}


@pytest.fixture
def field():
    return np.sin(np.linspace(0, 9, 40 * 60)).reshape(40, 60).astype("f4")


def test_numcodecs_finds_it_without_an_import(python):
    ran = python(f"import numcodecs; print(type(numcodecs.get_codec({CONFIGURATION})).__module__)")
    assert ran.stdout.strip() == "adiabat.codec.pyramid", ran.stderr


def test_configuration_is_json_and_comes_back():
    codec = numcodecs.get_codec(dict(CONFIGURATION))
    assert isinstance(codec, Pyramid)
    written = json.loads(json.dumps(codec.get_config()))
    assert written["id"] == "adiabat.pyramid"
    assert written["bound"] == {"abs": 0.01}
    assert numcodecs.get_codec(dict(written)).get_config() == codec.get_config()


def test_bytes_in_a_pickled_codec_are_the_same(field):
    codec = Pyramid(bound={"abs": 0.01})
    again = pickle.loads(pickle.dumps(codec))
    assert again.encode(field) == codec.encode(field)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", ">f8"])
def test_decode_restores_dtype_byte_order_and_layout(field, order, dtype):
    source = np.array(field, dtype=dtype, order=order)
    codec = numcodecs.get_codec(dict(CONFIGURATION))
    read = codec.decode(codec.encode(source))
    assert read.dtype == np.dtype(dtype)
    assert read.flags.f_contiguous == source.flags.f_contiguous
    assert np.abs(read.astype("f8") - source.astype("f8")).max() <= 0.01


def test_decode_into_a_given_array(field):
    codec = Pyramid(bound={"abs": 0.01})
    stream = codec.encode(field)
    out = np.empty_like(field)
    codec.decode(stream, out=out)
    np.testing.assert_array_equal(out, codec.decode(stream))


def test_decode_takes_any_buffer(field):
    codec = Pyramid(bound={"abs": 0.01})
    stream = codec.encode(field)
    for buffer in (bytearray(stream), memoryview(stream), np.frombuffer(stream, "u1")):
        np.testing.assert_array_equal(codec.decode(buffer), codec.decode(stream))
