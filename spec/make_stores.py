"""Write archived stores: small ones, whole, as one version of adiabat wrote them, with what that version read back.

    python spec/make_stores.py [CASE ...] [--into FOLDER] [--commit HASH]

Run with the version whose stores are wanted; by default it writes the cases that were new in it, and `archive`. Each
goes to `vectors/stores/<version>-<case>/`: `store.zip` holds the files of the store, `values.npz` the arrays that this
version read from it, and `about.json` says what they are. They are append-only, as the other vectors are: a folder that
is there already is left alone. `vectors/SHA256SUMS` (`python spec/make_stores.py --sums`) lists every archived file.

All data are simulated. Keys of `values.npz` begin with how the array was read: `zarr/<path>`, or `engine/<variable>`
for xarray with `engine="adiabat"`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

VECTORS = Path(__file__).parent / "vectors"
ARCHIVED = ("valid", "invalid", "stores")
LIBRARIES = ("numpy", "zarr", "numcodecs", "xarray", "constriction")
MOMENT = (1980, 1, 1, 0, 0, 0)
"""The time stamp of files in `store.zip`, so that it does not depend on when it was written."""

Writer = Callable[[Path], dict[str, Any]]
"""Writes a store and returns what about.json says of it beside versions."""

# ---- simulated fields -----------------------------------------------------------------------------------------------


def weather(shape: tuple[int, int, int] = (3, 13, 24)) -> xr.Dataset:
    """Waves, some noise and a hole, as temperatures; and a flag, which is an integer."""
    rng = np.random.default_rng(7)
    t, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    waves = 280 + 8 * np.cos(np.pi * y / shape[1]) + 3 * np.sin(2 * np.pi * x / shape[2] + 0.3 * t) * np.sin(y / 3)
    values = (waves + 0.05 * rng.standard_normal(shape)).astype("f4")
    values[:, 3:6, 5:9] = np.nan
    coordinates = {
        "time": ("time", np.arange(shape[0]) * 6.0, {"units": "hours since 2020-01-01"}),
        "lat": ("lat", np.linspace(60, -60, shape[1]), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(shape[2]) * 360.0 / shape[2], {"units": "degrees_east"}),
    }
    dims = ("time", "lat", "lon")
    flag = (values > 280).astype("i1")
    return xr.Dataset({"temperature": (dims, values, {"units": "K"}), "flag": (dims, flag)}, coordinates)


def orography(dataset: xr.Dataset) -> xr.DataArray:
    """Make a field on the same grid that explains some of it."""
    first = dataset.temperature.isel(time=0, drop=True).fillna(280)
    return ((290 - first) * 100).rename("z")


def spectra(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Radiance-like spectra (y, x, channel): smooth maps of smooth spectra, with noise of one thousandth."""
    rng = np.random.default_rng(3)
    y, x, wave = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), np.linspace(0, 1, shape[2]), indexing="ij")
    log = np.log(1e13) - 2 * (1 - wave) + 0.3 * np.sin(0.3 * y + 0.2 * x) * np.cos(5 * wave)
    return np.asarray(np.exp(log) * (1 + 1e-3 * rng.standard_normal(shape)), np.float32)


def cube() -> xr.DataArray:
    """Three components over days with a cloud each, all simulated."""
    rng = np.random.default_rng(5)
    parts = [rng.standard_normal((n, 3)).cumsum(0) for n in (24, 8, 9)]
    values = 280 + np.einsum("ir,jr,kr->ijk", *parts) / 20 + 0.05 * rng.standard_normal((24, 8, 9))
    rows, columns = np.meshgrid(np.arange(8), np.arange(9), indexing="ij")
    for day in values:
        day[np.hypot(rows - 8 * rng.random(), columns - 9 * rng.random()) < 3] = np.nan
    axes = {"time": np.arange(24), "lat": np.linspace(40, 33, 8), "lon": np.arange(9.0)}
    return xr.DataArray(values.astype("f4"), axes, ("time", "lat", "lon"), "t", {"units": "K"})


