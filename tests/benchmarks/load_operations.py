"""What the load test does over and over, and the bytes that each of it must give: made beforehand by one thread.

Beside `load`. All fields are simulated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from simulated import moving, spectral

from adiabat.codec import HVAE, VQ, ChunkContext, Hyperprior, Pyramid
from adiabat.formats import compress, low_rank

__all__ = ["Operations", "WrongBytes", "make"]

CHANNELS = 1028  # of the shipped HVAE
CHUNKS = {"time": 4, "lat": 48, "lon": 96}
EXPECTED = "expected.json"
SERIALIZERS = {
    "pyramid": {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.05}}},
    "hyperprior": {"name": "adiabat.hyperprior", "configuration": {"target": {"rmse": 0.5}}},
}


class WrongBytes(Exception):
    """Something gave other bytes than one thread does."""


def fields() -> dict[str, np.ndarray]:
    """Simulated: a single map, frames that move, one with holes, spectra, and spectra like TEMPO's."""
    rng = np.random.default_rng(0)
    frames = (285 + 8 * moving((5, 40, 80), drift=0.6, lifetime=48)).astype("f4")
    holes = frames[:2].copy()
    holes[:, 10:30, 20:50] = np.nan
    base = np.cumsum(rng.normal(size=(3, CHANNELS)), 1) / 30
    radiance = 1e13 * np.exp(0.2 * rng.normal(size=(8, 8, 3)) @ base + 0.003 * rng.normal(size=(8, 8, CHANNELS)))
    return {
        "map": spectral((64, 128)),
        "frames": frames,
        "holes": holes,
        "spectra": radiance[..., :64].astype("f4"),
        "radiance": radiance[:4, :4].astype("f4"),
    }


def codecs() -> dict[str, tuple[Any, str, dict[str, Any]]]:
    """Name -> codec, field, arguments of its context."""
    return {
        "pyramid map": (Pyramid(bound={"abs": 0.05}, threads=2), "map", {}),
        "pyramid frames": (Pyramid(bound={"abs": 0.05}, tune="rmse", threads=2), "frames", {}),
        "pyramid holes": (Pyramid(bound={"rel": 1e-4}), "holes", {}),
        "pyramid lossless": (Pyramid(bound="lossless", threads=1), "holes", {}),
        "pyramid spectra": (Pyramid(bound={"noise": 0.5}), "spectra", {"noise": np.full(64, 3e10)}),
        "hyperprior": (Hyperprior(target={"rmse": 0.5}, threads=2), "map", {}),
        "hyperprior bound": (Hyperprior(bound={"abs": 0.5}), "holes", {}),
        "vq": (VQ(target={"ratio": 60}, threads=1), "map", {}),
        "hvae": (HVAE(target={"ratio": 500}, threads=2), "radiance", {}),
    }


def dataset() -> xr.Dataset:
    """Frames with coordinates, for stores."""
    values = (285 + 8 * moving((16, 48, 96), drift=0.6, lifetime=48, seed=1)).astype("f4")
    times = np.datetime64("2020-01-01", "ns") + np.arange(16) * np.timedelta64(1, "h")
    latitude = xr.Variable("lat", np.linspace(60, 12, 48), {"units": "degrees_north", "standard_name": "latitude"})
    longitude = xr.Variable("lon", np.arange(96.0), {"units": "degrees_east", "standard_name": "longitude"})
    coordinates = {"time": times, "lat": latitude, "lon": longitude}
    return xr.Dataset({"t": (("time", "lat", "lon"), values, {"units": "K"})}, coordinates)


