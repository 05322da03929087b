"""Models inside a store: only those that are needed, found by nobody who does not ask, refused if they are odd."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import ModelMismatchError, ModelNotFoundError, lending, models, package, statics
from adiabat.formats import compress
from adiabat.formats.demo import simulate_field
from adiabat.formats.errors import RequestError
from adiabat.formats.reading import open_archive
from adiabat.formats.store_models import embed_models, lend_models, needed_models

SHIPPED = Path(models.__file__).parent
BOUND = {"abs": 0.05}
READ = """
import sys, pickle
import xarray as xr
dataset = pickle.load(open(sys.argv[1], "rb"))
print(float(dataset.temperature.isel(time=0).mean()))
"""


def changed(**manifest):
    """The shipped package with something changed in its manifest: another model, by its hash."""
    return rezipped({}, **manifest)


def rezipped(more, package="pyramid", **manifest):
    with zipfile.ZipFile(SHIPPED / f"{package}.zip") as shipped:
        parts = {each: shipped.read(each) for each in shipped.namelist()}
    parts["manifest.json"] = json.dumps(json.loads(parts["manifest.json"]) | manifest).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as written:
        for each, data in (parts | more).items():
            written.writestr(zipfile.ZipInfo(each), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def forget(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(models, "_loaded", {})
    monkeypatch.setattr(package, "_packages", {})
    monkeypatch.setattr(statics, "_loaded", {})
    lending.LENT.clear()


@pytest.fixture(autouse=True)
def own_folders(cache, monkeypatch):
    """No model of the user's, none in memory, none lent."""
    forget(monkeypatch)
    yield
    lending.LENT.clear()


@pytest.fixture
def field():
    return simulate_field((2, 61, 120))


@pytest.fixture
def foreign(tmp_path, monkeypatch, field):
    """A store written with a model that is then nowhere else, and that model's hash."""
    data = changed(name="mine")
    sha256 = hashlib.sha256(data).hexdigest()
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "mine.zip").write_bytes(data)
    path = tmp_path / "a.zarr"
    serializer = {"name": "adiabat.pyramid", "configuration": {"bound": BOUND, "model": "mine"}}
    encoding = {"serializer": serializer, "compressors": None, "filters": None, "chunks": (1, 61, 120)}
    with monkeypatch.context() as there:
        there.setenv("ADIABAT_MODELS", str(folder))
        field.to_zarr(path, zarr_format=3, consolidated=False, encoding={"temperature": encoding})
        assert embed_models(path) == [path / ".adiabat" / "models" / f"{sha256}.zip"]
    shutil.rmtree(folder)
    forget(monkeypatch)
    return path, sha256


def test_only_what_streams_need(field, tmp_path):
    plain = field.assign(exact=field.temperature.isel(time=0, drop=True))
    compress(plain, tmp_path / "a.zarr", bounds={"temperature": BOUND})
    sha256 = models.find_model().sha256
    assert needed_models(tmp_path / "a.zarr") >= {sha256}
    files = embed_models(tmp_path / "a.zarr")
    assert [file.stem for file in files] == sorted(needed_models(tmp_path / "a.zarr"))
    assert files[0].read_bytes() == (SHIPPED / "pyramid.zip").read_bytes()
    assert sorted(each.name for each in files[0].parent.iterdir()) == [files[0].name, "zarr.json"], "no partial file"
    before = files[0].stat().st_mtime_ns
    assert embed_models(tmp_path / "a.zarr") == files
    assert files[0].stat().st_mtime_ns == before, "what is the same stays"
    xr.open_zarr(tmp_path / "a.zarr").load()


def test_latent_streams_name_eight_bytes_and_residuals_have_models_of_their_own(tmp_path):
    values = np.cumsum(np.random.default_rng(0).standard_normal((64, 64)), 0).astype("f4")
    serializer = {"name": "adiabat.hyperprior", "configuration": {"target": {"ratio": 20}}}
    array = zarr.create_array(
        zarr.open_group(tmp_path / "h.zarr", mode="w").store, name="x", shape=(64, 64), chunks=(64, 64), dtype="f4",
        serializer=serializer, compressors=None,
    )  # fmt: skip
    array[:] = values
    stem = {
        name: hashlib.sha256((SHIPPED / f"{name}.zip").read_bytes()).hexdigest() for name in ("hyperprior", "pyramid")
    }
    found = needed_models(tmp_path / "h.zarr")
    assert found <= {stem["hyperprior"][:16], stem["pyramid"]}
    assert found, "whichever path won"
    embedded = {file.stem for file in embed_models(tmp_path / "h.zarr")}
    assert embedded <= set(stem.values())
    assert len(embedded) == len(found)