# ---- cases ----------------------------------------------------------------------------------------------------------


def archive(store: Path) -> dict[str, Any]:
    """As `adiabat compress` writes it, Zarr v3."""
    from adiabat.formats import compress

    compress(weather(), store, default_bound={"abs": 0.05}, chunks={"time": 2, "lat": 13, "lon": 24})
    return {"what": "written by adiabat.formats.compress, bound 0.05 K"}


def static(store: Path) -> dict[str, Any]:
    """With a static field, kept in the store."""
    from adiabat.formats import compress
    from adiabat.formats.static import StaticField

    dataset = weather((2, 16, 32))
    statics = [StaticField("orography", orography(dataset))]
    compress(dataset[["temperature"]], store, default_bound={"abs": 0.05}, statics=statics)
    return {"what": "predicted from a static field that the store holds", "models": "store"}


def sharded(store: Path) -> dict[str, Any]:
    """By the command, in shards, with its records."""
    source = store.with_name("source.nc")
    weather((5, 13, 24)).to_netcdf(source)
    wishes = ["--default-bound", "rel:0.0002", "--chunk", "time=1", "--shard", "time=2", "--workers", "1"]
    call = "from adiabat.formats.cli import main; main()"
    subprocess.run([sys.executable, "-P", "-c", call, "compress", str(source), str(store), *wishes], check=True)
    return {"what": "written by the command adiabat compress, in shards, bound of 0.02 %, with records of its blocks"}


def zarr_v2(store: Path) -> dict[str, Any]:
    """Zarr v2 through numcodecs: byte orders, memory orders, the codec as compressor and as filter."""
    from adiabat.codec import Pyramid

    field = weather().temperature.values
    root = zarr.create_group(store, zarr_format=2)
    for name, dtype, order in (("little", "<f4", "C"), ("big", ">f4", "C"), ("fortran", "<f8", "F")):
        options: dict[str, Any] = {"shape": field.shape, "chunks": (2, 13, 16), "dtype": dtype, "order": order}
        codec = Pyramid(bound={"abs": 0.05})
        root.create_array(name, compressors=codec, **options)[...] = field
    root.create_array("filter", filters=[codec], compressors=None, **options)[...] = field
    return {"what": "Zarr v2: codecs of numcodecs as compressor and as filter"}


def latent(store: Path) -> dict[str, Any]:
    """Hyperprior and VQ, with a target, and with a bound beside it."""
    field = np.nan_to_num(weather((1, 32, 40)).temperature.values, nan=280)
    told: dict[str, Any] = {"what": "Zarr v3: codecs with a target, and with a bound beside it"}
    root = zarr.create_group(store)
    for name, options in (
        ("rmse", {"target": {"rmse": 0.2}}),
        ("both", {"target": {"ratio": 30}, "bound": {"abs": 1}}),
    ):
        for codec in ("hyperprior", "vq"):
            serializer = {"name": f"adiabat.{codec}", "configuration": options}
            array = root.create_array(
                f"{codec}_{name}", shape=field.shape, chunks=(1, 32, 32), dtype="f4", serializer=serializer,
                compressors=None, fill_value=float("nan"),
            )  # fmt: skip
            array[...] = field
    # Codebooks are decoded by a network of floating-point numbers.
    return told | {"tolerance": {"zarr/vq_rmse": 1e-4, "zarr/vq_both": 1e-4}}


def hvae(store: Path) -> dict[str, Any]:
    """Spectra of 1028 channels."""
    values = spectra((6, 6, 1028))
    serializer = {"name": "adiabat.hvae", "configuration": {"target": {"ratio": 1000}}}
    array = zarr.create_array(
        store, name="radiance", shape=values.shape, dtype="f4", chunks=values.shape, serializer=serializer,
        compressors=None, fill_value=float("nan"),
    )  # fmt: skip
    array[...] = values
    told = {"what": "Zarr v3: simulated spectra at a ratio of 1000", "every": {"zarr/radiance": 16}}
    return told | {"relative_tolerance": {"zarr/radiance": 1e-3}}  # as codebooks; relative, since radiances are large


