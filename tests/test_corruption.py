"""Damage of every kind to finished stores: named by the chunk's key where it is read, and found without the source."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adiabat.codec import Hyperprior, Pyramid
from adiabat.codec.errors import CorruptStreamError, TruncatedStreamError
from adiabat.formats import compress, low_rank, open_archive
from adiabat.formats.archive import archive
from adiabat.formats.checksums import CHECKSUMS, update_checksums, write_checksums
from adiabat.formats.cli import main
from adiabat.formats.damaged import DamageWarning
from adiabat.formats.demo import simulate_field
from adiabat.formats.engine import Run, Workers
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import RECIPE
from adiabat.formats.integrity import check_integrity, count_values
from adiabat.formats.journal import RECORDS
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.tasks import InMemory

SHAPE = (6, 9, 10)
CHUNK = "t/c/1/0/0"
PYRAMID = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.1}}}
CHANGED = "its bytes are not those that were written"


def make_dataset(seed=0):
    rng = np.random.default_rng(seed)
    field = 280 + rng.standard_normal(SHAPE).cumsum(1).cumsum(2).astype("f4")
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {"t": (dims, field, {"units": "K"}), "u": (dims, field[::-1] / 9), "flag": (dims[1:], (field[0] > 280))},
        {"lat": ("lat", np.linspace(-80, 80, SHAPE[1])), "lon": ("lon", np.linspace(0, 324, SHAPE[2]))},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One store of each layout, which tests copy."""
    folder = tmp_path_factory.mktemp("made")
    dataset, bounds = make_dataset(), {"t": {"abs": 0.1}, "u": {"rel": 0.01}}
    compress(dataset, folder / "plain.zarr", bounds=bounds, chunks={"time": 2})
    compress(dataset[["t"]], folder / "tiles.zarr", bounds={"t": {"abs": 0.1}}, chunks={"time": 2, "lat": 5, "lon": 5})
    cells = xr.Dataset(
        {
            "t": (
                ("time", "cell"),
                np.linspace(250, 300, 4 * 192, dtype="f4").reshape(4, 192),
                {"grid_mapping": "crs"},
            ),
            "crs": ((), 0, {"grid_mapping_name": "healpix", "refinement_level": 2, "indexing_scheme": "nested"}),
        },
        {"cell": ("cell", np.arange(192), {"standard_name": "healpix_index"})},
    )
    compress(cells, folder / "cells.zarr", bounds={"t": {"abs": 0.1}}, chunks={"time": 2})
    assert (folder / "cells.zarr" / "t" / "zarr.json").read_text().count("adiabat.healpix") == 1
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of one of them, to be damaged."""

    def copy(name="plain") -> Path:
        return Path(shutil.copytree(made / f"{name}.zarr", tmp_path / f"{name}.zarr"))

    return copy


def flip(file, at=None):
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    file.write_bytes(data)


def problems(store, **options):
    return check_integrity(store, **options).problems


# What reading says.


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (flip, CorruptStreamError, "expected checksum"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), TruncatedStreamError, "bytes after the length, got"),
        (lambda file: file.write_bytes(b""), TruncatedStreamError, "expected a length after 6 bytes"),
        (lambda file: file.write_bytes(b"no stream"), CorruptStreamError, "expected a stream that starts with"),
    ],
    ids=["flip", "cut", "empty", "another file"],
)
def test_reading_names_the_chunk_and_its_store(copy, damage, kind, said):
    store = copy()
    before = xr.open_zarr(store, chunks=None).t.values
    damage(store / CHUNK)
    for engine in ("zarr", "adiabat"):
        dataset = xr.open_dataset(store, engine=engine, chunks=None)
        with pytest.raises(kind, match=rf"^{CHUNK} in {re.escape(str(store))}: .*{said}"):
            dataset.t.load()
        np.testing.assert_array_equal(dataset.t[:2].values, before[:2])  # other chunks are read as before
        np.testing.assert_array_equal(dataset.t[4:, 3].values, before[4:, 3])
        np.testing.assert_array_equal(dataset.u[2:4].values, xr.open_zarr(store, chunks=None).u[2:4].values)
    with pytest.raises(kind, match=CHUNK):
        zarr.open_group(store)["t"][3, 4, 5]


def test_dask_reads_the_chunks_beside_a_damaged_one(copy):
    pytest.importorskip("dask")
    store = copy()
    before = xr.open_zarr(store, chunks=None).t.values
    flip(store / CHUNK)
    opened = xr.open_zarr(store).t
    np.testing.assert_array_equal(opened[:2].compute(), before[:2])
    with pytest.raises(CorruptStreamError, match=f"^{CHUNK} in "):
        opened.mean().compute()


def test_a_damaged_chunk_of_a_shard_is_named_and_the_others_are_read(copy):
    store = copy("tiles")
    before = xr.open_zarr(store, chunks=None).t.values
    file = store / CHUNK
    size = zarr.open_array(store / "t").shards
    assert size == (2, 10, 10)
    flip(file, 20)  # within the first chunk
    opened = xr.open_zarr(store, chunks=None).t
    with pytest.raises(CorruptStreamError, match=r"^chunk \(0, 0, 0\) of a shard \(adiabat verify --deep STORE tells"):
        opened.load()
    np.testing.assert_array_equal(opened[2:4, 5:].values, before[2:4, 5:])
    np.testing.assert_array_equal(opened[:2].values, before[:2])
    [problem] = problems(store)
    assert re.fullmatch(rf"{CHUNK}: {CHANGED}; chunk \(0, 0, 0\) of the shard cannot be decoded: expected .*", problem)


def test_a_damaged_index_names_the_shard(copy):
    store = copy("tiles")
    before = xr.open_zarr(store, chunks=None).t.values
    flip(store / CHUNK, -2)
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(store, chunks=None).t.load()
    np.testing.assert_array_equal(xr.open_zarr(store, chunks=None).t[4:].values, before[4:])
    [problem] = problems(store)
    assert problem.startswith(f"{CHUNK}: {CHANGED}; cannot be decoded: Stored and computed checksum do not match")


def test_behind_a_filter_zarr_hands_over_bytes_alone(copy):
    store = copy("cells")
    flip(store / "t/c/1/0")
    with pytest.raises(CorruptStreamError, match=r"^a chunk \(adiabat verify --deep STORE tells which\): expected"):
        xr.open_zarr(store, chunks=None).t.load()
    assert problems(store)[0].startswith(f"t/c/1/0: {CHANGED}; cannot be decoded: expected checksum")


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        (np.zeros((2, 9, 10), "f8"), "holds float64 of shape (2, 9, 10), but the Zarr metadata say float32"),
        (np.zeros((2, 9, 10), "f2"), "holds float16 of shape (2, 9, 10), but the Zarr metadata say float32"),
        (np.zeros((2, 10, 9), "f4"), "holds float32 of shape (2, 10, 9), but the Zarr metadata say float32 of shape"),
        (np.zeros((18, 10), "f4"), "holds float32 of shape (18, 10), but the Zarr metadata say float32 of shape"),
        (np.zeros((2**15, 2**15), "f4"), "holds float32 of shape (32768, 32768)"),
    ],
)
def test_a_chunk_of_another_dtype_or_shape_is_refused(copy, chunk, said):
    """Once it was cast and reshaped in silence; the largest of these would take 4 GB if it were decoded first."""
    store = copy()
    (store / CHUNK).write_bytes(Pyramid(bound={"abs": 0.1}).encode(np.zeros((2, 2), "f4")))
    data = Pyramid(bound={"abs": 0.1}).encode(chunk[:1] if chunk.size > 2**20 else chunk)
    if chunk.size > 2**20:
        from dataclasses import replace

        from adiabat.codec.stream import Stream

        data = replace(Stream.read(data), shape=chunk.shape).write()
    (store / CHUNK).write_bytes(data)
    with pytest.raises(ValueError, match=f"^{CHUNK} in .*{re.escape(said)}"):
        xr.open_zarr(store, chunks=None).t.load()
    assert any(line.startswith(f"{CHUNK}: {CHANGED}; cannot be decoded: ") and said in line for line in problems(store))


def test_a_stream_in_big_endian_is_of_the_same_dtype():
    array = zarr.create_array({}, shape=(4, 5), chunks=(4, 5), dtype="f4", serializer=PYRAMID, compressors=None)
    array[:] = 1
    [key] = [key for key in array.store._store_dict if key.startswith("c/")]
    data = Pyramid(bound={"abs": 0.1}).encode(np.full((4, 5), 7, ">f4"))
    array.store._store_dict[key] = type(array.store._store_dict[key]).from_bytes(data)
    np.testing.assert_array_equal(array[:], np.full((4, 5), 7, "f4"))


# What is left.


@pytest.mark.parametrize("chunks", [None, "auto"])
def test_nan_in_place_of_what_cannot_be_decoded_if_that_is_asked_for(copy, chunks):
    store = copy()
    whole = xr.open_zarr(store, chunks=None).t.values
    flip(store / CHUNK)
    with pytest.raises(CorruptStreamError):
        open_archive(store, chunks=chunks).t.load()
    left = open_archive(store, chunks=chunks, damaged="nan").t
    with pytest.warns(DamageWarning, match=rf"^t: NaN in place of chunk \(1, 0, 0\), .* decoded: {CHUNK} in ") as said:
        values = left.values
    assert len(said) == 1
    np.testing.assert_array_equal(values[[0, 1, 4, 5]], whole[[0, 1, 4, 5]])
    assert np.isnan(values[2:4]).all()
    np.testing.assert_array_equal(left[4:, 2, ::3].values, whole[4:, 2, ::3])  # and no warning
    with pytest.warns(DamageWarning):
        np.testing.assert_array_equal(left[[5, 2, 0]].isel(lat=[7, 1]).values[[0, 2]], whole[[5, 0]][:, [7, 1]])
    points = {dim: xr.DataArray(index, dims="p") for dim, index in (("time", [0, 3, 5]), ("lat", [1, 2, 8]))}
    with pytest.warns(DamageWarning):
        picked = left.isel(points).values
    np.testing.assert_array_equal(picked[[0, 2]], whole[[0, 5], [1, 8]])
    assert np.isnan(picked[1]).all()


def test_nan_in_place_of_a_chunk_of_a_shard_or_of_all(copy):
    store = copy("tiles")
    whole = xr.open_zarr(store, chunks=None).t.values
    flip(store / CHUNK, 20)
    with pytest.warns(DamageWarning, match=r"chunk \(1, 0, 0\)"):
        values = xr.open_dataset(store, engine="adiabat", damaged="nan").t.values
    assert np.isnan(values[2:4, :5, :5]).all()
    assert np.isnan(values).sum() == 50
    flip(store / CHUNK, -2)
    with pytest.warns(DamageWarning) as said:
        values = xr.open_dataset(store, engine="adiabat", damaged="nan").t.values
    assert len(said) == 4
    np.testing.assert_array_equal(np.isnan(values), np.isin(np.arange(6), (2, 3))[:, None, None] | np.isnan(whole))
    with pytest.raises(RequestError, match="expected damaged=None or \"nan\", got 'zero'"):
        xr.open_dataset(store, engine="adiabat", damaged="zero")


# What is found without the source.


def test_nothing_is_wrong(made):
    for name, arrays, files in (("plain", 5, 9), ("tiles", 3, 5), ("cells", 3, 3)):
        found = check_integrity(made / f"{name}.zarr")
        assert (found.problems, found.notes, found.arrays, found.files) == ([], [], arrays, files)
    counted = []
    check_integrity(made / "plain.zarr", decode=False, progress=lambda name, more: counted.append(more))
    assert sum(counted) == count_values(made / "plain.zarr") == 2 * 540 + 90 + 9 + 10


def test_everything_that_is_wrong_is_said_and_not_the_first_alone(copy):
    store = copy()
    flip(store / "t/c/0/0/0")
    shutil.copy(store / "u/c/2/0/0", store / "t/c/2/0/0")
    (store / "u/c/1/0/0").unlink()
    flip(store / "lat/c/0")
    flip(store / "README.txt")
    (store / "notes.txt").write_text("of somebody")
    shutil.rmtree(store / "lon")
    (store / "t/c/9/0").mkdir(parents=True)
    (store / "t/c/9/0/0").write_bytes(b"x")
    found = problems(store)
    assert [line.split(": ")[0] for line in found] == [
        "README.txt", "lat/c/0", "lon/c/0", "lon/zarr.json", "notes.txt", "t/c/0/0/0", "t/c/2/0/0", "t/c/9/0/0",
        "u/c/1/0/0",
    ]  # fmt: skip
    said = dict(line.split(": ", 1) for line in found)
    assert said["README.txt"] == CHANGED
    assert said["lon/c/0"] == "is missing"
    assert said["lon/zarr.json"] == "is missing; is missing, though zarr.json has a copy of it"
    assert said["notes.txt"] == "is no file that was written"
    assert said["t/c/2/0/0"] == "holds what was written as u/c/2/0/0"
    assert said["t/c/9/0/0"] == "is no file of this array, which has 3 x 1 x 1 of them"
    assert said["u/c/1/0/0"] == "is missing"


def test_chunks_that_changed_places_are_named_both(copy):
    """Plain reading cannot see it: both are of the array's dtype and shape."""
    store = copy()
    first, second = store / "t/c/0/0/0", store / "t/c/2/0/0"
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    xr.open_zarr(store, chunks=None).t.load()
    assert problems(store, decode=False) == [
        "t/c/0/0/0: holds what was written as t/c/2/0/0",
        "t/c/2/0/0: holds what was written as t/c/0/0/0",
    ]


