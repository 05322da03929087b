"""Strips of HEALPix faces: a permutation, continuous across the faces' edges, and a filter before any codec."""

from __future__ import annotations

import inspect
import json
import pickle
from pathlib import Path

import jsonschema
import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import Pyramid
from adiabat.codec.faces import centres, from_faces, pad, to_faces
from adiabat.codec.healpix_plugin import HealpixCodec
from adiabat.codec.healpix_strips import HealpixStrips, from_strips, strip_shape, to_strips
from adiabat.formats import compress, make_plan, take_inventory, verify

pytestmark = pytest.mark.filterwarnings("ignore:.*numpy.ndarray size changed:RuntimeWarning")

SPEC = Path(__file__).parents[1] / "spec"
KINDS = ("numcodecs", "zarr_v3")
ABS = 0.01
FILTER = {"name": "adiabat.healpix"}
SERIALIZER = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": ABS}}}


def positions(nside):
    """Unit vectors (3, cells) of the cells' centres, nested."""
    latitude, longitude = np.radians(centres(nside))
    return from_faces(
        np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    )


def waves(nside, frames=2):
    x, y, z = positions(nside)
    return np.stack([280 + 10 * np.sin(3 * x + t) * np.cos(2 * y) + 5 * z for t in range(frames)]).astype("f4")


@pytest.fixture
def dataset():
    cells = np.arange(12 * 16**2)
    mapping = {"grid_mapping_name": "healpix", "refinement_level": 4, "indexing_scheme": "nested"}
    return xr.Dataset(
        {"t": (("time", "cell"), waves(16, 3), {"units": "K", "grid_mapping": "healpix"})},
        {"time": [0.0, 1.0, 2.0], "cell": cells, "healpix": ((), np.int8(0), mapping)},
    )


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<f4", ">f8", "c8", "M8[s]", "S3"])
@pytest.mark.parametrize("lead", [(), (2,), (2, 0, 3)])
def test_cells_are_moved_and_never_changed(dtype, lead):
    rng = np.random.default_rng(0)
    values = np.frombuffer(rng.bytes(int(np.prod(lead)) * 192 * np.dtype(dtype).itemsize), dtype).reshape(*lead, 192)
    strips = to_strips(values)
    assert strips.dtype == values.dtype
    assert strips.shape == strip_shape(values.shape) == (*lead, 4, 12, 4)
    assert from_strips(strips).tobytes() == values.tobytes()


@pytest.mark.parametrize("nside", [1, 2, 8])
def test_every_cell_has_one_place(nside):
    strips = to_strips(np.arange(12 * nside**2))
    assert sorted(strips.ravel()) == list(range(12 * nside**2))


@pytest.mark.parametrize("nside", [4, 32])
def test_no_step_within_a_strip_is_longer_than_one_within_a_face(nside):
    places, inside = to_strips(positions(nside)), to_faces(positions(nside))
    longest = max(np.linalg.norm(np.diff(inside, axis=axis), axis=0).max() for axis in (2, 3))
    for axis in (2, 3):
        assert np.linalg.norm(np.diff(places, axis=axis), axis=0).max() <= longest * (1 + 1e-9)
    seams = np.linalg.norm(np.diff(places, axis=2), axis=0)[:, [nside - 1, 2 * nside - 1]]
    assert seams.max() < 1.1 * np.sqrt(4 * np.pi / (12 * nside**2))


def test_beyond_a_seam_lies_the_true_neighbour():
    nside, index = 8, np.arange(12 * 64)
    padded, strips = pad(to_faces(index), 1), to_strips(index)  # padded: (face, y, x), x to the north-east
    for strip in range(4):
        for row, face in ((nside, strip), (2 * nside, 4 + strip)):  # the face above the seam
            south_west = padded[face, 1:-1, 0][::-1]
            assert strips[strip, row].tolist() == south_west.tolist()


def test_rows_run_south_west_and_columns_south_east():
    x, y, z = to_strips(positions(64))[:, 0, 80:110, 20:50]  # of the equatorial face around 0 east
    assert (np.diff(z, axis=0) < 0).all()
    assert (np.diff(z, axis=1) < 0).all()
    assert (np.diff(y, axis=0) < 0).all()
    assert (np.diff(y, axis=1) > 0).all()
    assert x.min() > 0.5


