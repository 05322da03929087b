"""What earlier versions wrote decodes today as it did then, and nobody has changed a file of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from checks import bits
from typer.testing import CliRunner

from adiabat.codec import lending, package
from adiabat.codec.stream import Stream
from adiabat.formats.cli import app

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "spec" / "vectors"
STORES = sorted(path for path in (VECTORS / "stores").iterdir() if path.is_dir())
RECORDED = [folder for folder in STORES if b"blocks.jsonl" in (folder / "store.zip").read_bytes()]
TOLERANT = {"hvae", "latent", "generated", "low-rank-log"}  # floating-point networks and exp; all else to the bit

_spec = importlib.util.spec_from_file_location("make_stores", ROOT / "spec" / "make_stores.py")
make_stores = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_stores)


def about_of(folder):
    return json.loads((folder / "about.json").read_text())


def unpacked(folder, tmp_path):
    """The store as it lay on disk; low-rank stores are known to xarray by their name."""
    store = tmp_path / ("store.cp.zarr" if "low-rank" in folder.name else "store.zarr")
    with zipfile.ZipFile(folder / "store.zip") as held:
        held.extractall(store)
    return store


@pytest.fixture(autouse=True)
def nothing_known(tmp_path, monkeypatch):
    """Only what is shipped, and what a store holds itself, is at hand."""
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)
    monkeypatch.setattr(lending, "LENT", {})
    monkeypatch.setattr(package, "LENT", lending.LENT)


def check_same(read, expected, tolerance=0.0, relative=0.0):
    assert read.dtype.str == expected.dtype.str
    assert read.shape == expected.shape
    if tolerance or relative:
        np.testing.assert_allclose(read, expected, atol=tolerance, rtol=relative, equal_nan=True)
    elif expected.dtype.kind == "f":
        assert (bits(np.ascontiguousarray(read)) == bits(np.ascontiguousarray(expected))).all()
    else:
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("folder", STORES, ids=lambda folder: folder.name)
def test_a_store_of_an_earlier_version_reads_as_it_did_then(folder, tmp_path):
    about, store = about_of(folder), unpacked(folder, tmp_path)
    if "models" in about:
        with xr.open_dataset(store, engine="adiabat", decode_times=False, models=about["models"]) as dataset:
            dataset.load()  # its static fields are lent from here on
    read = make_stores.read_store(store, about)
    with np.load(folder / "values.npz") as kept:
        assert set(read) == set(kept.files)
        for name in kept.files:
            tolerance, relative = (about.get(key, {}).get(name, 0.0) for key in ("tolerance", "relative_tolerance"))
            check_same(read[name], kept[name], tolerance, relative)


@pytest.mark.parametrize("folder", STORES, ids=lambda folder: folder.name)
def test_archived_stores_say_what_they_are(folder):
    about = about_of(folder)
    assert folder.name == f"{about['adiabat']}-{about['case']}"
    assert sorted(path.name for path in folder.iterdir()) == ["about.json", "store.zip", "values.npz"]
    assert set(about) <= {
        "adiabat", "commit", "case", "libraries", "what", "models", "engine", "every", "tolerance", "relative_tolerance"
    }  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{7,40}", about["commit"])
    assert ("tolerance" in about or "relative_tolerance" in about) == (about["case"] in TOLERANT)


def test_there_is_a_store_of_every_version_and_every_format():
    told = [(about["adiabat"], about["case"]) for about in map(about_of, STORES)]
    first = {case: since for case, (since, _) in make_stores.CASES.items()}
    assert {(since, case) for case, since in first.items()} <= set(told)
    versions = {version for version, _ in told}
    assert {f"0.{minor}.0" for minor in range(1, 9)} <= versions
    assert {(version, "archive") for version in versions} <= set(told)


def test_streams_of_every_version_and_path_lie_in_stores():
    found = set()
    for folder in STORES:
        with zipfile.ZipFile(folder / "store.zip") as held:
            for name in held.namelist():
                data = held.read(name)
                if data.startswith(b"ADBT") and "sharded" not in folder.name:
                    stream = Stream.read(data)
                    found.add((stream.version, stream.path))
    assert {(1, "neural"), (2, "neural"), (2, "classical"), (3, "latent"), (4, "latent"), (4, "spectral")} <= found


def test_no_archived_file_is_changed_or_lost():
    """Cases may be added, with their sums; those that are listed stay as they are."""
    listed, found = (
        {name: digest for digest, name in (line.split("  ") for line in text.splitlines())}
        for text in ((VECTORS / "SHA256SUMS").read_text(), make_stores.sums())
    )
    assert {name for name, digest in listed.items() if found.get(name) != digest} == set()
    assert set(found) - set(listed) == set(), "cases were added: run python spec/make_stores.py --sums"


def test_sums_are_what_sha256sum_prints(tmp_path, monkeypatch):
    """Of one folder, by a digest computed apart."""
    case = tmp_path / "valid" / "a"
    case.mkdir(parents=True)
    (case / "stream.bin").write_bytes(b"abc")
    for name in ("invalid", "stores"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(make_stores, "VECTORS", tmp_path)
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    digest = hashlib.sha256(f"{abc}  stream.bin\n".encode()).hexdigest()
    assert make_stores.sums() == f"{digest}  valid/a\n"


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_records_of_earlier_versions_still_verify(folder, tmp_path):
    store = unpacked(folder, tmp_path)
    result = CliRunner().invoke(app, ["verify", "--deep", str(store)])
    assert result.exit_code == 0, result.output
    recorded = next(store.glob("*/blocks.jsonl")).parent
    chunk = next(path for path in sorted((recorded / "c").rglob("*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert CliRunner().invoke(app, ["verify", "--deep", str(store)]).exit_code == 1
