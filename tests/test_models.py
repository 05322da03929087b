"""Model packages: found by hash, name or path; refused where they are not what they say."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from strategies import fields

from adiabat.codec import ModelMismatchError, ModelNotFoundError, Pyramid, integer_net, models
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.paths import Chunk

SHIPPED = Path(models.__file__).parent / "pyramid.zip"
FIRST = SHIPPED.with_name("pyramid-1.zip")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No model of the user's, and none in memory."""
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)
    monkeypatch.setattr(models, "_loaded", {})


def parts_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return {name: package.read(name) for name in package.namelist()}


def zipped(parts, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as package:
        for name, data in parts.items():
            package.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def with_nets(net):
    """The shipped package whose manifest says this of every network."""
    return changed(nets=dict.fromkeys(models.NETS, net))


def changed(part="manifest.json", data=None, **manifest):
    """The shipped package with one part replaced, or something changed in its manifest."""
    parts = parts_of(SHIPPED.read_bytes())
    if data is None:
        data = json.dumps(json.loads(parts["manifest.json"]) | manifest).encode()
    return zipped(parts | {part: data})


def test_shipped_model():
    model = models.find_model()
    assert model.sha256 == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert model.manifest["name"] == "pyramid"
    assert [net.key for net in model.nets] == [f"{model.sha256}/{name}" for name in models.NETS]
    assert all(net.float_graph for net in model.nets)
    assert model.sees_references
    assert model.tables is model.tables
    assert SHIPPED.stat().st_size < 1 << 20


def test_first_shipped_model_stays():
    """Streams of version 1 name it."""
    model = models.find_model("7f72267aa70166571b7ef02f4d1faded86e0b704cfb12b534aceff9c8fdfebeb")
    assert model is models.find_model("pyramid-1")
    assert model.sha256 == hashlib.sha256(FIRST.read_bytes()).hexdigest()
    assert model.manifest["format"] == 1
    assert [net.key for net in model.nets] == [f"{model.sha256}/{name}" for name in models.STILL]
    assert not model.sees_references


def test_every_shipped_model_has_a_card():
    for package in SHIPPED.parent.glob("*.zip"):
        card = package.with_suffix(".md").read_text()
        assert hashlib.sha256(package.read_bytes()).hexdigest() in card


def test_found_by_name_hash_prefix_and_path():
    model = models.find_model()
    for name in ("pyramid", model.sha256, model.sha256[:8], model.sha256[:20], SHIPPED, str(SHIPPED)):
        assert models.find_model(name).sha256 == model.sha256
    assert models.find_model(model.sha256) is model
    with pytest.raises(ModelNotFoundError):
        models.find_model(model.sha256[:7])


def test_nets_by_pass_and_spacing():
    model = models.find_model()
    names = [model.net(number, spacing).key.split("/")[1] for spacing in (64, 2, 1) for number in range(3)]
    assert names == ["D-coarse", "A-coarse", "B-coarse"] * 2 + ["D-fine", "A-fine", "B-fine"]
    keys = [model.net(number, spacing, side=True).key for spacing in (64, 2, 1) for number in range(3)]
    assert [key.split("/")[1] for key in keys] == [f"{name}-side" for name in names]
    assert models.NETS == models.STILL + models.SIDE
    assert models.BY_FORMAT == {1: models.STILL, models.FORMAT: models.NETS}


@pytest.mark.parametrize("name", ["0" * 64, "deadbeef", "nothing", "missing.zip"])
def test_unknown_model_is_named_with_advice(name, tmp_path):
    with pytest.raises(ModelNotFoundError) as caught:
        models.find_model(name)
    text = str(caught.value)
    assert f"model {name} is needed" in text
    assert "adiabat models add FILE" in text
    assert str(tmp_path / "cache") in text
    assert "\n" not in text


def test_folders_of_the_environment_come_first(tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyramid.zip").write_bytes(changed(name="second"))
    monkeypatch.setenv("ADIABAT_MODELS", f"{tmp_path / 'none'}:{other}")
    assert models.find_model().manifest["name"] == "second"
    assert models.folders()[:2] == [tmp_path / "none", other]
    assert models.packages()[0] == other / "pyramid.zip"


def test_cache_folder(monkeypatch, tmp_path):
    assert models.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ADIABAT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / "adiabat" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert models.cache_folder() == Path.home() / ".cache" / "adiabat" / "models"


def test_add_then_decode(tmp_path, monkeypatch):
    field = fields()
    package = tmp_path / "mine.zip"
    package.write_bytes(changed(name="mine"))
    layout = Layout.of(field)
    chunk = Chunk(layout.frames(field), layout, Bound("abs", 0.01))
    data = chunk.neural(models.find_model(package))[0].write()
    sha256 = hashlib.sha256(package.read_bytes()).hexdigest()
    monkeypatch.setattr(models, "_loaded", {})
    with pytest.raises(ModelNotFoundError, match=sha256):
        Pyramid(bound={"abs": 0.01}).decode(data)
    added = models.add(package)
    assert added == tmp_path / "cache" / f"{sha256}.zip"
    assert models.add(package) == added
    assert list(added.parent.iterdir()) == [added], "no partial file stays"
    package.unlink()
    assert np.abs(Pyramid(bound={"abs": 0.01}).decode(data) - field).max() <= 0.01
    assert models.find_model(sha256[:9]).manifest["name"] == "mine"


def without(part, data):
    """A package that lacks a part."""
    return zipped({name: content for name, content in parts_of(data).items() if name != part})


def first_as(**manifest):
    """The package of format 1 with something changed in its manifest."""
    parts = parts_of(FIRST.read_bytes())
    return zipped(parts | {"manifest.json": json.dumps(json.loads(parts["manifest.json"]) | manifest).encode()})


LAYER = "A-fine/weight0.npy"
BROKEN = {
    "empty": b"",
    "garbage": bytes(range(256)) * 9,
    "other zip": zipped({"hello.txt": b"hello"}),
    "manifest is no JSON": changed(data=b"\xff\xfe{"),
    "manifest is deep": changed(data=b"[" * 100_000),
    "manifest is a list": changed(data=b"[1]"),
    "later format": changed(format=3),
    "no format": changed(format=None),
    "format is a list": changed(format=[2]),
    "format 2 with the networks of format 1": first_as(format=2),
    "no networks": changed(nets={}),
    "networks are a list": changed(nets=[]),
    "network without shifts": with_nets({}),
    "shifts are no numbers": with_nets({"shifts": [None]}),
    "shifts are a number": with_nets({"shifts": 3}),
    "no layers": with_nets({"shifts": []}),
    "shift too large": with_nets({"shifts": [99, 6, 0]}),
    "layers too many": with_nets({"shifts": [5, 6, 6, 6, 0]}),
    "weights of another dtype": changed(LAYER, npy(np.zeros((40, 48), np.int16))),
    "weights of another width": changed(LAYER, npy(np.zeros((41, 48), np.int8))),
    "weights of three axes": changed(LAYER, npy(np.zeros((1, 40, 48), np.int8))),
    "weights too large": changed(LAYER, npy(np.full((40, 48), 127, np.int8))),
    "weights are no array": changed(LAYER, b"hello"),
    "weights are pickled": changed(LAYER, npy(np.array([{}], object))),
    "weights cut short": changed(LAYER, npy(np.zeros((40, 48), np.int8))[:-1]),
    "weights claim much memory": changed(
        LAYER, npy(np.zeros((4, 4), np.int8)).replace(b"(4, 4)", b"(9999999999, 9999)"[:18])
    ),
    "linear path too short": changed("A-fine/linear.npy", npy(np.zeros(3, np.int16))),
    "linear path of another dtype": changed("A-fine/linear.npy", npy(np.zeros(24, np.int32))),
    "linear path of two axes": changed("A-fine/linear.npy", npy(np.zeros((24, 1), np.int16))),
    "tables of another shape": changed("frequencies.npy", npy(np.ones((3, 3), np.uint32))),
    "tables do not sum up": changed("frequencies.npy", npy(np.ones((96, 96), np.uint32))),
    "linear path of references missing": without("A-fine-side/linear.npy", SHIPPED.read_bytes()),
    "references without their inputs": changed("A-fine-side/weight0.npy", npy(np.zeros((40, 48), np.int8))),
    "a header of the .npy format with more behind it": changed(LAYER, npy(np.zeros((40, 48), np.int8)) + b"\0"),
    "layers without end": changed("A-fine/weight1.npy", npy(np.zeros((48, 4000), np.int8))),
    "cut short": SHIPPED.read_bytes()[:-40],
    "checksum of a part": SHIPPED.read_bytes()[:3000] + b"\0\1\2" + SHIPPED.read_bytes()[3003:],
    "zip bomb": changed("bomb", bytes(20 << 20)),
    "too large": changed("stuffing", np.random.default_rng(0).bytes(9 << 20)),
    "needs a password": b"",  # made below
}


def with_password():
    """The flag that says so, in both headers of a part."""
    data = bytearray(zipped({"manifest.json": b"{}"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


BROKEN["needs a password"] = with_password()


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_packages_are_refused(kind, tmp_path):
    with pytest.raises(ModelMismatchError) as caught:
        models.load(BROKEN[kind])
    assert "not a model package" in str(caught.value)
    package = tmp_path / "broken.zip"
    package.write_bytes(BROKEN[kind])
    with pytest.raises(ModelMismatchError):
        models.add(package)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ModelMismatchError):
        models.find_model(package)


OTHER = parts_of(SHIPPED.read_bytes())["A-coarse/net.onnx"]


@pytest.mark.parametrize("runner", ["", "onnx", "onnx-float"])
@pytest.mark.parametrize("data", [b"no graph", OTHER, None], ids=["none", "another", "absent"])
def test_a_package_s_own_graphs_are_never_run(data, runner, monkeypatch):
    """What runs is made of the integers: a graph that differs from them only where nobody looked would go unseen."""
    pytest.importorskip("onnxruntime")
    bytes_ = SHIPPED.read_bytes()
    for part in ("B-fine/net.onnx", "B-fine/net-float.onnx"):
        bytes_ = without(part, bytes_) if data is None else zipped(parts_of(bytes_) | {part: data})
    net, own = models.load(bytes_).net(2, 1), models.find_model().net(2, 1)
    assert (net.graph, net.float_graph) == (own.graph, own.float_graph)
    monkeypatch.setattr(integer_net, "_cache", {})
    monkeypatch.setenv("ADIABAT_RUNNER", runner)
    inputs = np.random.default_rng(0).integers(0, 256, (50, net.layers[0].weight.shape[0]), np.uint8)
    assert (net.runner()(inputs) == integer_net.numpy_runner(net.layers)(inputs)).all()


def test_a_path_is_read_anew(tmp_path):
    package = tmp_path / "mine.zip"
    for name in ("first", "second"):
        package.write_bytes(changed(name=name))
        assert models.find_model(package).manifest["name"] == name


def test_sizes_are_limited_before_anything_is_unpacked():
    with pytest.raises(ModelMismatchError, match="expected at most 8388608 bytes"):
        models.load(BROKEN["zip bomb"])