@pytest.mark.parametrize("shape", [(), (47,), (3, 108), (12, 0)])
def test_anything_but_a_sphere_is_refused(shape):
    for refuse in (to_strips, HealpixStrips().encode):
        with pytest.raises(ValueError, match="expected"):
            refuse(np.zeros(shape))
    with pytest.raises(ValueError, match="expected"):
        from_strips(np.zeros(shape))


def test_the_filter_of_numcodecs():
    codec = numcodecs.get_codec({"id": "adiabat.healpix"})
    values = waves(4)
    assert isinstance(codec, HealpixStrips)
    assert (codec.decode(codec.encode(values)) == values).all()
    out = np.empty_like(values)
    assert codec.decode(codec.encode(values), out=out) is out
    assert (out == values).all()
    with pytest.raises(ValueError, match="nside and dtype"):
        codec.decode(codec.encode(values).tobytes())
    with pytest.raises(ValueError, match="C order"):
        codec.encode(np.asfortranarray(values))
    told = HealpixStrips(nside=4, dtype="f4")
    assert HealpixStrips(**{k: v for k, v in told.get_config().items() if k != "id"}) == told
    assert (told.decode(told.encode(values).tobytes()) == values).all()
    with pytest.raises(ValueError, match="192 cells"):
        told.encode(np.zeros(48))


@pytest.mark.parametrize("compressor", [{"id": "adiabat.pyramid", "bound": {"abs": ABS}}, {"id": "zlib"}])
def test_zarr_v2(compressor):
    options = {} if compressor["id"].startswith("adiabat") else {"nside": 16, "dtype": "<f4"}
    values = waves(16)
    array = zarr.create_array(
        {}, shape=values.shape, chunks=(1, 3072), dtype="f4", zarr_format=2, filters=[HealpixStrips(**options)],
        compressors=compressor,
    )  # fmt: skip
    array[:] = values
    assert np.abs(array[:] - values).max() <= ABS


@pytest.mark.parametrize("sharded", [False, True])
def test_zarr_v3(sharded):
    values = waves(16, 4)
    array = zarr.create_array(
        {}, shape=values.shape, chunks=(2, 3072), shards=(4, 3072) if sharded else None, dtype="f4",
        filters=[FILTER], serializer=SERIALIZER, compressors=None, fill_value=np.nan,
    )  # fmt: skip
    array[:3] = values[:3]
    assert np.abs(array[:3] - values[:3]).max() <= ABS
    assert np.isnan(array[3]).all()
    assert np.abs(array[1, 700:900] - values[1, 700:900]).max() <= ABS
    assert pickle.loads(pickle.dumps(array))[2, 5] == array[2, 5]


def test_zarr_v3_with_other_codecs_is_exact():
    values = np.random.default_rng(0).integers(0, 9, (2, 768)).astype("i2")
    array = zarr.create_array({}, shape=(2, 768), chunks=(1, 768), dtype="i2", filters=[FILTER])
    array[:] = values
    assert (array[:] == values).all()


@pytest.mark.parametrize(("shape", "chunks"), [((2, 3072), (2, 1024)), ((6144,), (3072,)), ((3072, 2), (3072, 2))])
def test_the_cells_must_be_one_chunk(shape, chunks):
    with pytest.raises(ValueError, match=r"adiabat\.healpix: expected"):
        zarr.create_array({}, shape=shape, chunks=chunks, dtype="f4", filters=[FILTER], serializer=SERIALIZER)


def test_it_has_no_options():
    assert HealpixCodec.from_dict(FILTER) == HealpixCodec.from_dict({**FILTER, "configuration": {}})
    assert HealpixCodec().to_dict() == FILTER
    with pytest.raises(ValueError, match="no options"):
        HealpixCodec.from_dict({**FILTER, "configuration": {"nside": 4}})


def test_strips_save_bytes():
    values = waves(64, 1)
    codec = Pyramid(bound={"abs": ABS})
    assert 4 * len(codec.encode(to_strips(values))) < len(codec.encode(values))


