"""The wheel holds what it must, and decodes from where it was installed."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from adiabat.codec import Pyramid

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
KEPT = (".py", ".zip", ".onnx", ".json", ".npz", ".toml", ".md", ".j2", ".css")
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]
FIRST = ROOT / "spec" / "vectors" / "valid" / "frames"  # of stream version 1, on the neural path

DECODE = """
import sys
import numpy as np
import adiabat.codec, numcodecs
assert adiabat.codec.__file__.startswith(sys.argv[1]), adiabat.codec.__file__
codec = numcodecs.get_codec({"id": "adiabat.pyramid", "bound": {"abs": 0.01}})
assert type(codec).__module__ == "adiabat.codec.pyramid", type(codec)
for path in sys.argv[2:]:
    np.save(path + ".npy", codec.decode(open(path, "rb").read()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, so that the tree stays clean and nothing stale comes from build/."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for path in {path.split("/")[0] for path in FOLDERS.values()}:
        shutil.copytree(ROOT / path, copy / path, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copy)], check=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_every_module_and_data_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("adiabat/")}
    wanted = set()
    for package, path in FOLDERS.items():
        for file in (ROOT / path).iterdir():
            if file.suffix in KEPT or file.name == "py.typed":
                wanted.add(f"{package.replace('.', '/')}/{file.name}")
    assert held == wanted
    assert {f"adiabat/{name}/py.typed" for name in ("codec", "formats", "training")} <= held
    assert "adiabat/__init__.py" not in held


def test_wheel_names_its_entry_points(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(name).decode()
    points = configparser.ConfigParser(delimiters=("=",))
    points.read_string(text)
    codecs = {"adiabat.healpix", "adiabat.hvae", "adiabat.hyperprior", "adiabat.pyramid", "adiabat.vq"}
    assert {group: set(points[group]) for group in points.sections()} == {
        "console_scripts": {"adiabat"},
        "numcodecs.codecs": codecs,
        "xarray.backends": {"adiabat"},
        "zarr.codecs": codecs | {"adiabat.mask"},
    }


def test_installed_wheel_decodes(wheel, tmp_path):
    field = np.sin(np.linspace(0, 9, 40 * 60)).reshape(40, 60).astype("f4")
    stream = Pyramid(bound={"abs": 0.01}).encode(field)
    (tmp_path / "stream").write_bytes(stream)
    shutil.copy(FIRST / "stream.bin", tmp_path / "first")
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    arguments = [str(target), str(tmp_path / "stream"), str(tmp_path / "first")]
    environment = {**os.environ, "PYTHONPATH": str(target), "ADIABAT_CACHE": str(tmp_path / "cache")}
    # -P keeps the checkout off sys.path; PYTHONPATH stands before the editable install.
    ran = subprocess.run(
        [sys.executable, "-P", "-c", DECODE, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "stream.npy"), Pyramid(bound={"abs": 0.01}).decode(stream))
    np.testing.assert_array_equal(np.load(tmp_path / "first.npy"), np.load(FIRST / "array.npy"))


def test_every_folder_of_modules_is_a_package():
    folders = {str(path.parent.relative_to(ROOT)) for root in FOLDERS.values() for path in (ROOT / root).rglob("*.py")}
    assert folders == set(FOLDERS.values())
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == set(FOLDERS)


def test_core_needs_neither_torch_nor_onnxruntime():
    names = {re.split(r"[<>=\[ ]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert names == {"numpy", "numcodecs", "zarr", "xarray", "constriction", "numba", "typer", "rich", "filelock"}


def test_advice_names_extras_that_exist():
    texts = [path.read_text() for root in FOLDERS.values() for path in (ROOT / root).glob("*.py")]
    named = {name for text in texts for names in re.findall(r"adiabat\[([\w,]+)\]", text) for name in names.split(",")}
    assert {"cpu", "gpu", "train"} <= named <= set(PROJECT["project"]["optional-dependencies"])


def test_no_module_shadows_the_standard_library_or_a_dependency():
    names = {path.stem for root in FOLDERS.values() for path in (ROOT / root).glob("*.py")} - {"__init__"}
    assert not names & (set(sys.stdlib_module_names) | {"numpy", "zarr", "xarray", "numcodecs", "torch", "onnx"})
