"""Low-rank stores: what comes back, what breaks, what an interrupted write leaves."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec.errors import CorruptStreamError, TruncatedStreamError, UnsupportedVersionError
from adiabat.formats import low_rank, low_rank_write
from adiabat.formats.errors import RequestError
from adiabat.formats.low_rank_candidates import bounded
from adiabat.formats.low_rank_layout import MARKER
from adiabat.formats.low_rank_store import StoredArray
from adiabat.formats.observed_mask import decode_mask, encode_mask

DIMS = ("time", "lat", "lon")


def gappy(days=200, rows=12, columns=14, seed=0, share=0.5):
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((n, 3)).cumsum(0) for n in (days, rows, columns)]
    values = np.einsum("ir,jr,kr->ijk", *parts) / 50 + 0.05 * rng.standard_normal((days, rows, columns)) + 280
    clouds = rng.standard_normal((days, rows + 8, columns + 8)).cumsum(1).cumsum(2)
    clouds = clouds[:, 8:, 8:] - clouds[:, :rows, :columns]
    values[clouds < np.quantile(clouds, 1 - share)] = np.nan
    times = np.datetime64("2019-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    latitude = xr.Variable("lat", np.linspace(-60, 60, rows), {"units": "degrees_north"})
    coordinates = {"time": times, "lat": latitude, "lon": np.arange(columns, dtype="f8")}
    return xr.DataArray(values.astype("f4"), coordinates, DIMS, "t", {"units": "K", "long_name": "temperature"})


def opened(path, **options):
    return xr.open_dataset(path, engine="adiabat", **options)


def test_filled_field_mask_coordinates_and_attributes(tmp_path):
    cube = gappy()
    written = low_rank.write(cube, tmp_path / "a.cp.zarr", rank=6, ridge=1)
    back = opened(tmp_path / "a.cp.zarr")
    observed = np.isfinite(cube.values)
    assert np.isfinite(back.t.values).all()
    np.testing.assert_array_equal(back.t_observed.values, observed)
    error = (back.t.values - cube.values)[observed]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(written.nrmse * np.nanstd(cube.values), rel=1e-3)
    assert written.nrmse < 0.2
    assert {**back.t.attrs, "ancillary_variables": ""} == {**cube.attrs, "ancillary_variables": ""}
    xr.testing.assert_equal(back.t.coords.to_dataset(), cube.coords.to_dataset())
    assert back.lat.attrs == cube.lat.attrs
    assert written.written_bytes == sum(
        file.stat().st_size for file in (tmp_path / "a.cp.zarr" / "t").rglob("*") if file.is_file()
    )


def test_days_without_any_value(tmp_path):
    cube = gappy()
    cube[[0, 7, 100, 199]] = np.nan
    low_rank.write(cube, tmp_path / "a.cp.zarr", rank=4)
    back = opened(tmp_path / "a.cp.zarr")
    assert np.isfinite(back.t.values).all()
    assert not back.t_observed[[0, 7, 100, 199]].values.any()
    # Nothing is known of such a day but the climatology.
    np.testing.assert_allclose(back.t[7].values, back.t[100].values)


def test_constant_cells(tmp_path):
    cube = gappy()
    cube[:] = np.where(np.isfinite(cube), np.float32(273.25), np.float32(np.nan))
    low_rank.write(cube, tmp_path / "a.cp.zarr", rank=4)
    np.testing.assert_allclose(opened(tmp_path / "a.cp.zarr").t.values, 273.25, rtol=1e-5)


def test_one_observation(tmp_path):
    cube = gappy()
    cube[:] = np.nan
    cube[30, 4, 5] = 17.5
    low_rank.write(cube, tmp_path / "a.cp.zarr", rank=3)
    back = opened(tmp_path / "a.cp.zarr")
    np.testing.assert_allclose(back.t.values, 17.5, rtol=1e-3)
    assert np.argwhere(back.t_observed.values).tolist() == [[30, 4, 5]]


def test_nothing_observed_is_refused_and_nothing_is_written(tmp_path):
    cube = gappy()
    cube[:] = np.nan
    with pytest.raises(RequestError, match="no finite value"):
        low_rank.write(cube, tmp_path / "a.cp.zarr", rank=3)
    assert list(tmp_path.iterdir()) == []


def test_rank_above_what_the_data_carry(tmp_path):
    written = low_rank.write(gappy(40, 5, 6), tmp_path / "a.cp.zarr", rank=60, ridge=30)
    assert written.rank < 60
    assert np.isfinite(opened(tmp_path / "a.cp.zarr").t.values).all()


@pytest.mark.parametrize(
    "options", [{"transform": "log"}, {"offset": True}, {"transform": "log", "offset": True}], ids=str
)
def test_transforms_come_back(tmp_path, options):
    cube = gappy()
    cube = np.exp((cube - 280) / 5)
    cube.name = "t"
    low_rank.write(cube, tmp_path / "a.cp.zarr", rank=6, **options)
    back = opened(tmp_path / "a.cp.zarr").t.values
    observed = np.isfinite(cube.values)
    assert np.corrcoef(back[observed], cube.values[observed])[0, 1] > 0.9


@pytest.mark.parametrize("size", [3.0, 0.3, 0.03])
def test_a_bound_is_held_by_every_observed_cell(tmp_path, size):
    cube = gappy()
    low_rank.write(cube, tmp_path / "a.cp.zarr", bound={"abs": size}, rank="auto", sweeps=10)
    back, observed = opened(tmp_path / "a.cp.zarr"), np.isfinite(cube.values)
    error = np.abs(back.t.values.astype("f8") - cube.values)[observed]
    assert error.max() <= size


def special():
    cube = gappy(share=0.9)
    cube[3, 2, 1], cube[4, 4, 4], cube[9] = np.inf, -np.inf, 273.15
    cube[:, 3, 3] = 250.0
    return cube


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_residual_keeps_infinities_gaps_and_constants(tmp_path, dtype, monkeypatch):
    cube = special().astype(dtype)
    monkeypatch.setattr("adiabat.formats.low_rank_candidates._alone", never)
    size = 0.5
    low_rank.write(cube, tmp_path / "a.cp.zarr", bound={"abs": size}, rank=4, view="source")
    back = opened(tmp_path / "a.cp.zarr").t
    assert back.dtype == cube.dtype
    finite = np.isfinite(cube.values)
    with np.errstate(invalid="ignore"):
        assert np.abs(back.values.astype("f8") - cube.values.astype("f8"))[finite].max() <= size
    np.testing.assert_array_equal(back.values[~finite], cube.values[~finite])
    views = {view: opened(tmp_path / "a.cp.zarr", view=view).t.values for view in ("filled", "corrected", "source")}
    assert np.isfinite(views["filled"]).all()
    np.testing.assert_array_equal(np.isnan(views["source"]), np.isnan(cube.values))
    gap = np.isnan(cube.values)
    np.testing.assert_array_equal(views["corrected"][gap], views["filled"][gap])
    np.testing.assert_array_equal(views["corrected"][~gap], views["source"][~gap])


def never(array, values, bound, chunks):
    from adiabat.formats.low_rank_candidates import Candidate

    return Candidate(str(array.name), {"t/none": bytes(10**9)}, 0, np.nan, 1.0, low_rank=False)


def test_a_bound_too_tight_for_float32_is_left_to_pyramid(tmp_path):
    cube = gappy()
    written = low_rank.write(cube, tmp_path / "a.cp.zarr", bound={"abs": 1e-5}, rank=4)
    assert written.rank == 0
    back = opened(tmp_path / "a.cp.zarr")
    observed = np.isfinite(cube.values)
    assert np.abs(back.t.values.astype("f8") - cube.values)[observed].max() <= 1e-5


def test_never_more_bytes_than_pyramid_alone():
    rng = np.random.default_rng(0)
    for values in (
        rng.standard_normal((40, 16, 16)),
        gappy(40).values,
        np.full((20, 8, 8), 3.0),
        np.full((9, 3, 3), np.nan),
    ):
        array = xr.DataArray(values.astype("f4"), dims=DIMS, name="t")
        for size in (1.0, 0.05):
            sizes = []
            best = bounded(array, size, ranks=(10, 20), note=lambda sentence, sizes=sizes: sizes.append(sentence))
            alone = int(sizes[0].split()[-2])
            assert best.written_bytes <= 1.01 * alone


@pytest.mark.parametrize("when", ["files", "mark"])
def test_an_interrupted_write_leaves_nothing_that_opens(tmp_path, monkeypatch, when):
    path = tmp_path / "a.cp.zarr"

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(low_rank_write, "mark" if when == "mark" else "_consolidate", stop)
    with pytest.raises(KeyboardInterrupt):
        low_rank.write(gappy(40), path, rank=2)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_overwrite_keeps_the_old_store(tmp_path, monkeypatch):
    path = tmp_path / "a.cp.zarr"
    low_rank.write(gappy(40), path, rank=2)
    before = opened(path).t.values
    monkeypatch.setattr(low_rank_write, "mark", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        low_rank.write(gappy(40, seed=1), path, rank=2, overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["a.cp.zarr"]
    np.testing.assert_array_equal(opened(path).t.values, before)


def test_requests_that_make_no_sense(tmp_path):
    cube = gappy(40)
    full = cube.fillna(280)
    for array, options, match in (
        (cube, {"rank": -1}, "expected a rank"),
        (cube, {"rank": "all"}, "expected a rank"),
        (full.astype(int), {"rank": 2}, "expected floats"),
        (cube[0, 0], {"rank": 2}, "expected floats of two axes"),
        (cube, {"rank": 2, "bound": {"rel": 0.1}}, "expected bound"),
        (cube, {"rank": 2, "transform": "cube"}, "expected transform"),
        (full, {"rank": "auto"}, "nothing is missing"),
        (-cube, {"rank": 2, "transform": "log"}, "no positive value"),
    ):
        with pytest.raises(RequestError, match=match):
            low_rank.write(array, tmp_path / "a.cp.zarr", **options)
    assert list(tmp_path.iterdir()) == []


def test_two_and_four_axes(tmp_path):
    rng = np.random.default_rng(0)
    for number, shape in enumerate(((30, 20), (30, 3, 8, 9))):
        dims = ("time", "level", "lat", "lon")[: len(shape)]
        values = np.add.outer(rng.standard_normal(shape[0]).cumsum(), rng.standard_normal(shape[1:])).astype("f4")
        values[rng.random(shape) < 0.3] = np.nan
        low_rank.write(xr.DataArray(values, dims=dims, name="x"), tmp_path / f"{number}.cp.zarr", rank=3, ridge=0.01)
        back = opened(tmp_path / f"{number}.cp.zarr").x.values
        seen = np.isfinite(values)
        assert np.abs(back - values)[seen].mean() < 0.1 * values[seen].std()


def test_factors_are_plain_integers_for_any_zarr_reader(tmp_path):
    low_rank.write(gappy(300), tmp_path / "a.cp.zarr", rank=5)
    group = zarr.open_group(tmp_path / "a.cp.zarr" / "t", mode="r")
    stored = StoredArray(group)
    for dim, size in zip(DIMS, stored.shape, strict=True):
        factor = group[f"factor_{dim}"]
        assert factor.dtype == np.int8
        assert factor.shape == (stored.rank, size)
        names = {codec.to_dict()["name"] for codec in factor.metadata.codecs}
        assert names == {"bytes", "zstd"}
    assert group["factor_time"].chunks == (stored.rank, 128)
    # The specification's formula, with nothing of ours.
    w, a, b, c = (group[name][...].astype("f8") for name in ("weights", *(f"factor_{dim}" for dim in DIMS)))
    note = group.attrs[MARKER]
    day = group["base"][...] + note["scale"] * np.einsum("r,r,rj,rk->jk", w, a[:, 177], b, c)
    np.testing.assert_array_equal(day.astype("f4"), opened(tmp_path / "a.cp.zarr").t[177].values)


def test_tight_budgets_do_not_cost_16_bits(tmp_path):
    rng = np.random.default_rng(1)
    parts = [rng.standard_normal((n, 4)) for n in (600, 40, 40)]
    cube = xr.DataArray(np.einsum("ir,jr,kr->ijk", *parts).astype("f4"), dims=DIMS, name="t")
    low_rank.write(cube, tmp_path / "a.cp.zarr", rank=4, ridge=0.001, sweeps=60)
    group = zarr.open_group(tmp_path / "a.cp.zarr" / "t", mode="r")
    factor = group["factor_time"]
    assert factor.dtype == np.int16
    stored = sum(
        file.stat().st_size
        for file in (tmp_path / "a.cp.zarr" / "t" / "factor_time" / "c").rglob("*")
        if file.is_file()
    )
    assert stored < 1.6 * factor.size


def test_groups_that_are_not_of_this_format(tmp_path):
    path = tmp_path / "a.cp.zarr"
    low_rank.write(gappy(40), path, rank=2)
    file = path / "t" / "zarr.json"
    text = file.read_text()
    for change, error, match in (
        ({"version": 2}, UnsupportedVersionError, "expected a low-rank variable of version 1, got 2"),
        ({"shape": [1]}, CorruptStreamError, "expected 3 lengths"),
        ({"rank": "many"}, CorruptStreamError, "to be whole"),
        ({"dtype": "text"}, CorruptStreamError, "to be whole"),
        ({"view": "other"}, ValueError, "expected view"),
        ({"view": "source"}, ValueError, "without a bound"),
    ):
        entry = json.loads(text)
        entry["attributes"][MARKER] |= change
        file.write_text(json.dumps(entry))
        with pytest.raises(error, match=match):
            opened(path)
    file.write_text(text)
    entry = json.loads((path / "t" / "factor_lat" / "zarr.json").read_text())
    entry["shape"][1] += 1
    (path / "t" / "factor_lat" / "zarr.json").write_text(json.dumps(entry))
    with pytest.raises(CorruptStreamError, match="factor_lat"):
        opened(path).t.values  # noqa: B018


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((3, 5, 7), bool), np.zeros((3, 5, 7), bool), np.random.default_rng(0).random((4, 9, 8)) < 0.5,
        np.random.default_rng(0).random((2, 3, 9, 8)) < 0.9, np.ones((), bool), np.ones(9, bool), np.ones((2, 1), bool),
        np.zeros((0, 3, 4), bool), np.indices((5, 6, 7)).sum(0) % 2 == 0,
    ],
    ids=lambda mask: str(mask.shape),
)  # fmt: skip
def test_masks_come_back(mask):
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), mask.shape), mask)


def test_masks_of_clouds_take_less_than_the_streams():
    from adiabat.codec.mask import write_plane

    mask = np.isfinite(gappy(100, 40, 40).values)
    assert len(encode_mask(mask)) < len(write_plane(mask))


def test_exact_bytes_of_a_mask():
    mask = np.zeros((2, 4, 6), bool)
    mask[:, 1:3, 2:5] = True
    assert encode_mask(mask).hex() == "01dffc2577de24b6eeec"


def decode_by_the_specification(data, shape):
    """`spec/low_rank.md`, "The mask", word for word."""
    assert data[0] == 1
    assert zlib.crc32(data[5:]) == int.from_bytes(data[1:5], "little")
    body, frames = list(data[5:]), np.zeros(shape, bool)
    offsets = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2), (-2, -1), (-2, 1)]
    contexts = {}
    low, high = 0, 2**32 - 1
    taken = iter(body + [0] * 8)
    code = int.from_bytes(bytes(next(taken) for _ in range(4)), "big")
    for t, y, x in np.ndindex(shape):
        context = 0
        for bit, (row, column) in enumerate(offsets):
            if y + row >= 0 and 0 <= x + column < shape[2]:
                context |= int(frames[t, y + row, x + column]) << bit
        a, b, n = contexts.get(context, (32768, 32768, 0))
        p, span = min(max((a + b) >> 1, 32), 65504), high - low
        middle = low + (span >> 16) * p + (((span % 2**16) * p) >> 16)
        true = code <= middle
        frames[t, y, x] = true
        low, high = (low, middle) if true else (middle + 1, high)
        fast, slow = min(n + 1, 4), min(n + 1, 7)
        a, b = (a + ((65536 - a) >> fast), b + ((65536 - b) >> slow)) if true else (a - (a >> fast), b - (b >> slow))
        contexts[context] = (a, b, min(n + 1, 7))
        while low >> 24 == high >> 24:
            low, high = low << 8 & 0xFFFFFFFF, high << 8 & 0xFFFFFFFF | 255
            code = code << 8 & 0xFFFFFFFF | next(taken, 0)
    return frames


def test_masks_are_what_the_specification_says():
    for mask in (np.isfinite(gappy(20).values), np.random.default_rng(1).random((3, 9, 8)) < 0.2):
        np.testing.assert_array_equal(decode_by_the_specification(encode_mask(mask), mask.shape), mask)
    example = decode_by_the_specification(bytes.fromhex("01dffc2577de24b6eeec"), (2, 4, 6))
    assert np.argwhere(example[1]).tolist() == [[y, x] for y in (1, 2) for x in (2, 3, 4)]


def test_broken_masks():
    data = encode_mask(np.random.default_rng(0).random((4, 9, 8)) < 0.5)
    for cut in range(5):
        with pytest.raises(TruncatedStreamError):
            decode_mask(data[:cut], (4, 9, 8))
    with pytest.raises(UnsupportedVersionError):
        decode_mask(b"\x02" + data[1:], (4, 9, 8))
    with pytest.raises(CorruptStreamError):
        decode_mask(data[:-1], (4, 9, 8))
    with pytest.raises(TypeError, match="keeps bool"):
        zarr.create_array({}, shape=(4, 4), dtype="f4", serializer={"name": "adiabat.mask"}, compressors=None)
