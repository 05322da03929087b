"""Whether adiabat works with the libraries of this environment: a JSON object of what was checked, for `versions.py`.

    python tests/benchmarks/version_check.py

Needs neither pytest nor the checkout's package: whichever `adiabat` is installed is checked, against `spec/vectors`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "spec" / "vectors"
OUTGROWN = ("version", "version-3", "version-4")  # invalid for readers of earlier versions: spec/README.md, Errata
NETWORKS = ("latent", "hvae", "generated")  # stores that need the extra "cpu", and say so where it is missing
LIBRARIES = ("numpy", "zarr", "numcodecs", "xarray", "onnxruntime", "constriction", "numba")


def version_of(name: str) -> str | None:
    """The installed version of a library, None if there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def has_zarr_3() -> bool:
    """Whether zarr-python is of version 3, for which the Zarr v3 codecs and the archive are made."""
    return (version_of("zarr") or "0").startswith("3")


def same(read: Any, expected: Any, tolerance: float = 0.0, relative: float = 0.0) -> bool:
    """Tell whether arrays are the same to the bit, or within a tolerance."""
    read = np.asarray(read)
    if read.dtype.str != expected.dtype.str or read.shape != expected.shape:
        return False
    if tolerance or relative:
        return bool(np.allclose(read, expected, rtol=relative, atol=tolerance, equal_nan=True))
    return read.tobytes() == expected.tobytes()


# ---- checks: each gives how many cases passed, or raises ------------------------------------------------------------


def valid() -> int:
    """Every valid vector decodes to its array, to the bit."""
    from adiabat.codec import Pyramid

    folders = sorted((VECTORS / "valid").iterdir())
    for folder in folders:
        expected = np.load(folder / "array.npy")
        array = Pyramid(bound="lossless").decode((folder / "stream.bin").read_bytes())
        if not same(array, expected) or array.flags.f_contiguous != expected.flags.f_contiguous:
            raise ValueError(f"valid/{folder.name} decodes to another array")
    return len(folders)


def invalid() -> int:
    """Every invalid vector is refused."""
    from adiabat.codec import AdiabatError, Pyramid

    folders = [path for path in sorted((VECTORS / "invalid").iterdir()) if path.name not in OUTGROWN]
    for folder in folders:
        try:
            Pyramid(bound="lossless").decode((folder / "stream.bin").read_bytes())
        except AdiabatError:
            continue
        raise ValueError(f"invalid/{folder.name} is not refused")
    return len(folders)


def streams() -> Iterator[tuple[str, Any]]:
    """What codecs write for simulated fields."""
    from adiabat.codec import Hyperprior, Pyramid

    rng = np.random.default_rng(1)
    y, x = np.meshgrid(np.linspace(0, 3, 40), np.linspace(0, 6, 56), indexing="ij")
    field = np.float32(280 + 10 * np.sin(y) * np.cos(x) + 0.05 * rng.standard_normal((3, 40, 56)))
    yield "abs", Pyramid(bound={"abs": 0.05}).encode(field)
    yield "rel", Pyramid(bound={"rel": 1e-4}).encode(field.astype(">f8"))
    yield "lossless", Pyramid(bound="lossless").encode(field[0].astype("f2"))
    yield "rmse", Pyramid(bound={"abs": 0.2}, tune="rmse").encode(np.where(field > 288, np.nan, field))
    yield "spectra", Pyramid(bound={"abs": 0.1}, channels=-1).encode(field.T.copy())
    yield "hyperprior", Hyperprior(target={"rmse": 0.1}).encode(field)


def encode() -> str:
    """What is written decodes within its bound; the SHA-256 of all streams, to compare with other environments."""
    from adiabat.codec import Pyramid

    digest = hashlib.sha256()
    for _, stream in streams():
        Pyramid(bound="lossless").decode(stream)
        digest.update(stream)
    return digest.hexdigest()


def entry_points() -> int:
    """Numcodecs finds every codec by its id."""
    import numcodecs

    points = importlib.metadata.entry_points(group="numcodecs.codecs")
    names = sorted(point.name for point in points if point.name.startswith("adiabat."))
    for name in names:
        options = {"adiabat.healpix": {}, "adiabat.pyramid": {"bound": "lossless"}}.get(name, {"target": {"ratio": 50}})
        codec = numcodecs.get_codec({"id": name, **options})
        if codec.get_config()["id"] != name:
            raise ValueError(f"numcodecs gives {codec!r} for {name}")
    return len(names)


def stores() -> int:
    """Archived stores read as the version read them that wrote them; those of Zarr v2 alone with zarr-python 2."""
    found = sorted(path for path in (VECTORS / "stores").iterdir() if path.is_dir())
    if not has_zarr_3():
        found = [path for path in found if "-v2" in path.name]
    broken = []
    for folder in found:
        needs_networks = folder.name.split("-", 1)[1] in NETWORKS
        try:
            _check_store(folder)
        except Exception as error:
            if version_of("onnxruntime") or not needs_networks or "adiabat[cpu]" not in str(error):
                broken.append(f"{folder.name} ({type(error).__name__}: {error})")
    if broken:
        raise ValueError(f"{len(broken)} of {len(found)}: {'; '.join(broken)}")
    return len(found)