def test_residual_inside_a_latent_stream():
    """Put together by hand: the encoder keeps a residual only where it pays."""
    from adiabat.codec.hyperprior import Hyperprior
    from adiabat.codec.pyramid import Pyramid
    from adiabat.codec.stream import Stream
    from adiabat.formats.store_models import _models_of_stream

    values = simulate_field((1, 64, 128)).temperature.values[0]
    latent = Stream.read(Hyperprior(target={"rmse": 1.0}).encode(values))
    inner = Stream.read(Pyramid(bound={"abs": 0.1}).encode(values - 280))
    assert (latent.path, inner.path) == ("latent", "neural")
    whole = Stream(
        "latent", latent.dtype, latent.shape, bound=("abs", 0.1), domain=latent.domain, model=latent.model,
        sections={**latent.sections, "residual": inner.write()}, version=latent.version, codec=latent.codec,
    ).write()  # fmt: skip
    data = b"in a shard: " + whole
    found = list(_models_of_stream(lambda at, count: data[at : at + count], 12))
    assert found == [latent.model.hex(), inner.model.hex()]


def test_shards(field, tmp_path):
    serializer = {"name": "adiabat.pyramid", "configuration": {"bound": BOUND}}
    array = zarr.create_array(
        zarr.open_group(tmp_path / "s.zarr", mode="w").store, name="x", shape=(5, 61, 120), chunks=(1, 61, 120),
        shards=(2, 61, 120), dtype="f4", serializer=serializer, compressors=None, fill_value=0,
    )  # fmt: skip
    array[:2] = field.temperature.values
    array[4] = 1.0
    assert needed_models(tmp_path / "s.zarr") == {models.find_model().sha256}


def test_a_foreign_model_is_used_only_when_asked_for(foreign, cache, field):
    path, sha256 = foreign
    sentence = rf"model {sha256} is needed but was not found in .*; ask whoever made the data for the package and run"
    for opened in (xr.open_zarr(path, consolidated=False), xr.open_dataset(path, engine="adiabat"), open_archive(path)):
        with pytest.raises(ModelNotFoundError, match=sentence):
            opened.load()
    found = xr.open_dataset(path, engine="adiabat", models="store")
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.05
    assert not cache.exists(), "nothing is kept on disk"
    assert sha256 in lending.LENT


def test_open_archive_and_trees_ask_too(foreign, cache, field, monkeypatch):
    path, _ = foreign
    found = open_archive(path, models="store")
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.05
    forget(monkeypatch)
    tree = xr.open_datatree(path, engine="adiabat", models="store")
    assert set(tree.groups) == {"/"}
    tree["temperature"].load()
    assert not cache.exists()


def test_other_processes_get_them_with_the_dataset(foreign, python, tmp_path):
    path, _ = foreign
    for models_, code in (("store", 0), (False, 1)):
        dataset = xr.open_dataset(path, engine="adiabat", models=models_)
        (tmp_path / "dataset").write_bytes(pickle.dumps(dataset))
        ran = python(READ, tmp_path / "dataset")
        assert ran.returncode == code, ran.stderr
        assert code or float(ran.stdout) > 100
        assert not code or "ModelNotFoundError" in ran.stderr


def test_models_add_takes_them_from_the_store(foreign, cache, field):
    path, sha256 = foreign
    assert models.add_store(path) == [cache / f"{sha256}.zip"]
    found = xr.open_zarr(path, consolidated=False).load()
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.05


def test_static_fields_are_lent_too(field, tmp_path, monkeypatch):
    from adiabat.formats.static import StaticField

    height = field.isel(time=0, drop=True).temperature
    compress(field, tmp_path / "s.zarr", default_bound=BOUND, statics=[StaticField("height", height)])
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "another"))
    forget(monkeypatch)
    with pytest.raises(ModelNotFoundError, match="static field"):
        xr.open_dataset(tmp_path / "s.zarr", engine="adiabat").load()
    found = open_archive(tmp_path / "s.zarr", models="store").load()
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.05
    assert not (tmp_path / "another").exists()


