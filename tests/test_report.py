"""The report: its figures against independent computations, its page valid, self-contained, small, escaped."""

from __future__ import annotations

import base64
import itertools
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
import zarr

from adiabat.formats import cli_report, compress
from adiabat.formats.errors import RequestError
from adiabat.formats.report import collect_facts, render_page, write_report
from adiabat.formats.report import page as page_module
from adiabat.formats.report.words import number

pytest.importorskip("onnxruntime")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
HOSTILE = "a<img src=x onerror=alert(1)>"
SHAPE = (6, 3, 25, 48)


def make_dataset(shape=SHAPE):
    """Simulated: rough fields on levels, one with a hostile name, units and long name, and a flag."""
    rng = np.random.default_rng(0)
    t = (280 + rng.standard_normal(shape).cumsum(-1).cumsum(-2) * 0.1).astype("f4")
    t[0, 0, :3, :4] = np.nan
    times = {"units": "hours since 2020-01-01"}
    coordinates = {
        "time": ("time", 6 * np.arange(shape[0]), times),
        "level": ("level", np.array([850.0, 500, 250][: shape[1]]), {"units": "hPa"}),
        "lat": ("lat", np.linspace(90, -90, shape[2]), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(shape[3]) * 360 / shape[3], {"units": "degrees_east"}),
    }
    dims = ("time", "level", "lat", "lon")
    spite = {"units": "<b>K</b>", "long_name": "</section><script>alert('x')</script>"}
    fields = {"t": (dims, t, {"units": "K"}), HOSTILE: (dims, t[:, :1].repeat(shape[1], 1) + 1, spite)}
    return xr.Dataset({**fields, "flag": (dims, (t > 280).astype("i2"))}, coordinates)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source and its store."""
    path = tmp_path_factory.mktemp("report")
    dataset = make_dataset()
    dataset.to_netcdf(path / "a.nc")
    compress(dataset, path / "a.zarr", bounds={"t": {"abs": 0.05}, HOSTILE: {"rel": 0.001}})
    return path


@pytest.fixture(scope="module")
def facts(folder):
    return collect_facts(folder / "a.nc", folder / "a.zarr")


@pytest.fixture(scope="module")
def text(facts):
    return render_page(facts)


@pytest.fixture(scope="module")
def sides(folder):
    """Both sides of t, read with plain xarray, in float64."""
    with xr.open_zarr(folder / "a.zarr", chunks=None) as store:
        return make_dataset().t.values.astype("f8"), store.t.values.astype("f8")


def of(facts, name):
    return next(each for each in facts.variables if each.name == name)


def test_every_fact_equals_an_independent_computation(facts, sides, folder):
    x, y = sides
    error, found = y - x, of(facts, "t")
    worst = np.unravel_index(np.nanargmax(np.abs(error)), error.shape)
    assert found.sampled == found.values == x.size
    assert found.errors.worst_index == worst
    assert found.errors.max_error == np.nanmax(np.abs(error)) <= 0.05
    assert found.errors.rmse == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-12)
    assert found.problem is None
    assert found.written_bytes == sum(
        file.stat().st_size for file in (folder / "a.zarr/t").rglob("*") if file.is_file()
    )
    assert found.ratio == 4 * x.size / found.written_bytes
    assert found.noted["max_error"] == pytest.approx(found.errors.max_error, rel=1e-12)
    assert found.range.missing == 12
    assert found.range.source == (np.nanmin(x), np.nanmax(x))
    assert found.range.stored == (np.nanmin(y), np.nanmax(y))
    counts, _ = np.histogram((error / 0.05)[np.isfinite(error)], found.histogram.edges)
    assert found.histogram.counts.tolist() == counts.tolist()
    assert found.histogram.beyond == 0


def test_profile_series_map_and_differences(facts, sides):
    x, y = sides
    error, found = y - x, of(facts, "t")
    levels = np.moveaxis(error, 1, 0).reshape(3, -1)
    np.testing.assert_allclose(found.profile.rmse, np.sqrt(np.nanmean(levels**2, 1)))
    np.testing.assert_allclose(found.profile.largest, np.nanmax(np.abs(levels), 1))
    assert found.profile.bound.tolist() == [0.05] * 3
    worst = found.errors.worst_index
    np.testing.assert_array_equal(found.series.source, x[:, *worst[1:]])
    np.testing.assert_array_equal(found.series.stored, y[:, *worst[1:]])
    assert found.map.index[:2] == worst[:2]
    assert found.map.worst == worst[2:]
    np.testing.assert_array_equal(found.map.field, x[worst[:2]])
    np.testing.assert_array_equal(found.map.error, error[worst[:2]])
    for step in found.roughness:
        wrong, right = np.diff(error, axis=step.axis), np.diff(x, axis=step.axis)
        assert step.error == pytest.approx(np.sqrt(np.nanmean(wrong**2)))
        assert step.source == pytest.approx(np.sqrt(np.mean(right[np.isfinite(wrong)] ** 2)))
    assert [step.axis for step in found.roughness] == [0, 2, 3]
    assert found.scores.scores.mae == pytest.approx(np.nanmean(np.abs(error)))
    assert found.scores.scores.satisfies_bound is True
    assert found.spectrum.frames == 18


def test_the_page_says_these_facts(facts, text):
    found = of(facts, "t")
    assert "Every value sampled keeps its bound." in text
    assert f"{number(found.errors.max_error, 4)} K" in text
    assert f"Looked at: all {facts.values:,} values." in text
    assert "level 850 hPa" in text
    assert "time 2020-01-01" in text
    for said in ("Bytes by section", "Scores of ClimateBenchPress", "Power by", "Extremes", "adiabat verify"):
        assert (said in text) is (said != "adiabat verify")
    assert "0.05 K" in text
    assert "0.1 % of each value" in text


def test_the_page_is_valid_and_whole(text):
    html5lib = pytest.importorskip("html5lib")
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    assert document.attrib["lang"] == "en"
    levels = [int(each.tag[1]) for each in document.iter() if re.fullmatch("h[1-6]", str(each.tag))]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [each.attrib["id"] for each in document.iter() if "id" in each.attrib]
    assert len(ids) == len(set(ids))
    for each in document.iter():
        target = each.attrib.get("href", "")
        assert not target.startswith("#") or target[1:] in ids
    tables = list(document.iter("table"))
    assert all(table.find("caption") is not None for table in tables)
    assert all(head.attrib["scope"] in ("row", "col") for table in tables for head in table.iter("th"))
    pictures = [each for each in document.iter() if str(each.tag).endswith("svg")]
    assert len(pictures) >= 10
    assert all(each.attrib["role"] == "img" and re.search(r"\d", each.attrib["aria-label"]) for each in pictures)


def test_nothing_is_outside_the_page(text):
    plain = re.sub(r"data:image/webp;base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|ftp:|//\w|@import|<link|<script|<iframe|xmlns|data:", plain)
    assert len(text.encode()) < 1_000_000
    for data in re.findall(r"data:([a-z/]+);base64,([\w+/=]+)", text):
        assert data[0] == "image/webp"
        assert base64.b64decode(data[1])[8:12] == b"WEBP"


def test_hostile_names_are_text(text):
    assert HOSTILE not in text
    assert "<script" not in text
    assert "<b>K</b>" not in text
    assert "a&lt;img src=x onerror=alert(1)&gt;" in text


def test_a_broken_bound_is_said(folder, tmp_path):
    with xr.open_dataset(folder / "a.nc", decode_times=False) as dataset:
        changed = dataset.load()
    changed.t[2, 1, 4, 5] += 1
    changed.flag[0, 0, 0, 0] += 1
    changed.to_netcdf(tmp_path / "b.nc")
    facts = collect_facts(tmp_path / "b.nc", folder / "a.zarr")
    assert facts.problems.keys() == {"t", "flag"}
    assert "[time=2, level=1, lat=4, lon=5]" in facts.problems["t"]
    assert facts.problems["flag"] == f"differs from the source in 1 of {np.prod(SHAPE)} values"
    text = render_page(facts)
    assert "2 of 7 variables and coordinates break what was promised: t, flag." in text
    assert "1 break it" in text
    assert "Every value sampled" not in text


def test_a_damaged_chunk_is_said_and_the_others_go_on(folder, tmp_path):
    shutil.copytree(folder / "a.zarr", tmp_path / "a.zarr")
    file = next(file for file in (tmp_path / "a.zarr/t/c").rglob("*") if file.is_file())
    file.write_bytes(file.read_bytes()[:100])
    facts = collect_facts(folder / "a.nc", tmp_path / "a.zarr")
    assert facts.problems["t"].startswith("cannot be read: ")
    assert of(facts, HOSTILE).errors.violations == 0
    assert "breaks what was promised: t" in render_page(facts)


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_what_is_missing_or_generated_is_said(folder, tmp_path):
    shutil.copytree(folder / "a.zarr", tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr/flag")
    zarr.consolidate_metadata(tmp_path / "a.zarr")
    assert collect_facts(folder / "a.nc", tmp_path / "a.zarr").problems == {"flag": "is missing from the store"}
    zarr.open_group(tmp_path / "a.zarr", mode="r+")["t"].attrs["adiabat_generated"] = "{}"
    from adiabat.formats.generated import MARK

    zarr.open_group(tmp_path / "a.zarr", mode="r+")["t"].attrs[MARK] = "yes"
    zarr.consolidate_metadata(tmp_path / "a.zarr")
    with pytest.raises(RequestError, match="t is generated by a model"):
        collect_facts(folder / "a.nc", tmp_path / "a.zarr")
    xr.Dataset({"other": (("y", "x"), np.zeros((4, 4), "f4"))}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(RequestError, match="other is missing from the store"):
        collect_facts(tmp_path / "other.nc", folder / "a.zarr")


@pytest.mark.parametrize(
    "values",
    [np.full((2, 12, 12), np.nan), np.full((2, 12, 12), 5.0), np.ones((1, 1)), np.eye(3), np.zeros((0, 3, 3)),
     np.where(np.eye(12), np.inf, 1.0), np.arange(40.0)],
    ids=["missing", "constant", "one", "tiny", "empty", "infinite", "line"],
)  # fmt: skip
def test_odd_fields_make_a_page(values, tmp_path):
    dataset = xr.Dataset({"v": (("a", "b", "c")[: values.ndim], values.astype("f4"))})
    dataset.to_netcdf(tmp_path / "v.nc")
    compress(dataset, tmp_path / "v.zarr", bounds={"v": {"abs": 0.1}})
    facts = collect_facts(tmp_path / "v.nc", tmp_path / "v.zarr")
    assert facts.problems == {}
    assert "v" in render_page(facts)


def test_many_variables_stay_within_the_page(facts, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_BYTES", 1_000_000)
    many = replace(facts, variables=tuple(
        replace(of(facts, "t"), pair=replace(of(facts, "t").pair, name=f"t{n}")) for n in range(30)
    ))  # fmt: skip
    text = render_page(many)
    assert len(text.encode()) < 1_100_000
    assert text.count("Fewer pictures are drawn") + text.count("No pictures are drawn") > 20
    assert text.count('<h2 id="v') == 30


def test_the_page_is_written_whole_or_not_at_all(facts, tmp_path, monkeypatch):
    assert write_report(facts, tmp_path / "r.html") == (tmp_path / "r.html").stat().st_size
    with pytest.raises(RequestError, match="exists already; --overwrite replaces it"):
        write_report(facts, tmp_path / "r.html")
    before = (tmp_path / "r.html").read_text()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        write_report(facts, tmp_path / "r.html", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == before
    with pytest.raises(RequestError, match="there is no folder"):
        write_report(facts, tmp_path / "none" / "r.html")


def test_what_is_missing_to_draw_is_one_sentence(facts, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(RuntimeError, match=r"a report needs jinja2: pip install 'adiabat\[plot\]'"):
        render_page(facts)


def test_the_command(folder, tmp_path, capsys):
    page = tmp_path / "r.html"
    cli_report.report([str(folder / "a.nc"), str(folder / "a.zarr")], page)
    said = capsys.readouterr().out
    assert said.startswith("Every value sampled keeps its bound.\n")
    assert page.stat().st_size > 50_000
    with pytest.raises(RequestError, match="expected SRC and DST, got"):
        cli_report.report([str(folder / "a.zarr")], page)
    with pytest.raises(RequestError, match="is not a Zarr store"):
        cli_report.report([str(folder / "a.nc"), str(folder / "b.zarr")], page, overwrite=True)
    make_dataset().assign(t=lambda each: each.t + 1).to_netcdf(tmp_path / "c.nc")
    with pytest.raises(typer.Exit) as stopped:
        cli_report.report([str(tmp_path / "c.nc"), str(folder / "a.zarr")], page, overwrite=True)
    assert stopped.value.exit_code == 1


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_a_browser_shows_it(text, tmp_path):
    from matplotlib.image import imread

    page, inside = tmp_path / "r.html", tmp_path / "probe.html"
    page.write_text(text)
    # A frame 360 wide, since a window has a least width of its own; the script is the test's.
    inside.write_text(
        "<!DOCTYPE html><body style='margin:0'><iframe id=f src='r.html' width=360 height=700></iframe><script>"
        "f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+' '+d.clientWidth+' '+f.contentDocument.querySelectorAll('svg').length}"
        "</script></body>"
    )
    base = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000",
    ]  # fmt: skip
    ran = subprocess.run([*base, "--dump-dom", inside.as_uri()], capture_output=True, text=True, timeout=120)
    needed, room, pictures = map(int, re.search(r"<title>(\d+) (\d+) (\d+)</title>", ran.stdout).groups())
    assert needed <= room
    assert pictures >= 10
    shot = tmp_path / "shot.png"
    subprocess.run([*base, f"--screenshot={shot}", "--window-size=1000,1600", page.as_uri()], capture_output=True,
                   timeout=120, check=True)  # fmt: skip
    pixels = imread(shot)
    assert pixels.shape[:2] == (1600, 1000)
    assert pixels[..., :3].std() > 0.05