def test_xarray_writes_and_reads_it(dataset, tmp_path):
    encoding = {"t": {"chunks": (1, 3072), "filters": [FILTER], "serializer": SERIALIZER, "compressors": None}}
    dataset.to_zarr(tmp_path / "t.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    with xr.open_zarr(tmp_path / "t.zarr", consolidated=False) as read:
        assert read.t.dims == ("time", "cell")
        assert np.abs(read.t - dataset.t).max() <= ABS
        read.t.isel(time=[1]).to_dataset().to_zarr(tmp_path / "again.zarr", zarr_format=3, consolidated=False)
    codecs = json.loads((tmp_path / "again.zarr" / "t" / "zarr.json").read_text())["codecs"]
    assert [codec["name"] for codec in codecs] == ["adiabat.healpix", "adiabat.pyramid"]


@pytest.mark.parametrize("bound", [{"abs": ABS}, {"rmse": 0.1}, "lossless"])
def test_the_archive_uses_it(dataset, bound, tmp_path):
    dataset.to_netcdf(tmp_path / "t.nc")
    (planned,) = compress(dataset, tmp_path / "t.zarr", bounds={"t": bound})
    assert (planned.healpix, planned.chunks) == (True, (3, 3072))
    codecs = json.loads((tmp_path / "t.zarr" / "t" / "zarr.json").read_text())["codecs"]
    assert codecs[0] == FILTER
    if "rmse" in bound:
        assert codecs[1]["configuration"]["model"] == "hyperprior_healpix"
    with xr.open_zarr(tmp_path / "t.zarr") as read:
        off = np.abs(read.t - dataset.t).max()
    assert off <= {"lossless": 0}.get(str(bound), ABS if "abs" in bound else 1)
    (row,) = [row for row in take_inventory(tmp_path / "t.zarr") if row.name == "t"]
    assert sum(file.stat().st_size for file in (tmp_path / "t.zarr" / "cell" / "c").rglob("*") if file.is_file()) < 500
    assert row.codec == planned.codec
    assert row.bound == bound
    assert not [check.problem for check in verify(tmp_path / "t.nc", tmp_path / "t.zarr") if check.problem]


def test_the_archive_leaves_other_cells_alone(dataset, tmp_path):
    dataset["healpix"].attrs["indexing_scheme"] = "ring"
    (planned,) = compress(dataset, tmp_path / "ring.zarr", bounds={"t": {"abs": ABS}})
    assert not planned.healpix
    plain = dataset.drop_vars("healpix")
    (planned,) = make_plan(plain, bounds={"t": {"abs": ABS}}, chunks={"cell": 768})
    assert (planned.healpix, planned.chunks) == (False, (3, 768))
    (planned,) = make_plan(plain.isel(cell=slice(768, None)), bounds={"t": {"abs": ABS}})
    assert not planned.healpix
    (planned,) = make_plan(plain.transpose("cell", "time"), bounds={"t": {"abs": ABS}})
    assert not planned.healpix
    (planned,) = make_plan(plain, bounds={"t": {"abs": [ABS] * 3072, "axis": 1}})
    assert not planned.healpix


def test_a_sphere_is_a_frame_and_stays_whole():
    large = xr.DataArray(
        np.broadcast_to(np.float32(0), (100, 37, 12 * 256**2)), dims=("time", "level", "cell"), name="t"
    )
    (planned,) = make_plan(large.to_dataset(), bounds={"t": {"abs": ABS}})
    assert planned.healpix
    assert planned.chunks == (25, 1, 12 * 256**2)


def test_the_formula_of_the_specification():
    n = 8
    strips = to_strips(np.arange(12 * n * n))
    s, r, c = np.indices(strips.shape)
    k = r // n
    face = np.where(k == 0, s, np.where(k == 1, 4 + s, 8 + (s + 3) % 4))
    x, y = n - 1 - r % n, n - 1 - c
    nested = face * n * n
    for bit in range(3):
        nested += (x >> bit & 1) << 2 * bit | (y >> bit & 1) << 2 * bit + 1
    assert (strips == nested).all()
    printed = (SPEC / "healpix.md").read_text().split("strip 0 is")[1].split("##")[0].split()
    assert to_strips(np.arange(48))[0].ravel().tolist() == list(map(int, printed))


def test_schemas_say_the_same():
    schemas = {kind: json.loads((SPEC / "schemas" / f"healpix_{kind}.json").read_text()) for kind in KINDS}
    for codec in (HealpixStrips(), HealpixStrips(nside=256, dtype="f4")):
        jsonschema.validate(codec.get_config(), schemas["numcodecs"])
    jsonschema.validate(HealpixCodec().to_dict(), schemas["zarr_v3"])
    for wrong in ({"id": "adiabat.healpix", "nside": 3}, {"id": "adiabat.healpix", "level": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schemas["numcodecs"])
    assert set(schemas["numcodecs"]["properties"]) == {"id", *inspect.signature(HealpixStrips).parameters}


def test_a_side_beyond_every_float_is_refused():
    """Found by fuzzing."""
    with pytest.raises(ValueError, match="power of two"):
        HealpixStrips(10**400, "<f4")