def spectral(store: Path) -> dict[str, Any]:
    """Spectra under a bound in units of their own noise."""
    from adiabat.formats import compress

    values = spectra((16, 24, 60))
    error = (1e-3 * values).astype("f4")
    dims = ("mirror_step", "xtrack", "spectral_channel")
    dataset = xr.Dataset({"radiance": (dims, values), "radiance_error": (dims, error)})
    compress(dataset, store, bounds={"radiance": {"noise": 0.5}, "radiance_error": {"rel": 0.01}})
    told: dict[str, Any] = {"what": "simulated spectra, bound of half a standard deviation of their noise"}
    return told | {"every": {"zarr/radiance": 12, "zarr/radiance_error": 12}}


def healpix(store: Path) -> dict[str, Any]:
    """Cells of nside 8, nested: through the filter of Zarr v3."""
    return _healpix(store, 3)


def healpix_v2(store: Path) -> dict[str, Any]:
    """Cells of nside 8, nested: through the filter of Zarr v2."""
    return _healpix(store, 2)


def _healpix(store: Path, zarr_format: int) -> dict[str, Any]:
    rng = np.random.default_rng(2)  # each cell near its parent, as in a nested field that is smooth
    parts = [np.repeat(rng.standard_normal((2, 12 * 4**k)) * 2.0**-k, 4 ** (3 - k), axis=-1) for k in range(4)]
    cells = np.sum(parts, axis=0).astype("f4")
    options: dict[str, Any] = {
        "filters": [{"name": "adiabat.healpix"}],
        "serializer": {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.01}}},
        "compressors": None,
    }
    if zarr_format == 2:
        from adiabat.codec.healpix_strips import HealpixStrips

        options = {"filters": [HealpixStrips()], "compressors": {"id": "adiabat.pyramid", "bound": {"abs": 0.01}}}
    array = zarr.create_array(
        store, name="cells", shape=cells.shape, chunks=(1, 768), dtype="f4", zarr_format=zarr_format, **options
    )
    array[...] = cells
    return {"what": f"Zarr v{zarr_format}: adiabat.healpix before adiabat.pyramid"}


def low_rank(store: Path) -> dict[str, Any]:
    """Factors, mask, residual."""
    from adiabat.formats.low_rank import write

    write(cube(), store, rank=3, ridge=1, bound={"abs": 0.2}, offset=True)
    return {"what": "a low-rank store: factors of rank 3, an offset, a residual under a bound of 0.2 K", "engine": True}


def low_rank_log(store: Path) -> dict[str, Any]:
    """Factors of logarithms, without a residual."""
    from adiabat.formats.low_rank import write

    positive = np.exp((cube() - 280) / 4).assign_attrs(units="1")
    write(positive.rename("t"), store, rank=3, ridge=1, transform="log")
    what = "a low-rank store: factors of logarithms, a mask and no residual"
    return {"what": what, "engine": True, "relative_tolerance": {"engine/t": 1e-6}}  # the last bit of exp


def generated(store: Path) -> dict[str, Any]:
    """A view with a tiny model in it: coarse values and a recipe."""
    from adiabat.formats import compress
    from adiabat.formats.generated import Recipe
    from adiabat.formats.generated_source import open_coarse
    from adiabat.formats.generated_write import write_view
    from adiabat.formats.store_models import embed_models

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import downscaler_packages

    coarse, package = store.with_name("coarse.zarr"), store.with_name("white.zip")
    package.write_bytes(downscaler_packages.package())
    dataset = weather((1, 8, 12))[["temperature"]]
    compress(dataset, coarse, default_bound={"abs": 0.1})
    about = {"seed": 3, "samples": 2, "steps": 2}
    sha256 = hashlib.sha256(package.read_bytes()).hexdigest()
    write_view(open_coarse(coarse), Recipe(model=sha256, factor=4, shape=(8, 12), scale=0.5, **about), store)
    embed_models(store, [str(package)])
    return {
        "what": "a generated view of two samples, whose model lies in the store; generated values are no data",
        "models": "store", "engine": True, "tolerance": {"engine/temperature": 1e-3},
    }  # fmt: skip


