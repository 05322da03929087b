"""Static fields: kept by the hash of their file, found again, cropped, scaled; everything else is refused."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import CorruptStreamError, ModelMismatchError, ModelNotFoundError, statics
from adiabat.codec.statics import (
    Static,
    add_static,
    find_static,
    fine_statics,
    read_statics,
    scale,
    static_file,
    write_statics,
)

pytestmark = pytest.mark.usefixtures("cache")


def ground(shape=(12, 20), dtype="f4"):
    return (np.random.default_rng(0).normal(size=shape) * 1000).astype(dtype)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_added_and_found(cache, monkeypatch):
    field = ground()
    sha256 = add_static(static_file(field))
    assert [path.name for path in cache.iterdir()] == [f"{sha256}.npy"], "no partial file is left"
    assert add_static(static_file(field)) == sha256
    found = find_static(sha256)
    assert found.dtype == np.float32
    assert (found == field).all()
    assert find_static(sha256) is found
    assert (np.load(cache / f"{sha256}.npy") == field).all(), "any NumPy reads it"


def test_found_in_a_named_folder(tmp_path, monkeypatch):
    data = static_file(ground())
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / f"{sha256}.npy").write_bytes(data)
    with pytest.raises(ModelNotFoundError, match=f"{sha256} is needed but was not found in .*models add FILE"):
        find_static(sha256)
    monkeypatch.setenv("ADIABAT_MODELS", str(tmp_path / "shared"))
    assert (find_static(sha256) == ground()).all()


@pytest.mark.parametrize("order", ["C", "F", "strided", "big-endian", "f8"])
def test_the_same_field_has_the_same_hash(order):
    field = ground()
    same = {
        "C": field.copy(),
        "F": np.asfortranarray(field),
        "strided": np.repeat(field, 2, 1)[:, ::2],
        "big-endian": field.astype(">f4"),
        "f8": field.astype("f8"),
    }[order]
    assert static_file(same) == static_file(field)
    assert static_file(np.nextafter(field, np.float32(np.inf))) != static_file(field)


@pytest.mark.parametrize(
    "bad", [ground((3, 4, 5)), ground((7,)), np.array([[1, np.nan]]), np.array([[np.inf, 1]]), np.full((2, 2), 1e300)]
)
def test_what_is_no_static_field_is_not_written(bad):
    with pytest.raises(ValueError, match="expected a finite static field of two axes"):
        static_file(bad)


@pytest.mark.parametrize(
    "data",
    [
        npy(np.array([[1, np.nan]], "f4")),
        npy(np.array([[1, np.inf]], "f4")),
        npy(ground((3, 4, 5))),
        npy(ground(dtype="f8")),
        npy(ground(dtype=">f4")),
        npy(np.asfortranarray(ground())),
        npy(np.array([[{"a": 1}]], object), allow_pickle=True),
        npy(ground())[:-1],
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04 no more",
        b"nothing like it",
    ],
    ids=["nan", "inf", "3-D", "f8", "big-endian", "F", "pickle", "cut", "empty", "head", "zip", "text"],
)
def test_files_that_are_refused(data, cache):
    with pytest.raises(ModelMismatchError, match="not a static field"):
        add_static(data)
    assert not cache.exists()
    sha256 = hashlib.sha256(data).hexdigest()
    cache.mkdir()
    (cache / f"{sha256}.npy").write_bytes(data)
    with pytest.raises(ModelMismatchError, match="not a static field"):
        find_static(sha256)


def test_another_file_of_that_name(cache):
    sha256 = add_static(static_file(ground()))
    (cache / f"{sha256}.npy").write_bytes(static_file(ground() + 1))
    with pytest.raises(ModelMismatchError, match=f"expected the static field {sha256}, got"):
        find_static(sha256)


def test_a_file_too_large(monkeypatch):
    data = static_file(ground())
    monkeypatch.setattr(statics, "SIZE_LIMIT", len(data) - 1)
    with pytest.raises(ModelMismatchError, match=f"got {len(data)} bytes"):
        add_static(data)


def test_a_chunk_has_its_part():
    field = ground()
    sha256 = add_static(static_file(field))
    assert (Static(sha256, 2, 5).crop((4, 6)) == field[2:6, 5:11]).all()
    assert Static(sha256, 8, 14).crop((4, 6)).shape == (4, 6)
    for y, x in [(9, 14), (8, 15), (1 << 30, 0), (0, 1 << 30)]:
        with pytest.raises(CorruptStreamError, match=r"inside the static field \(12, 20\), got \(4, 6\) at"):
            Static(sha256, y, x).crop((4, 6))


def test_in_fine_units():
    field = ground()
    sha256 = add_static(static_file(field))
    made = fine_statics((Static(sha256, 1, 2, 3.25), Static(sha256, 0, 0, -1e9)), (5, 6))
    assert made.dtype == np.int64
    assert (made[0] == np.rint(field[1:6, 2:8].astype("f8") * 3.25)).all()
    assert (np.abs(made[1]).max(), np.abs(made).max()) == (2**38, 2**38)
    assert fine_statics((), (5, 6)) is None
    assert scale(np.array([[[0.5, 1.5, 2.5, -0.5]]]), np.array([1.0])).tolist() == [[[0, 2, 2, 0]]], "ties to even"


lists = st.lists(
    st.builds(
        Static,
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        st.integers(0, 1 << 31),
        st.integers(0, 1 << 31),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    min_size=1,
    max_size=statics.MAX_STATICS,
).map(tuple)


@quick
@given(lists)
def test_lists_are_read_as_written(fields):
    data = write_statics(fields)
    assert read_statics(data) == fields
    for cut in range(len(data)):
        with pytest.raises(CorruptStreamError):
            read_statics(data[:cut])
    with pytest.raises(CorruptStreamError, match="expected the end"):
        read_statics(data + b"\0")


def test_bytes_of_a_list():
    expected = "01" + "ab" * 32 + "ac02" + "07" + "000000000000f83f"
    assert write_statics((Static("ab" * 32, 300, 7, 1.5),)).hex() == expected


@pytest.mark.parametrize("count", [0, statics.MAX_STATICS + 1, 255])
def test_none_or_too_many(count):
    one = write_statics((Static("00" * 32),))[1:]
    with pytest.raises(CorruptStreamError, match=f"expected 1 to {statics.MAX_STATICS} static fields, got {count}"):
        read_statics(bytes([count]) + one * count)


@pytest.mark.parametrize("gain", [np.nan, np.inf, -np.inf])
def test_gains_are_finite(gain):
    with pytest.raises(CorruptStreamError, match="finite"):
        read_statics(write_statics((Static("00" * 32, gain=gain),)))


def test_places_are_no_larger_than_any_field():
    with pytest.raises(CorruptStreamError, match="varint"):
        read_statics(write_statics((Static("00" * 32, y=(1 << 31) + 1),)))
