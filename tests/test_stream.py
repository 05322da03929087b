"""The container: every field survives, every broken byte is named, nothing is allocated for a lie."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dtypes, quick

from adiabat.codec import (
    CorruptStreamError,
    Pyramid,
    TruncatedStreamError,
    UnsupportedVersionError,
    describe,
)
from adiabat.codec.octets import Reader, pack, shuffle, unpack, unshuffle, write_varint
from adiabat.codec.stream import Stream

CONSTANT = Stream("constant", "<f4", (2, 3), sections={"payload": bytes(4)})
PROFILE = Stream(
    "classical", "<f4", (2, 3), bound=("profile", 1), domain=("profile", 12),
    sections={"payload": bytes([0, 1, 0]) + bytes(6), "bounds": b"\0" + shuffle(np.array([1.0, 2.0, 3.0]))},
)  # fmt: skip
domains = st.sampled_from([("abs", 0.25), ("lattice", 0.5, -0.1, 3), ("ordered",), ("log", 9)])


@quick
@given(
    st.sampled_from(["raw", "constant", "classical", "neural"]),
    dtypes,
    st.lists(st.integers(0, 20), max_size=4),
    st.booleans(),
    st.booleans(),
    st.sampled_from([("lossless", 0.0), ("abs", 0.1), ("rel", 1e-9)]),
    domains,
    st.tuples(st.none() | st.floats(-9, 0, width=16), st.none() | st.floats(0, 9, width=16)),
    st.dictionaries(st.sampled_from(["mask", "exceptions"]), st.binary()),
    st.sampled_from([1, 2]),
)
def test_written_streams_are_read(path, dtype, shape, fortran, wrap, bound, domain, limits, parts, version):
    if path in ("classical", "neural"):
        shape = [max(size, 1) for size in shape]
    predicted = path in ("classical", "neural")
    parts = parts if predicted else {}
    stream = Stream(
        path, dtype, tuple(shape), fortran, bound, domain if predicted else ("none",), wrap, limits,
        bytes(range(32)) if path == "neural" else None, {**parts, "payload": bytes(100)},
        version,
    )  # fmt: skip
    again = Stream.read(stream.write())
    assert again == stream
    assert describe(stream.write())["bytes"] == len(stream.write())
    assert describe(stream.write())["version"] == stream.write()[4] == version


def sealed(text):
    """Bytes from hexadecimal, and their checksum."""
    body = bytes.fromhex(text)
    return body + struct.pack("<I", zlib.crc32(body))


@pytest.mark.parametrize("version", [1, 2])
def test_exact_bytes(version):
    """The layout of the spec, byte by byte."""
    data = dataclasses.replace(CONSTANT, version=version).write()
    assert data == sealed(f"41444254 0{version} 01 13 01 00 02 02 02 03 00 00 01 05 04 00000000")


def test_exact_bytes_of_a_profile():
    """Bound 3 and its axis, domain 5 and its shave, section 6."""
    stored = "000000" * 6 + "f0 00 08 3f 40 40"
    header = "02 00 02 02 02 03  03 01  05 0c"
    assert PROFILE.write() == sealed(f"41444254 02 01 35 {header} 02 05 09 06 19 000100 000000000000 00 {stored}")
    assert Stream.read(PROFILE.write()) == PROFILE
    assert describe(PROFILE.write())["bound"] == {"abs": [1.0, 2.0, 3.0], "axis": 1}
    assert describe(PROFILE.write())["domain"] == ["profile", 12]
    assert (Pyramid(bound="lossless").decode(PROFILE.write()) == np.zeros((2, 3), "f4")).all()


def forge(data, at, byte):
    """Change a byte and make the checksum right again."""
    bad = bytearray(data)
    bad[at] = byte
    bad[-4:] = struct.pack("<I", zlib.crc32(bad[:-4]))
    return bytes(bad)


@pytest.mark.parametrize(
    ("at", "byte"),
    [
        (5, 2),
        (7, 4),
        (8, 16),
        (8, 128),
        (9, 0),
        (9, 4),
        (10, 33),
        (10, 3),
        (11, 128),
        (13, 3),
        (14, 1),
        (14, 9),
        (15, 0),
        (15, 2),
        (16, 6),
        (16, 4),
        (17, 5),
        (17, 3),
        (6, 18),
        (6, 20),
    ],
)
def test_forged_headers_are_refused(at, byte):
    with pytest.raises((CorruptStreamError, TruncatedStreamError)):
        Stream.read(forge(CONSTANT.write(), at, byte))


def test_newer_versions_are_refused_with_advice():
    with pytest.raises(UnsupportedVersionError, match="upgrade"):
        Stream.read(forge(CONSTANT.write(), 4, 5))
    with pytest.raises(UnsupportedVersionError, match="upgrade"):
        Stream.read(forge(CONSTANT.write(), 4, 0))


def test_version_1_knows_nothing_newer():
    for at, byte in ((13, 3), (14, 5), (16, 6), (16, 7)):
        with pytest.raises(CorruptStreamError, match=r"expected a (bound|domain|section) of .* got"):
            Stream.read(forge(forge(CONSTANT.write(), 4, 1), at, byte))
    with pytest.raises(CorruptStreamError, match=r"expected a bound of .* got 3"):
        Stream.read(forge(PROFILE.write(), 4, 1))
    with pytest.raises(ValueError, match=r"nothing newer than version 1, got \['bounds', 'profile'\]"):
        dataclasses.replace(PROFILE, version=1)


@pytest.mark.parametrize(("at", "byte"), [(13, 1), (14, 2), (14, 128), (15, 1), (15, 3), (16, 0), (16, 53), (20, 7)])
def test_forged_profiles_are_refused(at, byte):
    with pytest.raises((CorruptStreamError, TruncatedStreamError)):
        Stream.read(forge(PROFILE.write(), at, byte))


@pytest.mark.parametrize("sizes", [[1], [1, 2, 3, 4], [1, 0, 2], [1, -1, 2], [1, np.nan, 2], [1, np.inf, 2]])
def test_bounds_that_are_none_are_refused(sizes):
    sections = {**PROFILE.sections, "bounds": pack(shuffle(np.array(sizes, np.float64)))}
    data = dataclasses.replace(PROFILE, sections=sections).write()
    for read in (describe, Pyramid(bound="lossless").decode):
        with pytest.raises(CorruptStreamError):
            read(data)


def test_section_static_is_of_the_neural_path():
    fields = {"dtype": "f4", "shape": (2,), "domain": ("abs", 1.0), "sections": {"payload": b"", "static": b"any"}}
    stream = Stream("neural", model=bytes(32), **fields)
    assert Stream.read(stream.write()) == stream
    with pytest.raises(ValueError, match="other sections"):
        Stream("classical", **fields)
    with pytest.raises(ValueError, match="newer"):
        dataclasses.replace(stream, version=1)


SPECTRAL = Stream("spectral", "<f4", (2, 3), bound=("noise", 0.5), domain=("spectral",), sections={"payload": b"\1\2"})


def test_exact_bytes_of_spectra():
    """Path 5, bound 5 and its size, domain 7."""
    assert SPECTRAL.write() == sealed("41444254 04 01 19 05 00 02 02 02 03 05 000000000000e03f 07 01 05 02 0102")
    assert Stream.read(SPECTRAL.write()) == SPECTRAL
    assert describe(SPECTRAL.write())["bound"] == {"noise": 0.5}


def test_versions_are_those_of_paths_and_codecs():
    latent = {"dtype": "f4", "shape": (2,), "bound": ("unbounded", 0.0), "domain": ("latent", 0.0, 1.0)}
    latent |= {"model": bytes(8), "sections": {"payload": b""}}
    versions = [Stream("latent", codec=f"adiabat.{codec}", **latent).version for codec in ("hyperprior", "vq", "hvae")]
    assert [CONSTANT.version, SPECTRAL.version, *versions] == [2, 4, 3, 3, 4]
    for data, version in ((SPECTRAL.write(), 3), (Stream("latent", codec="adiabat.hvae", **latent).write(), 3)):
        with pytest.raises(CorruptStreamError):
            Stream.read(forge(data, 4, version))


def test_foreign_bytes_and_trailing_bytes():
    with pytest.raises(CorruptStreamError, match="starts with"):
        Stream.read(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CorruptStreamError, match="after the length"):
        Stream.read(CONSTANT.write() + b"\0")
    with pytest.raises(TruncatedStreamError):
        Stream.read(b"")


@pytest.mark.parametrize("shape", [(10**15,), (10**5, 10**5, 10**5), (0, 10**15), (2,) * 32])
@pytest.mark.parametrize("path", [0, 1, 2])
def test_a_huge_announcement_allocates_nothing(shape, path):
    dims = b"".join(map(write_varint, shape))
    domain = b"\x03" if path == 2 else b"\x00"
    body = bytes([path, 0, 3, len(shape)]) + dims + b"\0" + domain + b"\x01\x05\x0a" + bytes(10)
    whole = b"ADBT\x02\x01" + write_varint(len(body) + 4) + body
    data = whole + struct.pack("<I", zlib.crc32(whole))
    tracemalloc.start()
    with pytest.raises(CorruptStreamError):
        Pyramid(bound="lossless").decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "change",
    [
        {"path": "other"},
        {"shape": (2**31, 2)},
        {"shape": (1,) * 33},
        {"domain": ("abs", 1.0)},
        {"model": bytes(32)},
        {"valid_range": (1.0, 0.0)},
        {"version": 0},
        {"version": 3},
        {"version": 4},
        {"bound": ("noise", 1.0)},
        {"domain": ("spectral",)},
        {"path": "spectral", "domain": ("spectral",)},
        {"path": "spectral", "bound": ("noise", 1.0)},
        {"path": "spectral", "domain": ("spectral",), "bound": ("noise", 1.0), "codec": "adiabat.hvae"},
        {"path": "spectral", "domain": ("spectral",), "bound": ("noise", 1.0), "version": 3},
        {"path": "spectral", "domain": ("spectral",), "bound": ("noise", 1.0), "shape": (0, 2)},
        {"bound": ("profile", 0)},
        {"sections": {"payload": b"", "bounds": b""}},
        {"sections": {}},
        {"sections": {"payload": b"", "other": b""}},
    ],
)
def test_streams_are_validated_when_made(change):
    fields = {"path": "constant", "dtype": "f4", "shape": (2,), "sections": {"payload": b""}}
    with pytest.raises(ValueError, match="expected"):
        Stream(**fields | change)


@given(st.integers(0, 2**63 - 1))
def test_varints(number):
    reader = Reader(write_varint(number))
    assert (reader.varint(), reader.left) == (number, 0)


@pytest.mark.parametrize("text", ["80", "8000", "ffffffffffffffffff01", "ff" * 10, "ac02"])
def test_bad_varints_are_refused(text):
    with pytest.raises(CorruptStreamError):
        Reader(bytes.fromhex(text)).varint(limit=299)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_varints_have_a_range(number):
    with pytest.raises(ValueError, match="expected an integer"):
        write_varint(number)


@given(st.binary(max_size=300) | st.integers(0, 70000).map(bytes))
def test_packing(data):
    packed = pack(data)
    assert len(packed) <= len(data) + 1
    assert unpack(packed, len(data)) == data
    for size in (len(data) + 1, max(0, len(data) - 1)):
        if size != len(data):
            with pytest.raises(CorruptStreamError):
                unpack(packed, size)


@pytest.mark.parametrize("packed", [b"", b"\x03", b"\x01junk", b"\x02junkjunk", b"\x01" + bytes(9)])
def test_broken_packings_are_refused(packed):
    with pytest.raises(CorruptStreamError):
        unpack(packed, 4)


def test_a_packing_cannot_explode():
    bomb = b"\x01" + zlib.compress(bytes(10**6))
    with pytest.raises(CorruptStreamError):
        unpack(bomb, 10)
    with pytest.raises(CorruptStreamError):
        unpack(bomb, 10**12)


@pytest.mark.parametrize("dtype", ["u2", "u4", "u8", "f4"])
def test_shuffle(dtype):
    values = np.arange(7).astype(dtype)
    assert (unshuffle(shuffle(values), np.dtype(dtype)) == values).all()
    assert shuffle(np.array([0x0102, 0x0304], "u2")) == bytes([2, 4, 1, 3])
