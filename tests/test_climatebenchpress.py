"""ClimateBenchPress's bounds: which variable is which, in whose units, and what is scored."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.climatebenchpress import PUBLISHED, bounds_of, find_published, score_field
from adiabat.formats.peers import KNOWN
from adiabat.formats.policies.quantity import quantities


def array(name, units, **options):
    values = 280 + np.random.default_rng(0).standard_normal((20, 30)).astype("f4")
    return xr.DataArray(values, dims=("lat", "lon"), name=name, attrs={"units": units, **options})


def test_bounds_are_three_and_grow():
    known = {each.key for each in quantities()}
    for each in PUBLISHED:
        assert len(each.sizes) == 3
        assert 0 < each.sizes[0] < each.sizes[1] < each.sizes[2]
        assert each.kind in ("abs", "rel")
        assert each.quantity in known or each.quantity == ""


@pytest.mark.parametrize(
    ("field", "name", "strictest"),
    [
        (array("u10", "m s**-1"), "10m_u_component_of_wind", {"abs": 0.0056038834154605865}),
        (array("msl", "hPa"), "mean_sea_level_pressure", {"abs": 0.0146685791015625}),
        (array("pr", "kg m-2 s-1"), "pr", {"rel": 0.010989011265337467}),
        (array("rlut", "W m-2", standard_name="toa_outgoing_longwave_flux"), "rlut", {"abs": 0.027889762073755264}),
        (array("tos", "degC"), "tos", {"abs": 6.103515625e-05}),
        (array("PRODUCT/no2", "kg kg-1"), "no2", {"rel": 0.000244140625}),
        (array("agb", "Mg/ha"), "agb", {"rel": 0.1428571492433548}),
    ],
)
def test_variables_are_recognised_in_their_own_units(field, name, strictest):
    assert find_published(field)[0].name == name
    bounds, told = bounds_of(field, field.values)
    (kind, size), (wanted, expected) = next(iter(bounds[0].items())), next(iter(strictest.items()))
    assert kind == wanted
    assert size == pytest.approx(expected, rel=1e-12)
    assert len(bounds) == 3
    assert f"{name} of " in told


def test_others_have_shares_of_their_range():
    field = array("t2m", "K")
    assert find_published(field) is None
    bounds, told = bounds_of(field, field.values)
    span = float(field.max()) - float(field.min())
    assert [each["abs"] for each in bounds] == pytest.approx([span * share for share in (1e-4, 1e-3, 1e-2)], rel=1e-6)
    assert "no ensemble" in told
    assert bounds_of(field, np.full((2, 3), 7, "f4"))[0] == ["lossless"]


def test_every_codec_is_scored_at_every_bound():
    field = array("msl", "Pa")
    x = field.values.copy()
    x[3:5, 4:9] = np.nan
    rows = list(score_field(field, x, {"zstd": KNOWN["bitround+zstd"]}, file="f", codecs=("pyramid",)))
    assert [each.row.codec for each in rows] == ["pyramid", "zstd"] * 3
    for each in rows:
        assert each.scores.satisfies_bound
        assert each.scores.max_abs_error == pytest.approx(each.row.max_error)
        flat = each.as_dict()
        assert (flat["file"], flat["variable"], flat["codec"]) == ("f", "msl", each.row.codec)
        assert flat["mae"] == each.scores.mae