HOSTILE = {
    "other bytes than its name says": (None, b"PK, or not", "SHA-256 of its name"),
    "no package": (b"PK, or not", None, "not a model package"),
    "a zip bomb": (lambda: rezipped({"bomb": bytes(20 << 20)}), None, "expected at most 8388608 bytes"),
    "a graph that is none": (
        lambda: rezipped({"g_s_0.onnx": b"location"}, "vq"),
        None,
        "a graph of the model is refused",
    ),
    "another kind": (lambda: changed(kind="tar"), None, "expected a model package of a kind"),
    "a later format": (lambda: changed(format=99), None, "not a model package"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_packages_are_refused(kind, foreign):
    path, sha256 = foreign
    made, bytes_, match = HOSTILE[kind]
    folder = path / ".adiabat" / "models"
    if made is None:
        (folder / f"{sha256}.zip").write_bytes(bytes_)
    else:
        data = made if isinstance(made, bytes) else made()
        (folder / f"{hashlib.sha256(data).hexdigest()}.zip").write_bytes(data)
    for ask in (lend_models, models.add_store, lambda path: xr.open_dataset(path, engine="adiabat", models="store")):
        lending.LENT.clear()
        with pytest.raises(ModelMismatchError, match=None if ask is models.add_store else match):
            ask(path)


def test_sizes_are_looked_at_before_anything_is_read(foreign, monkeypatch):
    path, sha256 = foreign
    with (path / ".adiabat" / "models" / f"{sha256}.zip").open("ab") as file:
        file.truncate(package.SIZE_LIMIT + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(ModelMismatchError, match=f"at most {package.SIZE_LIMIT} bytes, got {package.SIZE_LIMIT + 1}"):
        lend_models(path)
    with pytest.raises(ModelMismatchError, match=f"at most {package.SIZE_LIMIT} bytes"):
        models.add_store(path)


def test_names_of_entries_reach_no_disk(foreign, tmp_path, cache):
    path, _ = foreign
    data = rezipped({"../../evil.txt": b"out", "/abs/evil.txt": b"out"})
    sha256 = hashlib.sha256(data).hexdigest()
    (path / ".adiabat" / "models" / f"{sha256}.zip").write_bytes(data)
    assert sha256 in lend_models(path)
    models.add_store(path)
    assert not list(tmp_path.rglob("evil*"))
    assert all(each.name.count("/") == 0 and len(each.stem) == 64 for each in cache.iterdir())


@pytest.mark.parametrize("name", ["pyramid.zip", "..zip", "A" * 64 + ".zip", "0" * 63 + ".zip", "notes.txt"])
def test_other_names_are_left_alone(name, foreign):
    path, sha256 = foreign
    (path / ".adiabat" / "models" / name).write_bytes(b"whatever")
    assert lend_models(path) == [sha256]


def test_names_do_not_find_what_was_lent(foreign):
    lend_models(foreign[0])
    assert models.find_model(foreign[1][:10]).manifest["name"] == "mine"
    with pytest.raises(ModelNotFoundError):
        models.find_model("mine")
    assert models.find_model("pyramid").manifest["name"] == "pyramid"


def test_nothing_to_lend_or_embed(tmp_path):
    compress(simulate_field((1, 5, 8)), tmp_path / "a.zarr")
    assert lend_models(tmp_path / "a.zarr") == []
    (tmp_path / "no.zarr").mkdir()
    for ask in (needed_models, embed_models):
        with pytest.raises(RequestError, match="is not a Zarr store"):
            ask(tmp_path / "no.zarr")
    zarr.create_array(tmp_path / "one.zarr", shape=(3,), dtype="f4")
    with pytest.raises(RequestError, match="single Zarr array"):
        needed_models(tmp_path / "one.zarr")


def test_a_model_that_is_not_here_cannot_be_embedded(foreign):
    path, sha256 = foreign
    shutil.rmtree(path / ".adiabat")
    with pytest.raises(ModelNotFoundError, match=sha256):
        embed_models(path)
    assert not (path / ".adiabat").exists()


def test_a_store_that_lists_nothing(foreign):
    from zarr.storage import LocalStore

    class Silent(LocalStore):
        async def list_dir(self, prefix):
            raise NotImplementedError
            yield

    with pytest.raises(RequestError, match="files can be listed"):
        lend_models(Silent(foreign[0], read_only=True))


def test_other_values_of_models(foreign):
    with pytest.raises(RequestError, match='expected models=False, True or "store"'):
        xr.open_dataset(foreign[0], engine="adiabat", models="cache")


def test_stores_of_version_2(field, tmp_path):
    from adiabat.codec import Pyramid

    plain = field.drop_vars("time")
    encoding = {"compressors": (Pyramid(bound=BOUND),), "chunks": (1, 61, 120)}
    plain.to_zarr(tmp_path / "v2.zarr", zarr_format=2, encoding={"temperature": encoding})
    [file] = embed_models(tmp_path / "v2.zarr")
    assert file.stem == models.find_model().sha256
    assert lend_models(tmp_path / "v2.zarr") == [file.stem]
    assert open_archive(tmp_path / "v2.zarr", models="store").temperature.load().shape == (2, 61, 120)