def test_a_file_that_was_cut_short_is_called_so(copy):
    store = copy("tiles")
    file = store / CHUNK
    size = file.stat().st_size
    [record] = [json.loads(line) for line in (store / "t" / RECORDS).read_text().splitlines()]
    assert len(record["files"]) == 3 * 8
    file.write_bytes(file.read_bytes()[:-30])
    assert problems(store)[0].startswith(f"{CHUNK}: {CHANGED}; cannot be decoded: ")
    alone = store.parent / "alone.zarr"
    compress(make_dataset()[["t"]], alone, default_bound={"abs": 0.1})
    size = (alone / "t/c/0/0/0").stat().st_size
    (alone / "t/c/0/0/0").write_bytes((alone / "t/c/0/0/0").read_bytes()[:20])
    assert problems(alone, decode=False) == [f"t/c/0/0/0: is cut short: it has 20 bytes of {size}"]


def test_a_chunk_that_was_not_written_may_not_appear(tmp_path):
    dataset = make_dataset()[["t"]]
    dataset["t"] = dataset.t.where(xr.DataArray(np.arange(6) < 2, dims="time"))  # else all fill value
    compress(dataset, tmp_path / "a.zarr", default_bound={"abs": 0.1}, chunks={"time": 2})
    assert not (tmp_path / "a.zarr" / CHUNK).exists()
    assert problems(tmp_path / "a.zarr") == []
    (tmp_path / "a.zarr" / CHUNK).parent.mkdir(parents=True)
    shutil.copy(tmp_path / "a.zarr/t/c/0/0/0", tmp_path / "a.zarr" / CHUNK)
    assert problems(tmp_path / "a.zarr") == [f"{CHUNK}: is no file that was written"]


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("t/zarr.json", lambda text: text.replace('"K"', '"C"'), "t/zarr.json: .*differs from the consolidated"),
        ("t/zarr.json", lambda text: text[:-2], "t/zarr.json: .*the array cannot be opened"),
        ("t/zarr.json", lambda text: text.replace('"time"', '"mite"'), r"t/zarr.json: .*\(dimension_names\)"),
        ("zarr.json", lambda text: text[1:], "zarr.json: .*is no JSON object"),
        ("zarr.json", lambda text: text.replace('"K"', '"C"'), "t/zarr.json: differs .* in zarr.json .attributes., by"),
        ("zarr.json", lambda text: text.replace("history", "mystery"), f"zarr.json: {CHANGED}"),
        (f"t/{RECORDS}", lambda text: text[:-20], f"t/{RECORDS}: .*line 1 is no record of t.*has records of 0 of 540"),
        (f"t/{RECORDS}", lambda text: text + text, f"t/{RECORDS}: .*has a record of t/0.0.0 that does not fit"),
        (f"t/{RECORDS}", lambda text: text.replace('"t/0', '"u/0'), f"t/{RECORDS}: .*line 1 is no record of t: it"),
        (f"t/{RECORDS}", lambda text: text.replace("540", "541"), f"t/{RECORDS}: .*that does not fit the array"),
        (CHECKSUMS, lambda text: text[1:], f"{CHECKSUMS}: expected SHA-256, two spaces and a path in line 1"),
        (CHECKSUMS, lambda text: text[:-1], "zarr.json: is no file that was written"),
        (CHECKSUMS, lambda text: text.replace("a", "A"), f"{CHECKSUMS}: expected SHA-256"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_what_a_store_says_of_itself_is_checked(copy, file, damage, said):
    store = copy()
    text = (store / file).read_text()
    (store / file).write_text(damage(text))
    assert (store / file).read_text() != text
    found = problems(store)
    assert any(re.match(said, line) for line in found), found


def test_without_records_the_chunks_of_an_array_are_decoded_still(copy):
    store = copy()
    flip(store / CHUNK)
    (store / "t" / RECORDS).unlink()
    found = problems(store)
    assert (
        f"t/{RECORDS}: is missing; cannot be read: No such file or directory; has records of 0 of 540 values" in found
    )
    assert any(line.startswith(f"{CHUNK}: cannot be decoded: expected checksum") for line in found)


def test_missing_metadata_do_not_hide_an_array(copy):
    store = copy()
    flip(store / CHUNK)
    (store / "t" / "zarr.json").unlink()
    assert [line.split(": ")[0] for line in problems(store)] == [CHUNK, "t/zarr.json"]


def test_checksums_that_are_missing_are_missed(copy):
    store = copy()
    shutil.rmtree(store / ".adiabat")
    assert problems(store) == [f"{CHECKSUMS}: is missing, though records say that there were checksums"]


def test_archives_from_before_checksums_and_marks(copy):
    """Their coordinates have none, and of several files of a block nothing tells which is which."""
    store = copy()
    shutil.rmtree(store / ".adiabat")
    for file in store.rglob(RECORDS):
        record = json.loads(file.read_text())
        del record["files"]
        file.write_text(json.dumps(record) + "\n")
    found = check_integrity(store)
    assert found.problems == []
    assert found.notes[0].startswith(
        "flag, lat, lon have no record of what was written: files that are missing or have"
    )
    flip(store / CHUNK)
    assert problems(store)[0].startswith(f"{CHUNK}: {CHANGED}; cannot be decoded: expected checksum")
    shutil.copy(store / "t/c/2/0/0", store / CHUNK)
    assert problems(store) == [
        "t/0.0.0: the bytes of its 3 files are not those that were written, though all of them decode: some may have "
        "changed places"
    ]
    (store / CHUNK).unlink()
    assert problems(store) == [
        f"t/0.0.0: the bytes of its 3 files are not those that were written; there is no {CHUNK}"
    ]


def test_models_and_static_fields_are_what_their_names_say(copy):
    store = copy()
    shutil.rmtree(store / ".adiabat")
    (store / ".adiabat" / "models").mkdir(parents=True)
    good, bad = hashlib.sha256(b"right").hexdigest(), hashlib.sha256(b"wrong").hexdigest()
    for name in (f"{bad}.npy", f"models/{bad}.zip", f"models/{good}.zip"):
        (store / ".adiabat" / name).write_bytes(b"right")
    write_checksums(store)  # so that these do not tell
    assert problems(store) == [
        f".adiabat/{bad}.npy: its name is not the SHA-256 of its bytes, {good}",
        f".adiabat/models/{bad}.zip: its name is not the SHA-256 of its bytes, {good}",
    ]


def test_a_model_that_is_not_here_is_said_once(tmp_path):
    from dataclasses import replace

    from adiabat.codec.stream import Stream

    path = tmp_path / "z.zarr"
    field = simulate_field((4, 37, 72)).temperature.values
    array = zarr.create_array(
        path, shape=field.shape, chunks=(2, 37, 72), dtype="f4", serializer=PYRAMID, compressors=None
    )
    array[:] = field
    for file in (path / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(replace(Stream.read(file.read_bytes()), model=bytes(32)).write())
    [problem] = problems(path)
    assert problem.startswith("c/0/0/0: cannot be decoded, as may be others")
    assert "00000000" in problem


@pytest.mark.parametrize("recipe", ["{", '{"version": 1}', 5])
def test_a_recipe_that_is_none_or_of_another_version_is_said(tmp_path, recipe):
    """One of version 1, of adiabat 0.7, once ended the check."""
    array = zarr.create_array(tmp_path / "a.zarr", shape=(2, 3), dtype="f4", attributes={RECIPE: recipe})
    array[:] = 1
    [problem] = problems(tmp_path / "a.zarr")
    assert problem.startswith("zarr.json: ")


def test_a_run_that_did_not_finish_is_noted(copy):
    store = copy()
    (store.parent / "plain.zarr.partial").mkdir()
    found = check_integrity(store)
    assert found.problems == []
    assert re.search(
        r"plain\.zarr\.partial is of a run that did not finish; what is checked is what stands", found.notes[0]
    )


def run_deep(store, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["adiabat", "verify", "--deep", str(store)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def test_the_command_prints_a_line_for_each_file_and_exits_with_1(copy, monkeypatch, capsys):
    store = copy()
    assert run_deep(store, monkeypatch, capsys) == (0, "5 arrays, 9 files of chunks: nothing wrong\n", "")
    flip(store / CHUNK)
    (store / "u/c/1/0/0").unlink()
    code, out, err = run_deep(store, monkeypatch, capsys)
    assert (code, out) == (1, "5 arrays, 8 files of chunks: 2 wrong\n")
    said = err.replace("\n", " ")
    assert re.match(rf"{CHUNK}: {CHANGED}; cannot be decoded: .* u/c/1/0/0: is missing", said)
    assert run_deep(store.parent / "none.zarr", monkeypatch, capsys)[0] == 2


# Stores that others wrote.


@pytest.mark.parametrize("version", [2, 3])
def test_stores_of_others_are_decoded(tmp_path, version):
    codec = (
        {"serializer": PYRAMID, "compressors": None} if version == 3 else {"compressors": Pyramid(bound={"abs": 0.1})}
    )
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=version)
    array = group.create_array("t", shape=SHAPE, chunks=(2, 9, 10), dtype="f4", **codec)
    array[:] = make_dataset().t.values
    group.create_array("n", shape=(9,), dtype="i4")[:] = np.arange(9)
    if version == 3:  # as Zarr 3.1.3 leaves it
        root = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
        (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps(root | {"consolidated_metadata": None}))
    found = check_integrity(tmp_path / "a.zarr")
    assert (found.problems, found.arrays, found.files) == ([], 2, 4)
    assert found.notes[0].startswith("all arrays have no record of what was written")
    key = "t/c/1/0/0" if version == 3 else "t/1.0.0"
    flip(tmp_path / "a.zarr" / key)
    assert problems(tmp_path / "a.zarr")[0].startswith(f"{key}: cannot be decoded: expected checksum")
    (tmp_path / "a.zarr" / key).write_bytes(Pyramid(bound={"abs": 0.1}).encode(np.zeros((2, 10, 9), "f4")))
    [problem] = problems(tmp_path / "a.zarr")
    assert problem.startswith(key)
    assert "holds float32 of shape (2, 10, 9), but the Zarr metadata say float32 of shape (2, 9, 10)" in problem
    (tmp_path / "a.zarr" / "t" / "x").write_bytes(b"")
    assert any(line.startswith("t/x: is no file of this array") for line in problems(tmp_path / "a.zarr"))


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning", "ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("version", [2, 3])
def test_consolidated_metadata_of_xarray(tmp_path, version):
    make_dataset().to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=True)
    assert problems(tmp_path / "a.zarr") == []
    name = "t/zarr.json" if version == 3 else "t/.zattrs"
    (tmp_path / "a.zarr" / name).write_text((tmp_path / "a.zarr" / name).read_text().replace('"K"', '"C"'))
    [problem] = problems(tmp_path / "a.zarr")
    assert problem.startswith(f"{name}: differs from the consolidated metadata in ")


def test_one_array_alone_and_a_latent_codec(tmp_path):
    codec = {"name": "adiabat.hyperprior", "configuration": {"target": {"rmse": 0.5}}}
    field = np.tile(np.linspace(250, 300, 64, dtype="f4"), (2, 32, 1))
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=field.shape, chunks=(1, 32, 64), dtype="f4", serializer=codec, compressors=None
    )
    array[:] = field
    assert problems(tmp_path / "a.zarr") == []
    flip(tmp_path / "a.zarr" / "c/1/0/0")
    with pytest.raises(CorruptStreamError, match=r"^c/1/0/0 in .*a\.zarr: expected checksum"):
        array[:]
    assert problems(tmp_path / "a.zarr")[0].startswith("c/1/0/0: cannot be decoded: expected checksum")
    (tmp_path / "a.zarr" / "c/1/0/0").write_bytes(Hyperprior(target={"rmse": 1.0}).encode(field[:1].astype("f8")))
    with pytest.raises(ValueError, match=r"^c/1/0/0 in .*adiabat.hyperprior: this chunk holds float64"):
        array[:]


def test_what_is_no_store(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(RequestError, match="there is no archive at"):
            check_integrity(place)


# Nothing slips through.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    store = tmp_path_factory.mktemp("small") / "a.zarr"
    dataset = make_dataset()[["t"]].isel(lat=slice(3), lon=slice(4))
    compress(dataset, store, default_bound={"abs": 0.1}, chunks={"time": 3})
    return store


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_any_byte_of_any_file_is_missed(small, data):
    files = sorted(file for file in small.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files), label="file")
    before = file.read_bytes()
    after = bytearray(before)
    at = data.draw(st.integers(0, len(before) - 1), label="at")
    after[at] ^= data.draw(st.integers(1, 255), label="by")
    try:
        file.write_bytes(after)
        assert problems(small, decode=False)
    finally:
        file.write_bytes(before)


def test_checksums_are_those_of_sha256sum(copy):
    store = copy()
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this system")
    ran = subprocess.run(["sha256sum", "--check", "--strict", CHECKSUMS], cwd=store, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "lat/c/0: OK" in ran.stdout
    assert "t/c/0/0/0" not in ran.stdout  # which have records


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3 specification")
def test_where_readers_list_groups_zarr_does_not_warn_of_checksums(tmp_path):
    """Of a store without consolidated metadata, such as one of factors."""
    cube = make_dataset().t.where(make_dataset().t > 279)
    low_rank.write(cube, tmp_path / "a.cp.zarr", rank=1, sweeps=3)
    tree = xr.open_datatree(tmp_path / "a.cp.zarr", engine="zarr", consolidated=False)  # warnings are errors
    assert tree[".adiabat/checksums"].shape == (0,)
    assert xr.open_datatree(tmp_path / "a.cp.zarr").groups == ("/",)
    assert problems(tmp_path / "a.cp.zarr") == []
    flip(tmp_path / "a.cp.zarr" / "t/observed/c/0/0/0")
    with pytest.raises(
        CorruptStreamError, match=r"^t/observed/c/0/0/0 in .*a\.cp\.zarr: expected the checksum of the mask"
    ):
        xr.open_dataset(tmp_path / "a.cp.zarr").t_observed.load()
    flip(tmp_path / "a.cp.zarr" / "t/base/c/0/0")
    shutil.rmtree(tmp_path / "a.cp.zarr" / "t/weights")
    assert [line.split(": ")[0] for line in problems(tmp_path / "a.cp.zarr")] == [
        "t/base/c/0/0", "t/observed/c/0/0/0", "t/weights/c/0", "t/weights/zarr.json",
    ]  # fmt: skip
    flip(tmp_path / "a.cp.zarr" / ".adiabat/checksums/zarr.json")
    assert any(line.startswith(".adiabat/checksums/zarr.json: ") for line in problems(tmp_path / "a.cp.zarr"))


def test_files_that_are_added_on_purpose_are_summed(copy):
    store = copy()
    (store / "notes.txt").write_text("of the owner")
    update_checksums(store, [store / "notes.txt"])
    assert problems(store) == []


# Archives that are being made.


class Told(InMemory):
    def identity(self):
        return "told"


@pytest.fixture
def write(tmp_path):
    """Write an archive of three blocks, or stop after some of them."""

    def write(bound=0.1, stop=None, restart=False):
        source = Told({"/": make_dataset()[["t"]]})
        groups = plan_groups(source.datasets, default_bound={"abs": bound}, chunks={"time": 2})
        groups = {"/": (groups["/"][0], [each for each in groups["/"][1] if each.bound is not None])}
        done = []

        def progress(name, values, written):
            done.append(values)
            if stop is not None and sum(done) >= stop:
                raise InterruptedError

        run = Run(Workers(1), restart=restart)
        archive(source, groups, tmp_path / "out.zarr", run=run, progress=progress)
        return tmp_path / "out.zarr"

    return write


@pytest.mark.parametrize("content", ["", "[]", '{"adiabat": ', None])
def test_what_nobody_knows_the_request_of_is_not_gone_on_with(write, tmp_path, content):
    """Once the store of a bound of 0.1 was finished by a request for 0.5 and took its name."""
    with pytest.raises(InterruptedError):
        write(stop=1)
    job = tmp_path / "out.zarr.partial" / "job.json"
    if content is None:
        job.unlink()
    else:
        job.write_text(content)
    with pytest.raises(
        RequestError, match=r"out\.zarr\.partial is damaged \(its job\.json or its store\): --restart throws"
    ):
        write(0.5)
    store = write(0.5, restart=True)
    assert json.loads(xr.open_zarr(store, chunks=None).t.attrs["adiabat"])["bound"] == {"abs": 0.5}
    assert problems(store) == []


def test_the_request_of_another_is_not_gone_on_with(write):
    with pytest.raises(InterruptedError):
        write(stop=1)
    with pytest.raises(RequestError, match=r"was begun otherwise \(arrays of t\): finish it with the command"):
        write(0.5)


@pytest.mark.parametrize("damage", ["record cut", "record of another", "chunk", "chunk gone", "stop"])
def test_blocks_whose_record_does_not_hold_are_written_again(write, tmp_path, damage):
    whole = shutil.move(write(), tmp_path / "whole.zarr")
    with pytest.raises(InterruptedError):
        write(stop=1)
    folder = tmp_path / "out.zarr.partial"
    [record] = (folder / "journal").rglob("*.json")
    if damage == "record cut":
        record.write_text(record.read_text()[:-9])
    elif damage == "record of another":
        record.write_text(record.read_text().replace('"t/0', '"u/0'))
    elif damage == "stop":
        record.write_text(record.read_text().replace("[6, 9, 10]", "[5, 9, 10]"))
    elif damage == "chunk":
        flip(folder / "store" / CHUNK)
    else:
        (folder / "store" / CHUNK).unlink()
    store = write()
    assert problems(store) == []
    for name in (CHUNK, f"t/{RECORDS}"):
        assert (store / name).read_bytes() == (whole / name).read_bytes()


def test_the_lock_of_a_writer_that_died_holds_nobody(write, tmp_path):
    with pytest.raises(InterruptedError):
        write(stop=1)
    lock = tmp_path / "out.zarr.partial" / "writer.lock"
    script = "import os, sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script, lock]).returncode == 9
    assert lock.exists()
    assert problems(write()) == []