def _check_store(folder: Path) -> None:
    about = json.loads((folder / "about.json").read_text())
    with tempfile.TemporaryDirectory() as place, np.load(folder / "values.npz") as kept:
        store = Path(place) / ("store.cp.zarr" if "low-rank" in folder.name else "store.zarr")
        with zipfile.ZipFile(folder / "store.zip") as held:
            held.extractall(store)
        read = _read(store, about)
        for name in kept.files:
            tolerance, relative = (about.get(key, {}).get(name, 0.0) for key in ("tolerance", "relative_tolerance"))
            if not same(read[name], kept[name], tolerance, relative):
                raise ValueError(f"{name} has other values")


def _read(store: Path, about: dict[str, Any]) -> dict[str, Any]:
    """All arrays of a store; with zarr-python 2 by its own functions."""
    if not has_zarr_3():
        import zarr

        opened = zarr.open(str(store), mode="r")
        arrays = dict(opened.arrays()) if isinstance(opened, zarr.Group) else {"cells": opened}
        return {f"zarr/{name}": array[...] for name, array in arrays.items()}
    import xarray as xr

    if "models" in about:
        with xr.open_dataset(store, engine="adiabat", decode_times=False, models=about["models"]) as dataset:
            dataset.load()  # its static fields are lent from here on
    spec = importlib.util.spec_from_file_location("make_stores", ROOT / "spec" / "make_stores.py")
    make_stores: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(make_stores)  # type: ignore[union-attr]
    return make_stores.read_store(store, about)  # type: ignore[no-any-return]


def write() -> int:
    """Stores written here read back within their bound, by Zarr and by xarray: v3, v3 in shards, v2."""
    import zarr

    field = np.float32(np.add.outer(np.arange(24.0), np.sin(np.arange(30) / 4)))
    codec = {"id": "adiabat.pyramid", "bound": {"abs": 0.01}}
    if not has_zarr_3():
        import numcodecs

        array = zarr.create(field.shape, chunks=(12, 30), dtype="f4", compressor=numcodecs.get_codec(codec))
        array[:] = field
        return _within(array[:], field)
    import xarray as xr

    serializer = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.01}}}
    plain = {"serializer": serializer, "compressors": None, "chunks": (12, 15)}
    passed = 0
    for zarr_format, encoding in ((3, plain), (3, plain | {"shards": (24, 30)}), (2, {"compressors": (codec,)})):
        with tempfile.TemporaryDirectory() as place:
            dataset = xr.Dataset({"t": (("y", "x"), field)})
            dataset.to_zarr(place, mode="w", zarr_format=zarr_format, encoding={"t": encoding}, consolidated=False)
            with xr.open_zarr(place, consolidated=False) as opened:
                passed += _within(opened.t.values, field)
    return passed


def archive() -> int:
    """An archive is written, verified against its source, and read by plain xarray; with zarr-python 3 alone."""
    if not has_zarr_3():
        return 0
    import xarray as xr

    from adiabat.formats import compress, verify
    from adiabat.formats.demo import simulate_field

    dataset = simulate_field((3, 37, 72))
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "source.nc", Path(place) / "archive.zarr"
        dataset.to_zarr(source.with_suffix(".zarr"), consolidated=False)
        compress(dataset, target, default_bound={"abs": 0.1})
        checked = verify(source.with_suffix(".zarr"), target)
        with xr.open_zarr(target) as opened:
            if not np.abs(opened.temperature.values - dataset.temperature.values).max() <= 0.1:
                raise ValueError("a value of the archive is outside its bound")
    return len(checked)


def _within(read: Any, field: Any) -> int:
    if not np.abs(read - field).max() <= 0.01:
        raise ValueError("a value read back is outside its bound")
    return 1


CHECKS: dict[str, Callable[[], int | str]] = {
    "valid": valid,
    "invalid": invalid,
    "encode": encode,
    "entry points": entry_points,
    "stores": stores,
    "write": write,
    "archive": archive,
}


def main() -> None:
    """Run all checks; what fails is told in the object and by the exit status."""
    os.environ["ADIABAT_MODELS"] = str(VECTORS / "models")
    results: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ADIABAT_CACHE"] = cache
        for name, check in CHECKS.items():
            try:
                results[name] = check()
            except Exception as error:
                traceback.print_exc()
                failed[name] = f"{type(error).__name__}: {error}".split("\n")[0]
    libraries = {name: version_of(name) for name in LIBRARIES}
    print(json.dumps({"libraries": libraries, "results": results, "failed": failed}))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
