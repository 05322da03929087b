"""Estimates: a sample tells the ratio of the whole, pieces lie where they should, the paper plan is arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from adiabat.codec import Pyramid
from adiabat.formats import sample
from adiabat.formats.chunks import blocks
from adiabat.formats.cli_plan import print_dry_run, print_paper_plan
from adiabat.formats.demo import simulate_field
from adiabat.formats.estimate import METADATA, DryRun, Estimate, estimate
from adiabat.formats.paper_plan import paper_plan
from adiabat.formats.plan import VariablePlan, make_plan
from adiabat.formats.policies import Policy
from adiabat.formats.sample import READ, SIDE, VALUES, pieces


def planned(shape, chunks, **options):
    dims = ("time", "level", "lat", "lon")[-len(shape) :] if len(shape) != 3 else ("time", "lat", "lon")
    bound = options.pop("bound", {"abs": 1.0})
    return VariablePlan("t", dims, shape, chunks, np.dtype("f4"), bound, bound, True, **options)


def virtual(plan, **encoding):
    array = xr.DataArray(np.broadcast_to(np.float32(0), plan.shape), dims=plan.dims, name=plan.name)
    array.encoding.update(encoding)
    return array


def lengths(region):
    return [part.stop - part.start for part in region]


# --- pieces


def test_small_variables_are_sampled_whole():
    plan = planned((10, 40, 50), (4, 40, 50))
    found = pieces(virtual(plan), plan)
    assert found == list(blocks(plan.shape, plan.chunks, at_once=1))
    assert sum(math.prod(lengths(region)) for region in found) == plan.values


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((240, 721, 1440), (24, 721, 1440)),
        ((8, 37, 721, 1440), (8, 3, 721, 1440)),
        ((721, 5000), (721, 5000)),
        ((9000, 9000), (3000, 3000)),
        ((20000, 33, 49), (744, 33, 49)),
        ((48, 1801, 3600), (24, 901, 1800)),
    ],
)
def test_pieces_of_large_ones_keep_their_time_and_are_small(shape, chunks):
    plan = planned(shape, chunks)
    found = pieces(virtual(plan), plan)
    assert 1 <= len(found) <= 3
    assert sum(math.prod(lengths(region)) for region in found) <= VALUES
    assert all(
        0 <= part.start < part.stop <= length for region in found for part, length in zip(region, shape, strict=True)
    )
    if len(shape) > 2:
        assert all(lengths(region)[0] == min(chunks[0], shape[0]) for region in found)
        assert all(min(lengths(region)[-2:]) >= min(SIDE, *shape[-2:]) for region in found)
    assert all(one != other for one, other in pairwise(found))


def test_whole_axes_stay_whole():
    spectra = planned((132, 2048, 1028), (132, 64, 1028), channels=-1)
    (region,) = pieces(virtual(spectra), spectra)
    assert lengths(region)[2] == 1028
    profile = planned((48, 721, 1440), (48, 721, 1440), bound={"abs": [1.0] * 48, "axis": 0})
    assert all(lengths(region)[0] == 48 for region in pieces(virtual(profile), profile))


def test_what_the_source_would_read_is_bounded():
    """Chunks of ARCO-ERA5 hold all levels of one hour: 38 million values."""
    plan = planned((240, 37, 721, 1440), (24, 1, 721, 1440))
    source = virtual(plan, preferred_chunks={"time": 1, "level": 37, "lat": 721, "lon": 1440})
    for region in pieces(source, plan):
        assert lengths(region)[0] * 37 * 721 * 1440 <= READ
    contiguous = pieces(virtual(plan), plan)
    assert lengths(contiguous[0])[0] == 24


# --- estimates


@pytest.mark.parametrize("bound", [0.05, 0.3])
def test_a_sample_tells_the_ratio_of_the_whole(bound, monkeypatch):
    monkeypatch.setattr(sample, "VALUES", 400_000)
    monkeypatch.setattr(sample, "SIDE", 96)
    dataset = simulate_field((12, 241, 480)).rename(temperature="t")
    plan = make_plan(dataset, bounds={"t": {"abs": bound}})
    (found,) = estimate({"/": (dataset, plan)}).estimates
    assert found.sampled < dataset["t"].size / 3
    values = dataset["t"].values
    true = values.nbytes / len(Pyramid(bound={"abs": bound}).encode(values))
    assert found.ratio == pytest.approx(true, rel=0.25)
    assert found.stored_bytes == pytest.approx(values.nbytes / found.ratio)
    assert found.stored_bytes == pytest.approx(values.nbytes * found.sampled_bytes / found.sampled / 4 + METADATA)
    assert 0 < found.worker_seconds < 600
    assert 4e8 < found.memory < 1e9


def small(seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :60]
    t = 280 + 10 * np.sin(x / 9) * np.cos(y / 7) + rng.normal(size=(6, 40, 60)) / 10
    dims, attrs = ("time", "lat", "lon"), {"units": "K"}
    return xr.Dataset(
        {
            "t2m": (dims, t.astype("f4"), attrs),
            "msl": (dims, (100000 + 300 * t).astype("f4"), {"units": "Pa"}),
            "odd": (dims, t.astype("f4"), {}),
            "count": (("lat",), np.arange(40)),
        }
    )


def test_everything_planned_is_estimated_and_policies_are_set_beside_it():
    dataset = small()
    plans = {name: make_plan(dataset, bounds={}, rules=Policy.load(name).rules(dataset)) for name in Policy.names()}
    seen: list[str] = []
    run = estimate(
        {"/": (dataset, plans["recommended"])},
        others={name: {"/": (dataset, plan)} for name, plan in plans.items()},
        progress=seen.append,
    )
    assert seen == ["t2m", "msl", "odd", "count"] == [each.name for each in run.estimates]
    by_name = {each.name: each for each in run.estimates}
    assert by_name["t2m"].ratio > by_name["odd"].ratio > 1
    assert 0 < by_name["count"].ratio < 1  # its metadata outweigh it
    assert by_name["msl"].others["recommended"] == pytest.approx(by_name["msl"].ratio)
    assert by_name["msl"].others["ensemble-spread"] > by_name["msl"].ratio
    assert by_name["t2m"].others["ensemble-spread"] == pytest.approx(by_name["t2m"].ratio)
    assert run.ratio_of("recommended") == pytest.approx(run.ratio)
    assert run.ratio_of("ensemble-spread") > run.ratio
    assert run.float32_bytes == 4 * sum(each.size for each in dataset.data_vars.values())
    assert run.tasks == 4


def test_bounds_in_units_of_noise_and_targets_are_estimated_too():
    dataset = small()
    dataset["t2m_error"] = dataset["t2m"] * 0 + np.float32(0.1)
    bounds = {"t2m": {"noise": 1.0}, "t2m_error": {"rel": 0.01}, "msl": {"rmse": 50.0}}
    run = estimate({"/": (dataset, make_plan(dataset, bounds=bounds))})
    by_name = {each.name: each for each in run.estimates}
    assert by_name["t2m"].ratio > 4
    assert by_name["msl"].variable.codec == "adiabat.hyperprior"
    assert by_name["msl"].ratio > 4


def test_groups_are_named_by_their_paths():
    dataset = small()[["t2m"]]
    plan = make_plan(dataset, bounds={"t2m": {"abs": 0.1}})
    run = estimate({"/": (xr.Dataset(), []), "/a/b": (dataset, plan)})
    assert [each.name for each in run.estimates] == ["a/b/t2m"]


def of(name, *, values=(10, 1000, 1000), ratio=10.0, seconds=4.0, tasks=5, **others):
    plan = replace(planned(values, values), name=name, rule=f"recommended: {name}", valid_range=(0.0, None), mean=0.5)
    sampled = 1_000_000
    return Estimate(name, plan, tasks, sampled, round(4 * sampled / ratio), seconds, others)


def test_totals_add_up():
    run = DryRun((of("a", ratio=10.0, p=20.0), of("b", ratio=5.0, seconds=2.0)), workers=4)
    assert run.float32_bytes == 80_000_000
    assert run.stored_bytes == pytest.approx(4e6 + 8e6 + 2 * METADATA)
    assert run.ratio == pytest.approx(80 / 12, rel=1e-3)
    assert run.ratio_of("p") == pytest.approx(80 / 10, rel=1e-3)
    assert run.estimates[0].mb_s == pytest.approx(1)
    assert run.seconds == pytest.approx((40 + 20) / 4)
    assert replace(run, workers=1000).seconds == pytest.approx(40 / 5)  # no shorter than a block
    assert run.mb_s == pytest.approx(80 / 60)


def test_nothing_planned_is_nothing():
    run = DryRun(())
    assert (run.ratio, run.seconds, run.tasks, run.mb_s) == (1.0, 0.0, 0, math.inf)


# --- on paper


def test_the_paper_plan_is_arithmetic():
    plan = paper_plan(2.05e15, mb_s=12.5, ratio=25, task_bytes=1e8, workers=1000, price=0.04)
    assert plan.tasks == 20_500_000
    assert plan.core_hours == pytest.approx(2.05e15 / 12.5e6 / 3600)
    assert plan.hours == pytest.approx(plan.core_hours / 1000)
    assert plan.dollars == pytest.approx(0.04 * plan.core_hours)
    assert plan.stored_bytes == pytest.approx(8.2e13)


def test_workers_follow_from_hours_and_never_exceed_tasks():
    plan = paper_plan(10e12, mb_s=10, ratio=20, hours=24)
    assert plan.workers == math.ceil(plan.core_hours / 24) == 12
    assert plan.hours <= 24
    assert paper_plan(1e9, mb_s=10, ratio=20, workers=100).workers == 10
    whole = paper_plan(3e8, mb_s=10, ratio=20, workers=2)  # three tasks, so one worker has two
    assert whole.hours == pytest.approx(2 * 10 / 3600)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mb_s": 0.0, "workers": 1}, "expected mb_s above 0, got 0.0"),
        ({"mb_s": math.inf, "workers": 1}, "expected mb_s above 0"),
        ({"mb_s": 1.0}, "expected workers or hours"),
        ({"mb_s": 1.0, "workers": 2, "hours": 2}, "expected workers or hours"),
        ({"mb_s": 1.0, "hours": -2}, "expected hours above 0"),
    ],
)
def test_figures_without_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        paper_plan(1e12, ratio=10, **options)


# --- print


def printed(show, *what):
    text = StringIO()
    show(Console(file=text, width=240, highlight=False, markup=False, soft_wrap=True), *what)
    return text.getvalue()


def test_the_dry_run_prints_the_plan_and_says_what_is_unknown():
    run = DryRun((of("a", ratio=10.0, **{"ensemble-spread": 20.0}), of("b", ratio=5.0)), workers=2)
    text = printed(print_dry_run, run, ["gh: geopotential in m"])
    first = next(line for line in text.splitlines() if line.strip().startswith("a ")).split()
    assert first[:5] == ["a", "abs:1,", "mean", "0.5", "recommended:"]
    assert first[-5:] == ["10.0", "1.0", "40", "s", "20.0"]
    assert ">=" in first
    for part in (
        "80 MB as float32 -> about 12 MB, ratio 6.7, in 10 tasks",
        "about 40 s with 2 workers",
        "ensemble-spread: ratio 8.0",
        "sampled        0.1 of all values",
        "note           gh: geopotential in m",
        "nothing was written",
    ):
        assert part in text
    assert "for want of a bound" not in text
    unasked = replace(run.estimates[1].variable, bound="lossless", codec_bound="lossless", asked=False)
    run = replace(run, estimates=(run.estimates[0], replace(run.estimates[1], variable=unasked)))
    assert "kept lossless, for want of a bound: b (give --bound VAR=abs:X)" in printed(print_dry_run, run)


def test_paper_plans_are_printed():
    text = printed(print_paper_plan, [("ARCO-ERA5", paper_plan(2.05e15, mb_s=10, ratio=20, workers=2000))])
    assert "20,500,000" in text
    assert "102 TB" in text or "103 TB" in text


def test_spheres_are_sampled_as_strips():
    cells = np.arange(12 * 16**2)
    values = (280 + 10 * np.sin(cells / 500) + np.zeros((4, 1))).astype("f4")
    dataset = xr.Dataset({"t": (("time", "cell"), values)}, coords={"cell": cells})
    plan = make_plan(dataset, bounds={"t": {"abs": 0.05}})
    assert plan[0].healpix
    assert estimate({"/": (dataset, plan)}).ratio > 4
