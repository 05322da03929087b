"""Every block of code in the README and every example in a docstring runs, from where it stands."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import adiabat.codec
import adiabat.formats
from adiabat.codec import Pyramid
from adiabat.codec.stream import Stream
from adiabat.formats import compress
from adiabat.formats.demo import simulate_field

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"^## ", README, flags=re.MULTILINE)[1:]}


def fenced(section, language):
    return re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], flags=re.MULTILINE | re.DOTALL)


def modules():
    for package in (adiabat.codec, adiabat.formats):
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield module.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder with the one file the README speaks of."""
    path = tmp_path_factory.mktemp("readme")
    simulate_field((2, 37, 72)).to_netcdf(path / "t850.nc")
    return path


def run(command, folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_use_section_from_top_to_bottom(folder):
    commands = fenced("Use", "sh")
    blocks = fenced("Use", "python")
    assert len(commands) == 2
    assert len(blocks) == 3
    for command in commands:
        run(["bash", "-euo", "pipefail", "-c", command], folder)
    for block in blocks:
        run([sys.executable, "-c", block], folder)


def test_archives_section_from_top_to_bottom(tmp_path):
    (tmp_path / "era5").mkdir()
    field = simulate_field((4, 37, 72)).rename(temperature="t2m")
    field.t2m.attrs["units"] = "K"
    for month in (1, 2):
        part = field.assign_coords(time=("time", field.time.values + 4 * month, field.time.attrs))
        part.to_netcdf(tmp_path / "era5" / f"2020-{month:02}.nc")
    commands = "".join(fenced("Archives: many files, many workers, killed and resumed", "sh"))
    said = run(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    assert "recommended: 2t" in said
    assert "is complete" in said
    (block,) = fenced("Archives: many files, many workers, killed and resumed", "python")
    run([sys.executable, "-c", block], tmp_path)
    run(["adiabat", "export", "era5.zarr", "era5.nc"], tmp_path)
    with xr.open_dataset(tmp_path / "era5.nc") as plain:
        assert plain.sizes["time"] == 8


def test_volumes_section_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    dataset = simulate_field((6, 37, 72))
    dataset.to_netcdf(tmp_path / "hourly.nc")
    dataset.isel(time=0, drop=True).rename(temperature="z").to_netcdf(tmp_path / "orography.nc")
    (commands,), (block,) = fenced("Volumes", "sh"), fenced("Volumes", "python")
    run(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    run([sys.executable, "-c", block], tmp_path)


def test_extreme_ratios_section_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    dataset = simulate_field((2, 37, 72)).rename(temperature="t")
    dataset.assign(q=dataset.t - 200).to_netcdf(tmp_path / "era5.nc")
    dataset.isel(time=0, drop=True).rename(t="z").to_netcdf(tmp_path / "orography.nc")
    section = "Extreme ratios: an error on average, or a ratio"
    (commands,), (block,) = fenced(section, "sh"), fenced(section, "python")
    run(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    run([sys.executable, "-c", block], tmp_path)


def test_cubes_section_from_top_to_bottom(tmp_path):
    """Simulated: a cube of three components, a cloud a day; and a series of two."""
    rng = np.random.default_rng(0)
    days, rows, columns = np.arange(60), np.linspace(33, 38, 20), np.linspace(14, 19, 24)
    y, x = np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 24), indexing="ij")
    patterns = np.stack([np.exp(-4 * (y**2 + x**2)), x, y])
    cube = 3 + np.einsum("tk,kij->tij", rng.standard_normal((60, 3)), patterns)
    cube += 0.1 * rng.standard_normal(cube.shape)
    for day in cube:
        day[np.hypot(y - rng.uniform(-1, 1), x - rng.uniform(-1, 1)) < 0.6] = np.nan
    coordinates = {"time": days, "lat": rows, "lon": columns}
    for name, values in (("no2", cube), ("ts", 280 + np.einsum("tk,kij->tij", np.ones((60, 3)), patterns))):
        variable = ("time", "lat", "lon"), values.astype("f4")
        xr.Dataset({name: variable}, coordinates).to_netcdf(tmp_path / f"{name}.nc")
    section = "Cubes with holes, and series of low rank"
    (commands,), (block,) = fenced(section, "sh"), fenced(section, "python")
    run(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    run([sys.executable, "-c", block], tmp_path)


def test_install_is_two_commands():
    demo, tests = fenced("Install", "sh")
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.strip().endswith("adiabat demo")
    assert tests.strip().endswith("pytest -n 2 --dist loadfile --no-loadscope-reorder")


def test_ci_runs_the_readme_command(tmp_path):
    """With a `bash` that prints instead of running, CI prints the README's line."""
    script = (ROOT / ".ci" / "run").read_text()
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(script.replace('bash -euo pipefail -c "$command"', "exit 0"))
    (tmp_path / "README.md").write_text(README)
    ran = subprocess.run(
        ["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "ADIABAT_DATA": "."}
    )
    assert ran.stdout == "+ " + fenced("Install", "sh")[1]
    assert ran.returncode == 0


def test_ci_fails_without_the_data(tmp_path):
    environment = {**os.environ, "ADIABAT_DATA": str(tmp_path / "none")}
    ran = subprocess.run(["bash", ROOT / ".ci" / "run"], capture_output=True, text=True, env=environment)
    assert ran.returncode == 1
    assert "set ADIABAT_DATA" in ran.stderr


MISSING_PLUGIN = """
import importlib.metadata, sys
# As if adiabat were not installed: its entry points are not seen.
others = [d for d in importlib.metadata.distributions() if d.name != "adiabat"]
points = importlib.metadata.EntryPoints(point for d in others for point in d.entry_points)
importlib.metadata.entry_points = lambda **group: points.select(**group)
import xarray as xr
xr.open_zarr(sys.argv[1])
"""

DECODE = """
import sys
from adiabat.codec import Pyramid
Pyramid(bound="lossless").decode(open(sys.argv[1], "rb").read())
"""


@pytest.fixture(scope="module")
def neural_stream():
    field = simulate_field((1, 91, 180))["temperature"].values
    stream = Stream.read(Pyramid(bound={"abs": 0.1}).encode(field))
    assert stream.path == "neural"
    return stream


def quoted_messages():
    texts = fenced("What a reader sees when something is missing", "text")
    return [re.sub(r"<[^>]*>", ".+", re.escape(text.strip()).replace("\\<", "<")) for text in texts]


def last_line(ran):
    assert ran.returncode == 1
    return ran.stderr.strip().splitlines()[-1]


def test_quoted_message_without_the_package(python, tmp_path):
    compress(simulate_field((1, 19, 36)), tmp_path / "a.zarr", default_bound={"abs": 0.1})
    quoted, _, _ = quoted_messages()
    line = last_line(python(MISSING_PLUGIN, tmp_path / "a.zarr"))
    assert re.match(quoted, line) or "adiabat.pyramid" in line  # the wording is Zarr's


def test_quoted_message_of_an_unknown_model(python, tmp_path, neural_stream):
    (tmp_path / "stream").write_bytes(dataclasses.replace(neural_stream, model=bytes(range(32))).write())
    _, quoted, _ = quoted_messages()
    assert re.fullmatch(quoted, last_line(python(DECODE, tmp_path / "stream")))


def test_quoted_message_of_a_wrong_model(python, tmp_path, neural_stream):
    (tmp_path / "stream").write_bytes(neural_stream.write())
    (tmp_path / f"{neural_stream.model.hex()}.zip").write_bytes(b"not a model")
    _, _, quoted = quoted_messages()
    ran = python(DECODE, tmp_path / "stream", ADIABAT_MODELS=str(tmp_path))
    assert re.fullmatch(quoted, last_line(ran))


def test_readme_names_no_machine():
    assert not re.search(r"https?://|/home/|/work/|/tmp/|/opt/|pypi", README)


GUIDE = ROOT / "spec" / "guide"
PAGES = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, link


def test_every_page_of_the_guide_is_in_its_index():
    index = (GUIDE / "README.md").read_text()
    for page in sorted([*GUIDE.glob("*.md"), *GUIDE.glob("*.ipynb")]):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_every_picture_of_the_guide_is_shown():
    shown = "".join(page.read_text() for page in PAGES)
    for picture in GUIDE.glob("*.png"):
        assert f"{picture.name})" in shown, picture.name


def test_the_guide_is_small():
    assert sum(path.stat().st_size for path in GUIDE.iterdir()) < 2_000_000


@pytest.mark.parametrize("name", ["pyramid", "hyperprior", "vq", "hvae", "low_rank"])
def test_a_codec_has_a_page_with_all_it_needs(name):
    text = (GUIDE / f"{name}.md").read_text()
    for part in ("**What it promises.**", "When not to use it", "## What was measured"):
        assert part in text
    commands = re.findall(r"^adiabat .+$", text, flags=re.MULTILINE)
    assert len(commands) >= 3
    assert f"(../{name}.md)" in text
