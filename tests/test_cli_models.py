"""`adiabat models` and `adiabat train`, as they are typed."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from adiabat.codec import ModelMismatchError, ModelNotFoundError, models, statics
from adiabat.formats.cli import app, main

SHIPPED = Path(models.__file__).parent / "pyramid.zip"
MAIN = "import sys; from adiabat.formats.cli import main; sys.argv[0] = 'adiabat'; main()"


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)
    monkeypatch.setattr(models, "_loaded", {})
    monkeypatch.setattr(statics, "_loaded", {})


def ran(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return result.output


def test_list_names_the_shipped_model():
    text = ran("models", "list")
    assert "pyramid" in text
    assert models.find_model().sha256[:16] in text
    assert f"{SHIPPED.stat().st_size:,}" in text


def test_show():
    sha256 = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    first, rest = ran("models", "show").split("\n", 1)
    assert first == f"SHA-256 {sha256}"
    card = SHIPPED.with_suffix(".md").read_text()
    assert rest.startswith(card)
    manifest = json.loads(rest[len(card) :])
    assert manifest["name"] == "pyramid"
    assert "nets" not in manifest
    assert json.loads(ran("models", "show", "--json")) == {"sha256": sha256, **manifest}
    assert ran("models", "show", models.find_model().sha256[:10]).startswith(first)


def test_list_as_json():
    listed = json.loads(ran("models", "list", "--json"))
    (entry,) = [entry for entry in listed if entry["name"] == "pyramid"]
    assert entry["sha256"] == models.find_model().sha256
    assert entry["bytes"] == SHIPPED.stat().st_size
    assert (entry["kind"], entry["place"], entry["problem"]) == ("pyramid", "shipped", None)


def test_a_narrow_terminal_gets_lines_in_place_of_a_table():
    from rich.console import Console

    from adiabat.formats.cli_zoo import print_zoo
    from adiabat.formats.model_zoo import entries

    console = Console(width=80, record=True, file=io.StringIO())
    print_zoo(console, entries())
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80 or "broken:" in text
    flat = " ".join(text.split())
    assert "BSD-3-Clause, shipped" in flat
    assert "1.351 times the ratio of the best of SZ3" in flat


def test_add_and_list(tmp_path):
    sha256 = models.find_model().sha256
    assert ran("models", "add", SHIPPED).strip() == str(tmp_path / "cache" / f"{sha256}.zip")
    lines = [line for line in ran("models", "list").splitlines() if sha256[:16] in line]
    assert len(lines) == 2, "in the wheel, and in the cache by its hash"


def test_add_a_static_field(tmp_path):
    data = statics.static_file(np.arange(12.0).reshape(3, 4))
    (tmp_path / "orography.npy").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    cached = tmp_path / "cache" / f"{sha256}.npy"
    assert ran("models", "add", tmp_path / "orography.npy").strip() == str(cached)
    assert cached.read_bytes() == data
    assert statics.find_static(sha256).shape == (3, 4)
    listed = [line for line in ran("models", "list").splitlines() if sha256[:16] in line]
    assert len(listed) == 1
    assert "static field" in listed[0]


def test_add_what_a_store_keeps(tmp_path):
    kept = tmp_path / "a.zarr" / models.STORE_FOLDER
    kept.mkdir(parents=True)
    with pytest.raises(ModelNotFoundError, match="got none: nothing to add"):
        models.add_store(kept.parent)
    fields = {hashlib.sha256(data).hexdigest(): data for data in map(statics.static_file, np.eye(4).reshape(4, 2, 2))}
    fields |= {models.find_model().sha256: SHIPPED.read_bytes()}
    cached = []
    for sha256, data in sorted(fields.items()):
        suffix = models.SUFFIX if data[:2] == b"PK" else statics.SUFFIX
        (kept / f"{sha256}{suffix}").write_bytes(data)
        cached.append(str(tmp_path / "cache" / f"{sha256}{suffix}"))
    (kept / "zarr.json").write_text("{}")
    assert ran("models", "add", kept.parent).split() == cached
    damaged = next(kept.glob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ModelMismatchError, match=f"{damaged.name} to hold what its name says, got SHA-256"):
        models.add_store(kept.parent)


def test_messages_are_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage.zip").write_bytes(b"garbage")
    (tmp_path / "garbage.npy").write_bytes(b"garbage")
    for arguments, part in [
        (["models", "add", "garbage.zip"], "not a model package"),
        (["models", "add", "nothing.zip"], "nothing.zip"),
        (["models", "add", "garbage.npy"], "not a static field"),
        (["models", "show", "deadbeef"], "adiabat models add FILE"),
        (["train", "pyramid", "--data", "nothing", "--out", "x.zip"], "expected gridded float variables"),
    ]:
        monkeypatch.setattr(sys, "argv", ["adiabat", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (1, 2), arguments
        said = capsys.readouterr().err
        assert part in said, arguments
        assert len(said.strip().splitlines()) == 1


def test_list_with_a_broken_package_says_so(tmp_path, python):
    (tmp_path / "broken.zip").write_bytes(b"garbage")
    listed = python(MAIN, "models", "list", ADIABAT_MODELS=str(tmp_path))
    assert "Traceback" not in listed.stderr
    assert "pyramid" in listed.stdout, "one broken file hides no other"
    assert "broken.zip" in listed.stdout + listed.stderr


def test_train_without_torch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("adiabat.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("adiabat.training.train", raising=False)
    result = CliRunner().invoke(app, ["train", "pyramid", "--data", str(tmp_path), "--out", str(tmp_path / "x")])
    assert result.exit_code
    assert "training needs torch: pip install 'adiabat[train,io]'" in str(result.exception) + result.output


def test_train(tmp_path, monkeypatch):
    train = pytest.importorskip("adiabat.training.train", reason="needs torch and onnx", exc_type=ImportError)
    asked = []

    def train_to(target, folders, config, *, leave_out, progress):
        asked.append((target, folders, config, leave_out))
        progress("going")
        return "abc"

    monkeypatch.setattr(train, "train_to", train_to)
    options = ["--leave-out", "x", "--leave-out", "y", "--seed", "5", "--steps", "70", "--threads", "2"]
    text = ran("train", "pyramid", "--data", "one", "--data", "two", "--out", "m.zip", *options)
    assert text == "going\nm.zip  SHA-256 abc\n"
    config = train.Config(seed=5, steps=70, threads=2)
    assert asked == [(Path("m.zip"), [Path("one"), Path("two")], config, ("x", "y"))]