class Operations:
    """All that can be done with what `make` made.

    Parameters
    ----------
    folder : path
        Of `make`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fields = {file.stem: np.load(file) for file in sorted(folder.glob("*.npy"))}
        self.streams = {file.stem: file.read_bytes() for file in sorted(folder.glob("*.stream"))}
        self.expected: dict[str, str] = {}
        if (folder / EXPECTED).is_file():
            self.expected = json.loads((folder / EXPECTED).read_text(encoding="utf-8"))
        self.all = self._codecs() | self._stores()

    def run(self, name: str) -> None:
        """Do one; WrongBytes where it does not give what one thread gave."""
        found = digest(self.all[name]())
        if found != self.expected[name]:
            raise WrongBytes(f"{name}: expected {self.expected[name]}, got {found}")

    def _codecs(self) -> dict[str, Callable[[], Any]]:
        out: dict[str, Callable[[], Any]] = {}
        for name, stream in self.streams.items():
            codec, of, told = codecs()[name]
            context = {"context": ChunkContext(**told)} if told else {}
            out[f"encode {name}"] = partial(codec.encode, self.fields[of], **context)
            out[f"decode {name}"] = partial(codec.decode, stream)
        return out

    def _stores(self) -> dict[str, Callable[[], Any]]:
        zarrs = {f"zarr read {name}": partial(self._read, name) for name in SERIALIZERS}
        zarrs |= {f"zarr write {name}": partial(self._write, name) for name in SERIALIZERS}
        others: dict[str, Callable[[], Any]] = {
            "xarray": lambda: self._opened("archive.zarr", chunks=None).isel(time=slice(3, 11)).t.values,
            "dask": lambda: self._opened("archive.zarr", chunks={}).t.data.compute(scheduler="threads", num_workers=4),
            "low-rank": lambda: xr.open_dataset(self.folder / "t.cp.zarr", engine="adiabat").t.isel(time=5).values,
        }
        return zarrs | (others if (self.folder / "archive.zarr").exists() else {})

    def _opened(self, name: str, **options: Any) -> xr.Dataset:
        return xr.open_zarr(self.folder / name, **options)

    def _read(self, name: str) -> np.ndarray:
        return np.asarray(zarr.open_array(self.folder / f"{name}.zarr", mode="r")[...])

    def _write(self, name: str) -> bytes:
        """The same chunks by everybody at once: their file's bytes, which are always whole."""
        array = zarr.open_array(self.folder / f"{name}.zarr", mode="r+")
        array[0] = self.fields["map"]
        return (self.folder / f"{name}.zarr" / "c" / "0" / "0" / "0").read_bytes()


def digest(result: Any) -> str:
    """Of bytes or an array."""
    data = result if isinstance(result, bytes) else np.ascontiguousarray(result).tobytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def make(folder: Path, only: Sequence[str] = ()) -> Operations:
    """Write fields, streams and stores, and what each operation must give, by this thread alone.

    only: these codecs, and no store but of chunks.
    """
    for name, field in fields().items():
        np.save(folder / f"{name}.npy", field)
    for name in only or codecs():
        codec, of, told = codecs()[name]
        context = {"context": ChunkContext(**told)} if told else {}
        (folder / f"{name}.stream").write_bytes(codec.encode(np.load(folder / f"{of}.npy"), **context))
    field = np.load(folder / "map.npy")
    for name, serializer in SERIALIZERS.items():
        array = zarr.create_array(
            folder / f"{name}.zarr", shape=(2, *field.shape), chunks=(1, *field.shape), dtype="f4",
            serializer=serializer, compressors=None,
        )  # fmt: skip
        array[:] = np.stack([field, field[::-1]])
    if not only:
        _archives(folder)
    operations = Operations(folder)
    expected = {name: digest(operation()) for name, operation in operations.all.items()}
    (folder / EXPECTED).write_text(json.dumps(expected, indent=1), encoding="utf-8")
    return Operations(folder)


def _archives(folder: Path) -> None:
    """An archive, its source, and a low-rank store of the same."""
    source = dataset()
    compress(source, folder / "archive.zarr", default_bound={"abs": 0.05}, chunks=CHUNKS)
    low_rank.write(source.t, folder / "t.cp.zarr", rank=4, bound={"abs": 0.5})
    source.to_netcdf(folder / "source.nc")
