"""`adiabat export`: plain files that need no plug-in; rounded below a tenth of the bound, or exact."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import typer
import xarray as xr
import zarr
from typer.testing import CliRunner

import adiabat.formats.export as module
from adiabat.formats import cli_export, compress, export_targets, make_plan, open_source, write
from adiabat.formats.demo import simulate_field
from adiabat.formats.errors import RequestError
from adiabat.formats.export import count_exported, export
from adiabat.formats.metadata import REQUEST

KINDS = ("nc", "zarr")
READ = """
import importlib.metadata, sys
others = [d for d in importlib.metadata.distributions() if d.name != "adiabat"]
points = importlib.metadata.EntryPoints(point for d in others for point in d.entry_points)
importlib.metadata.entry_points = lambda **group: points.select(**group)
sys.modules["adiabat"] = None
import xarray as xr
found = (xr.open_zarr if sys.argv[1].endswith("zarr") else xr.open_dataset)(sys.argv[1]).load()
print(float(found.temperature.mean()), found.temperature.attrs["quantization_nsb"])
"""


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(0)
    dataset = simulate_field((5, 19, 36))
    t = dataset.temperature
    humid = np.exp(t - 260).clip(0, 1e3) * 1e-6
    holes = t.where(rng.random(t.shape) > 0.2).rename(None)
    holes.attrs = {"units": "K", "coordinates": "area run", "comment": "with holes"}
    area = xr.DataArray(rng.random((19, 36)), dims=("lat", "lon"), attrs={"units": "m2"})
    area.encoding["_FillValue"] = None
    count = xr.DataArray(rng.integers(0, 9, t.shape).astype("i2"), dims=t.dims, attrs={"flag_values": [0, 1, 2]})
    count.attrs["_FillValue"] = np.int16(-1)
    dataset = dataset.assign(q=humid.astype("f8"), holes=holes, count=count, exact=t * 1.1, scalar=np.float32(0.1))
    dataset = dataset.assign_coords(area=area, run=("time", ["a", "bb", "ccc", "d", "é"]))
    dataset.exact.attrs = {"valid_range": [150.0, 400.0], "about": {"nested": [1, None]}, "names": ["a", "b"]}
    dataset.attrs |= {"Conventions": "CF-1.6, ACDD-1.3", "history": "made"}
    return dataset


@pytest.fixture(scope="module")
def store(field, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    bounds = {"temperature": {"abs": 0.1}, "q": {"rel": 0.01}, "holes": {"abs": 0.5}}
    compress(field, path, bounds=bounds, chunks={"time": 2})
    return path


@pytest.fixture(scope="module")
def archived(store):
    return xr.open_dataset(store, engine="adiabat").load()


@pytest.fixture(scope="module", params=KINDS)
def exported(request, store, tmp_path_factory):
    if request.param == "nc":
        pytest.importorskip("netCDF4")
    path = tmp_path_factory.mktemp("out") / f"out.{request.param}"
    return export(store, path), path


def opened(path, **options):
    return xr.open_dataset(path, engine="zarr" if path.suffix == ".zarr" else "netcdf4", **options)


def bits_of(done):
    return {each.name: each.bits for each in done}


def test_what_is_rounded_and_by_how_much(exported, archived, field):
    done, path = exported
    found = opened(path).load()
    assert {name for name, bits in bits_of(done).items() if bits} == {"temperature", "q", "holes"}
    for each in done:
        moved = np.abs(found[each.name].astype("f8") - archived[each.name].values)
        if each.bits is None:
            np.testing.assert_array_equal(found[each.name], archived[each.name])
            continue
        assert float(moved.max()) == each.added > 0
        source = field[each.name].astype("f8").drop_vars("time")
        bound = each.note["bound"]
        limit = np.abs(source.values) * bound["rel"] if "rel" in bound else bound["abs"]
        assert (moved <= 0.1 * limit).where(moved.notnull(), True).all()
        total = np.abs(found[each.name].astype("f8") - source.values)
        assert (total <= 1.1 * limit).where(total.notnull(), True).all()
    np.testing.assert_array_equal(np.isnan(found.holes), np.isnan(field.holes))
    view = found.temperature.values.view("u4")
    assert not (view & np.uint32((1 << (23 - bits_of(done)["temperature"])) - 1)).any()


def test_coordinates_times_strings_and_integers_are_exact(exported, archived):
    found = opened(exported[1])
    for name in ("time", "lat", "lon", "area", "run", "count", "exact", "scalar"):
        np.testing.assert_array_equal(found[name].values, archived[name].values)
        assert found[name].dtype.kind == archived[name].dtype.kind or name == "run"
    assert {"area", "run"} <= set(found.holes.coords)
    raw = opened(exported[1], decode_cf=False)
    assert raw.time.dtype.kind == "i"
    assert raw.time.attrs["units"].startswith("hours since")
    assert "_FillValue" not in raw.lat.attrs
    assert raw["count"].dtype == np.int16
    assert raw["count"].attrs["_FillValue"] == -1


def test_cf_attributes_of_quantisation(exported):
    done, path = exported
    found = opened(path)
    for name, bits in bits_of(done).items():
        attributes = found[name].attrs
        if bits is None:
            assert not [key for key in attributes if key.startswith("quantization")]
            continue
        assert attributes["quantization"] == "quantization_info"
        assert attributes["quantization_nsb"] == bits
        assert 1 <= bits <= (52 if name == "q" else 23)
    container = found.quantization_info
    assert container.ndim == 0
    assert container.attrs["algorithm"] == "bitround"
    assert container.attrs["implementation"].startswith("numcodecs version ")
    assert found.attrs["Conventions"] == "CF-1.12 ACDD-1.3"


def test_our_attributes_become_words(exported):
    found = opened(exported[1])
    assert not {"adiabat", REQUEST} & set(found.attrs)
    assert all("adiabat" not in array.attrs for array in found.variables.values())
    comment = found.holes.attrs["comment"]
    assert comment.startswith("with holes; decoded by adiabat ")
    assert "bound abs:0.5 (largest error 0." in comment
    assert "bits of mantissa, which adds at most 0.0" in comment
    assert "bits of mantissa" not in found.exact.attrs["comment"]
    first, *rest = found.attrs["history"].splitlines()
    assert "adiabat.formats.export" in first
    assert rest[-1] == "made"
    assert found.exact.attrs["names"] == ["a", "b"]
    about = found.exact.attrs["about"]
    assert (json.loads(about) if isinstance(about, str) else about) == {"nested": [1, None]}


def test_nobody_needs_adiabat(exported, python, archived):
    ran = python(READ, exported[1])
    assert ran.returncode == 0, ran.stderr
    mean, bits = ran.stdout.split()
    assert float(mean) == pytest.approx(float(archived.temperature.mean()), abs=0.01)
    assert int(bits) == bits_of(exported[0])["temperature"]


def test_netcdf_needs_no_filter_plugin(exported):
    if exported[1].suffix != ".nc":
        pytest.skip("of NetCDF")
    h5py = pytest.importorskip("h5py")
    with h5py.File(exported[1]) as file:
        for name in bits_of(exported[0]):
            assert file[name].compression == "gzip"
            assert file[name].shuffle


@pytest.mark.parametrize("kind", KINDS)
def test_exact_keeps_every_bit(kind, store, archived, tmp_path):
    done = export(store, tmp_path / f"o.{kind}", exact=True)
    found = opened(tmp_path / f"o.{kind}").load()
    assert not any(bits_of(done).values())
    for name in archived.variables:
        np.testing.assert_array_equal(found[name].values, archived[name].values)
    assert "quantization_info" not in found
    assert found.attrs["Conventions"] == "CF-1.6, ACDD-1.3"


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_the_whole(kind, store, exported, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "task_chunks", partial(module.task_chunks, most=1))
    monkeypatch.setattr(module, "CHUNK_VALUES", 500)
    path = tmp_path / f"o.{kind}"
    done = export(store, path, progress=lambda name, values: seen.append((name, values)))
    assert sum(values for _, values in seen) == count_exported(store)
    assert max(values for _, values in seen) == 2 * 19 * 36
    other = opened(exported[1]).load()
    assert bits_of(done) == bits_of(exported[0])
    for name in other.variables:
        np.testing.assert_array_equal(opened(path)[name].values, other[name].values)
    chunks = opened(path).temperature.encoding["chunksizes" if kind == "nc" else "chunks"]
    assert np.prod(chunks) <= 500


@pytest.mark.parametrize("shape", [(5, 19, 36), (48, 721, 1440), (3, 4001, 4003)])
@pytest.mark.parametrize("stored", [(1, 1, 1), (0, 1, 1), (0, 2, 5)])
def test_chunks_lie_within_blocks(shape, stored):
    array = xr.DataArray(np.broadcast_to(np.float32(0), shape))
    array.encoding["chunks"] = tuple(-(-n // k) if k else 1 for n, k in zip(shape, stored, strict=True))
    chunks, steps = module._chunks_of(array), module.task_chunks(array)
    assert np.prod(chunks) <= 2 * module.CHUNK_VALUES
    for chunk, step, length in zip(chunks, steps, shape, strict=True):
        assert step % chunk == 0 or step >= length


@pytest.mark.parametrize("kind", KINDS)
def test_groups(kind, field, tmp_path):
    part = field[["temperature"]].drop_vars("run")
    groups = {
        "/": (part, make_plan(part, bounds={}, default_bound={"abs": 0.1})),
        "/deep/er": (part, make_plan(part, bounds={}, default_bound={"abs": 1.0})),
    }
    from adiabat.formats.archive import InMemory, archive

    archive(InMemory({place: dataset for place, (dataset, _) in groups.items()}), groups, tmp_path / "g.zarr")
    done = export(tmp_path / "g.zarr", tmp_path / f"o.{kind}")
    assert {each.path for each in done} == {"temperature", "deep/er/temperature"}
    tree = xr.open_datatree(tmp_path / f"o.{kind}", engine="zarr" if kind == "zarr" else "netcdf4")
    for place, limit in (("/", 0.11), ("/deep/er", 1.1)):
        assert np.abs(tree[place].temperature.values - groups[place][0].temperature.values).max() <= limit
        assert "quantization_info" in tree[place].ds
    assert "adiabat.formats.export" in tree.attrs["history"]


@pytest.mark.parametrize("kind", KINDS)
def test_child_layout_comes_out_flat(kind, field, tmp_path):
    plain = field[["temperature", "count"]]
    plan = [replace(each, child="compressed") for each in make_plan(plain, bounds={"temperature": {"abs": 0.1}})]
    write(plain, plan, tmp_path / "c.zarr")
    export(tmp_path / "c.zarr", tmp_path / f"o.{kind}")
    found = opened(tmp_path / f"o.{kind}")
    assert {"temperature", "count", "area", "run"} <= set(found.variables)
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.11


@pytest.mark.parametrize("kind", KINDS)
def test_low_rank_stores(kind, tmp_path):
    from adiabat.formats import low_rank

    rng = np.random.default_rng(0)
    values = np.einsum("i,j,k->ijk", rng.random(40), rng.random(6), rng.random(7)).astype("f4")
    values[rng.random(values.shape) < 0.2] = np.nan
    cube = xr.DataArray(values, {"time": np.arange(40)}, ("time", "lat", "lon"), "t")
    assert low_rank.write(cube, tmp_path / "t.cp.zarr", rank=2, ridge=0.1).rank
    export(tmp_path / "t.cp.zarr", tmp_path / f"o.{kind}")
    found = opened(tmp_path / f"o.{kind}")
    np.testing.assert_array_equal(found.t, xr.open_dataset(tmp_path / "t.cp.zarr", engine="adiabat").t)
    assert found.t_observed.dtype == bool
    np.testing.assert_array_equal(found.t_observed, np.isfinite(values))


@pytest.mark.parametrize("kind", KINDS)
def test_large_variables_of_other_kinds(kind, tmp_path, monkeypatch):
    """Booleans, half floats and integers of 64 bits, written by blocks."""
    monkeypatch.setattr(module, "SMALL_BYTES", 0)
    rng = np.random.default_rng(0)
    plain = xr.Dataset({
        "flag": (("y", "x"), rng.random((9, 8)) > 0.5),
        "half": (("y", "x"), rng.random((9, 8)).astype("f2")),
        "long": (("y", "x"), rng.integers(-(2**62), 2**62, (9, 8)), {"valid_range": [-5, 5]}),
        "empty": (("none", "x"), np.empty((0, 8), "f4")),
    })  # fmt: skip
    plain.to_zarr(tmp_path / "p.zarr", zarr_format=3, consolidated=False)
    export(tmp_path / "p.zarr", tmp_path / f"o.{kind}")
    found = opened(tmp_path / f"o.{kind}")
    for name in plain:
        np.testing.assert_array_equal(found[name].values, plain[name].values)
    assert found.flag.dtype == bool
    assert found.long.dtype == np.int64


def test_refused(store, tmp_path, monkeypatch):
    (tmp_path / "taken.nc").write_text("mine")
    (tmp_path / "folder.nc").mkdir()
    for source, target, match in (
        (store, tmp_path / "o.txt", r"expected OUT to end in .nc or .zarr, got o.txt"),
        (store, tmp_path / "no" / "o.nc", "there is no folder"),
        (store, tmp_path / "no" / "o.zarr", "there is no folder"),
        (store, tmp_path / "taken.nc", "exists already; --overwrite replaces it"),
        (store, tmp_path / "folder.nc", "exists already and is no file"),
        (store, store, "SRC and OUT are the same"),
        (tmp_path / "folder.nc", tmp_path / "o.nc", "expected a Zarr group"),
    ):
        with pytest.raises(RequestError, match=match):
            export(source, target)
    with pytest.raises(FileNotFoundError, match="there is no store"):
        export(tmp_path / "none.zarr", tmp_path / "o.nc")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RequestError, match="no permission to write into"):
        export(store, tmp_path / "o.nc")
    monkeypatch.setattr(export_targets, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'adiabat\[io\]'"):
        export(store, tmp_path / "o.nc")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.nc", "taken.nc"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_half_written_is_left(kind, store, tmp_path):
    class Stopped(Exception):
        pass

    def stop(name, values):
        if name == "exact":  # decoded once, while it is written
            raise Stopped

    with pytest.raises(Stopped):
        export(store, tmp_path / f"o.{kind}", progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_overwrite(kind, store, tmp_path):
    path = tmp_path / f"o.{kind}"
    export(store, path, exact=True)
    export(store, path, overwrite=True)
    assert "quantization_info" in opened(path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_container_of_that_name_is_there_already(field, tmp_path):
    plain = field[["temperature"]].assign(quantization_info=1.5).drop_vars("run")
    compress(plain, tmp_path / "a.zarr", bounds={"temperature": {"abs": 0.1}})
    export(tmp_path / "a.zarr", tmp_path / "o.zarr")
    found = opened(tmp_path / "o.zarr")
    assert float(found.quantization_info) == 1.5
    assert found[found.temperature.attrs["quantization"]].attrs["algorithm"] == "bitround"


def test_command(store, tmp_path):
    app = typer.Typer()
    app.command()(cli_export.export)
    ran = CliRunner().invoke(app, [str(store), str(tmp_path / "o.zarr")])
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["temperature"][:2] == ["abs:0.1", "14"]
    assert rows["exact"] == ["lossless", "all", "nothing"]
    assert "rounding adds at most" in lines[0]
    assert f"{tmp_path / 'o.zarr'}: " in lines[-1]
    assert "MB in all" in lines[-1]
    ran = CliRunner().invoke(app, [str(store), str(tmp_path / "e.zarr"), "--exact"])
    assert "nothing" in ran.output


def test_real_field(data, tmp_path):
    pytest.importorskip("netCDF4")
    with open_source(data / "era5" / "t850_2023-01-10T23.nc") as dataset:
        name = max(dataset.data_vars, key=lambda each: dataset[each].size)
        part = dataset[[name]].isel({dim: slice(0, 240) for dim in dataset[name].dims[-2:]}).load()
    compress(part, tmp_path / "a.zarr", default_bound={"abs": 0.1})
    for kind in KINDS:
        [done] = export(tmp_path / "a.zarr", tmp_path / f"o.{kind}")
        found = opened(tmp_path / f"o.{kind}")
        assert np.abs(found[name].values.astype("f8") - part[name].values).max() <= 0.11
        assert done.bits == 14
        assert found[name].attrs["units"] == part[name].attrs["units"]


def test_consolidated(store, tmp_path):
    export(store, tmp_path / "o.zarr")
    assert zarr.open_group(tmp_path / "o.zarr", mode="r").metadata.consolidated_metadata is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("K", "K"),
        (True, 1),
        (None, "null"),
        ([], "[]"),
        (["a", "b"], ["a", "b"]),
        (["a", 1], '["a", 1]'),
        ([1, [2]], "[1, [2]]"),
        ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        ({"a": None}, '{"a": null}'),
        (2**70, str(2**70)),
        (1.5, 1.5),
        (np.float32(1.5), 1.5),
        (np.array([]), '"[]"'),
    ],
)
def test_attributes_that_netcdf_does_not_have(value, expected):
    assert export_targets.netcdf_attributes({"x": value}, None) == {"x": expected}


def test_limits_have_the_dtype_of_their_variable():
    limits = {"valid_range": [0, 1], "_FillValue": -1, "scale_factor": 0.5, "numbers": [1, 2], "truths": [True, False]}
    made = export_targets.netcdf_attributes(limits, np.dtype("i2"))
    kinds = {name: np.asarray(value).dtype.str[1:] for name, value in made.items()}
    assert export_targets.netcdf_attributes({"valid_range": [-1e15, 1e15]}, np.dtype("i4"))["valid_range"].dtype == "f8"
    assert kinds == {"valid_range": "i2", "_FillValue": "i2", "scale_factor": "f8", "numbers": "i8", "truths": "i1"}


def test_command_to_icechunk(store, tmp_path):
    pytest.importorskip("icechunk")
    app = typer.Typer()
    app.command()(cli_export.export)
    ran = CliRunner().invoke(app, [str(store), str(tmp_path / "o.icechunk")])
    assert ran.exit_code == 0, ran.output
    assert "keys in snapshot" in ran.output
    assert (tmp_path / "o.icechunk").is_dir()