CASES: dict[str, tuple[str, Writer]] = {
    "archive": ("0.1.0", archive),
    "zarr-v2": ("0.1.0", zarr_v2),
    "static": ("0.2.0", static),
    "low-rank": ("0.3.0", low_rank),
    "low-rank-log": ("0.3.0", low_rank_log),
    "latent": ("0.4.0", latent),
    "healpix": ("0.5.0", healpix),
    "healpix-v2": ("0.5.0", healpix_v2),
    "hvae": ("0.5.0", hvae),
    "spectral": ("0.5.0", spectral),
    "sharded": ("0.6.0", sharded),
    "generated": ("0.7.0", generated),
}
"""The version that could write a case first, and what writes it."""

# ---- what an archived store holds -----------------------------------------------------------------------------------


def read_store(store: Path, about: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """All arrays of a store, as a reader gets them."""
    values: dict[str, NDArray[Any]] = {}
    if about.get("engine"):
        chosen = {"models": about["models"]} if "models" in about else {}
        with xr.open_dataset(store, engine="adiabat", decode_times=False, **chosen) as dataset:
            values = {f"engine/{name}": np.asarray(dataset[name].values) for name in dataset.data_vars}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of README.txt, which is no array
        members = zarr.open_group(store, mode="r", use_consolidated=False).members(max_depth=None)
    arrays = {name: each for name, each in members if isinstance(each, zarr.Array)}
    values |= {f"zarr/{name}": np.asarray(arrays[name][...]) for name in sorted(arrays)}
    every = about.get("every", {})  # of large arrays, some columns alone are kept
    return {name: array[..., :: every[name]] if name in every else array for name, array in values.items()}


def pack(store: Path, target: Path) -> None:
    """Put the files of a store into a zip, always in the same order and with the same time stamps."""
    with zipfile.ZipFile(target, "w") as held:
        for path in sorted(path for path in store.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(store).as_posix(), MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            held.writestr(entry, path.read_bytes())


def make(case: str, into: Path, commit: str | None) -> Path | None:
    """Write one case; None if it is there."""
    target = into / f"{version('adiabat')}-{case}"
    if target.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ADIABAT_CACHE"] = folder  # nothing from here is needed to read a store, nor left behind
        store = Path(folder) / ("store.cp.zarr" if case.startswith("low-rank") else "store.zarr")
        about = CASES[case][1](store)
        values = read_store(store, about)
        target.mkdir(parents=True)
        pack(store, target / "store.zip")
        np.savez_compressed(target / "values.npz", **values)
    libraries = {name: version(name) for name in LIBRARIES}
    written = {"adiabat": version("adiabat"), "commit": commit, "case": case, "libraries": libraries}
    (target / "about.json").write_text(json.dumps(written | about, indent=1) + "\n")
    return target


def sums() -> str:
    """Say, in a line for each case, the SHA-256 of what `sha256sum *` prints in its folder."""
    lines = []
    for folder in sorted(path for name in ARCHIVED for path in (VECTORS / name).iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        told = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
        lines.append(f"{hashlib.sha256(told.encode()).hexdigest()}  {folder.relative_to(VECTORS).as_posix()}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write cases, or the list of sums."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help="which; by default those new in this version")
    parser.add_argument("--into", type=Path, default=VECTORS / "stores", help="another folder")
    parser.add_argument("--commit", help="of the version that writes, for about.json")
    parser.add_argument("--sums", action="store_true", help="write vectors/SHA256SUMS")
    options = parser.parse_args()
    if options.sums:
        (VECTORS / "SHA256SUMS").write_text(sums())
        return
    new = [name for name, (since, _) in CASES.items() if since == version("adiabat")]
    for case in options.case or dict.fromkeys(["archive", *new]):
        made = make(case, options.into, options.commit)
        print(f"{case}: {'is there already' if made is None else made}")


if __name__ == "__main__":
    main()
