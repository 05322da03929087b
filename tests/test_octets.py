"""Packed bytes: each method, and bodies that do not end where they should."""

from __future__ import annotations

import lzma
import zlib

import numpy as np
import pytest

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import LZMA_FILTER, pack, unpack

TEXT = bytes(range(200)) * 2
LZMA_BODY = lzma.compress(TEXT, lzma.FORMAT_RAW, filters=LZMA_FILTER)


@pytest.mark.parametrize("size", [0, 1, 65, 1000, 65536, 65537])
def test_what_was_packed_comes_back(size):
    rng = np.random.default_rng(size)
    for data in (bytes(size), rng.bytes(size), rng.integers(0, 4, size).astype(np.uint8).tobytes()):
        packed = pack(data)
        assert len(packed) <= size + 1
        assert unpack(packed, size) == data


def test_each_method_is_taken():
    assert (
        unpack(b"\0" + TEXT, 400) == unpack(b"\1" + zlib.compress(TEXT), 400) == unpack(b"\2" + LZMA_BODY, 400) == TEXT
    )


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_an_lzma_body_without_its_end_marker_is_refused(cut):
    """All 400 bytes are there before the marker ends."""
    with pytest.raises(
        CorruptStreamError, match="expected 400 unpacked bytes, got 400 without an end at the last byte"
    ):
        unpack(b"\2" + LZMA_BODY[:-cut], 400)


@pytest.mark.parametrize("body", [b"\2" + LZMA_BODY, b"\1" + zlib.compress(TEXT)], ids=["lzma", "zlib"])
def test_bytes_after_the_end_are_refused(body):
    with pytest.raises(CorruptStreamError, match="without an end at the last byte"):
        unpack(body + b"\0", 400)


@pytest.mark.parametrize("size", [399, 401])
def test_bodies_of_another_size_are_refused(size):
    for body in (b"\0" + TEXT, b"\1" + zlib.compress(TEXT), b"\2" + LZMA_BODY):
        with pytest.raises(CorruptStreamError, match=f"expected {size} unpacked bytes"):
            unpack(body, size)
