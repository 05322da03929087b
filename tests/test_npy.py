"""Arrays from bytes that may be anything: read as NumPy reads them, or refused in one way and without memory."""

from __future__ import annotations

import io
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec.npy import read_npy


def saved(array, version=(1, 0)):
    held = io.BytesIO()
    np.lib.format.write_array(held, np.asarray(array), version)
    return held.getvalue()


def headed(header, body=b""):
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + body


def said(shape, order=b"False", dtype=b"'<f4'", more=b"", body=b""):
    return headed(b"{'descr': " + dtype + b", 'fortran_order': " + order + b", 'shape': " + shape + b", }" + more, body)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.float32])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 1, 1), (0, 4)])
def test_arrays_are_read(dtype, shape):
    array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    got = read_npy(saved(array), dtype, len(shape))
    assert got.dtype == dtype
    assert got.dtype.isnative
    assert got.flags.writeable
    assert np.array_equal(got, array)


BROKEN = {
    "nothing": b"",
    "the magic alone": b"\x93NUMPY",
    "another version": saved(np.zeros((1, 3), np.float32), (2, 0)),
    "another dtype": saved(np.zeros((1, 3), np.float64)),
    "big-endian": saved(np.zeros((1, 3), ">f4")),
    "other axes": saved(np.zeros(3, np.float32)),
    "Fortran's order": saved(np.asfortranarray(np.zeros((2, 3), np.float32))),
    "a byte too many": saved(np.zeros((1, 3), np.float32)) + b"\0",
    "a byte too few": saved(np.zeros((1, 3), np.float32))[:-1],
    "objects": headed(b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", b"\x80\x04]."),
    "an archive": b"PK\x03\x04" + bytes(60),
    "a pickle": b"\x80\x04K\x01.",
    "a header that Python 2 wrote, badly": said(b"(0, 3)", more=b"       ("),
    "a header with an indent": headed(b"\n  x\n y"),
    "a header with a long of Python 2": said(b"(1L, 3L)", body=bytes(12)),
    "a terabyte": said(b"(1000000000, 300)"),
    "more than any machine has": said(b"(99999999999999999999, 300)"),
    "a product that overflows": said(b"(4294967296, 4294967296)"),
    "a length below zero": said(b"(-1, -3)", body=bytes(12)),
    "a length that is true": said(b"(True, 3)", body=bytes(12)),
    "a length that is none": said(b"(None, 3)"),
    "a shape that is a number": said(b"3"),
    "a deep header": headed(b"(" * 900),
    "a header of nothing": headed(b""),
    "a header that goes on": said(b"(1, 3)", more=b" " * 5000 + b"x", body=bytes(12)),
    "a header of other keys": headed(b"{'shape': (1, 3)}"),
    "a dtype with fields": said(b"(1, 3)", dtype=b"[('a', '<f4')]", body=bytes(12)),
    "a dtype that calls itself": said(b"(1, 3)", dtype=b"('<f4', (1000000, 1000000))"),
    "a dtype that is none": said(b"(1, 3)", dtype=b"'zzz'"),
    "a header that is no text": headed(b"\xff\xfe\xfd"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_none_is_refused(kind):
    with pytest.raises(ValueError, match="expected"):
        read_npy(BROKEN[kind], np.float32, 2)


def test_no_memory_is_set_aside_for_what_a_header_says():
    tracemalloc.start()
    with pytest.raises(ValueError, match="expected the bytes of shape"):
        read_npy(said(b"(100000, 1000)", body=bytes(100)), np.float32, 2)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@quick
@given(st.binary(max_size=60), st.integers(0, 127), st.integers(0, 255))
def test_any_bytes(tail, at, byte):
    good = bytearray(saved(np.zeros((2, 3), np.float32)))
    good[at] = byte
    for data in (tail, bytes(good), bytes(good[:100]) + tail):
        with suppress(ValueError):
            assert read_npy(data, np.float32, 2).dtype == np.float32
