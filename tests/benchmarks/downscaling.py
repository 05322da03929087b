"""The generated view on real fields: `python tests/benchmarks/downscaling.py [--model FILE] [--json OUT]`.

Fine fields are made coarse by block means (4 and 8 times) and fine again. Test fields are the last 6 frames of series
whose first frames were trained on (time apart), ERA5 at 0.25 degree, which was not trained on (source apart; four
windows of 160 x 240 cells), and the last of five aerosol maps, which are log(1 + x) already and stay so. Methods:
- bicubic: `block_means.interpolate`;
- mean: the model without diffusion (a U-Net's regression), a single field;
- sample: one member; its CRPS is that of the ensemble;
- mean of members: averages them, a single field again.
The model is told the grain of each variable, as of `adiabat generate --like`: of the frames of the series that were
trained on; nothing is told of the sources that were not; --untold tells nothing at all.
Columns: RMSE and CRPS in the field's unit (CRPS of a single field is its MAE); R2; skill, 1 - MSE over that of bicubic;
power in the top octave (waves of 2 to 4 cells) over the truth's; nugget less the truth's over the truth's sill, sill
and range over the truth's, of an exponential semivariogram; the same of the detail, what is beyond bicubic; W1 over
the standard deviation, and of the largest hundredth. No field is averaged over patches or strides: what is scored is
what is read. Fields of fewer than 4 x 4 coarse cells are left out.

Then a walk over 30 hours (downscaling_walk.py), and times, stitching, seams, steps, threads and batches
(downscaling_checks.py); --only does one of them. Needs the extras cpu, io (scipy, netCDF4, cfgrib) and plot.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import xarray as xr
from downscaling_checks import print_checks
from downscaling_fields import HeldOut, held_out_fields
from downscaling_figure import draw
from downscaling_walk import print_walk
from rich.console import Console
from rich.table import Table
from speed import cpu

from adiabat.codec.downscaler_model import DownscalerModel, find_downscaler
from adiabat.formats.block_means import interpolate
from adiabat.formats.conditions import roughness
from adiabat.formats.downscaling import Downscaling, Settings
from adiabat.formats.grain import grain
from adiabat.formats.likeness import gains_of
from adiabat.formats.texture_scores import octave_ratio, rank_histogram, score_texture, semivariogram

BICUBIC, MEAN, SAMPLE = "bicubic", "mean (U-Net)", "one sample"
COLUMNS = {
    "rmse": "RMSE", "r2": "R2", "skill": "skill", "crps": "CRPS", "top_octave": "top octave", "nugget": "nugget",
    "sill": "sill", "range": "range", "detail_nugget": "detail: nugget", "detail_sill": "sill", "detail_range": "range",
    "wasserstein": "W1", "tail_wasserstein": "tail W1",
}  # fmt: skip
Row = dict[str, Any]
Region = tuple[slice, slice]


def generate(model: DownscalerModel, field: HeldOut, factor: int, options: argparse.Namespace) -> dict[str, Any]:
    """What each method makes of the coarse frames: base and mean (frame, y, x), members (member, frame, y, x)."""
    cut = field.cropped(factor)
    assert cut is not None
    truth, coarse, scale = cut
    means, members = [], []
    region = tuple(slice(0, side) for side in truth.shape[1:])
    settings = Settings(
        factor, scale, seed=options.seed, steps=options.steps, wrap=field.wrap, non_negative=field.non_negative,
    )  # fmt: skip
    told = None if options.untold else field.likeness(factor)
    if told is not None:
        settings = replace(settings, grain=told.grain)
        settings = replace(settings, gains=gains_of(xr.DataArray(coarse), model, settings, told.spread))
    for frame, each in enumerate(coarse):
        view = Downscaling(each, model=model, settings=settings)
        means.append(view.mean(region))
        members.append([view.sample(region, member=k, time_index=frame) for k in range(options.members)])
    made = np.asarray(members, np.float64).swapaxes(0, 1)
    return {
        "truth": truth,
        "coarse": coarse,
        "base": interpolate(coarse, factor),
        "mean": np.stack(means),
        "members": made,
        "factor": factor,
    }


def known_top_octave(field: HeldOut, factor: int) -> float:
    """Power in the top octave that other times or places have, over the truth's, both over their coarse roughness."""
    truth, coarse, _ = field.cropped(factor) or (None, None, None)
    found, told = grain(truth, roughness(coarse)), field.likeness(factor)
    return math.nan if found is None or told is None else math.exp(2 * (told.grain[1] - found[1]))


def rows_of(made: dict[str, Any]) -> dict[str, Row]:
    """Scores of each method."""
    truth, base, members = made["truth"], made["base"], made["members"]
    many = f"mean of {len(members)}"
    fields = {BICUBIC: base, MEAN: made["mean"], SAMPLE: members[0], many: members.mean(0)}
    rows: dict[str, Row] = {}
    for name, field in fields.items():
        ensemble = members if name == SAMPLE else None
        row: Row = score_texture(truth, field, members=ensemble).as_dict()
        row["skill"] = 1 - (row["rmse"] / rows[BICUBIC]["rmse"]) ** 2 if rows else 0.0
        row["octaves"] = octave_ratio(truth, members if name == SAMPLE else field).tolist()
        row["top_octave"] = row["octaves"][-1]
        rows[name] = row | detail(truth - base, np.asarray(field, np.float64) - base, made["factor"])
    rows[SAMPLE]["ranks"] = rank_histogram(truth, members).tolist()
    rows[SAMPLE]["mae"] = float(np.abs(members[0] - truth).mean())
    return rows


def detail(truth: np.ndarray, generated: np.ndarray, factor: int) -> Row:
    """Nugget, sill and range of what is beyond bicubic, up to 4 coarse cells; a range only where there is a sill."""
    lags = range(1, min(4 * factor, min(truth.shape[1:]) // 2) + 1)
    model, fitted = (semivariogram(each, lags=lags).fit() for each in (truth, generated))
    some = fitted.sill > 1e-6 * model.sill
    return {"detail_nugget": (fitted.nugget - model.nugget) / model.sill, "detail_sill": fitted.sill / model.sill,
            "detail_range": fitted.range / model.range if some else math.nan}  # fmt: skip


def table_of(title: str, rows: dict[str, Row]) -> Table:
    """One line a method."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", title_style="bold")
    table.add_column("")
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    for name, row in rows.items():
        cells = [f"{row[key]:.4g}" if key in ("rmse", "crps") else f"{row[key]:.3f}" for key in COLUMNS]
        table.add_row(name, *cells)
    return table


def summary(everything: list[Row]) -> dict[str, Row]:
    """Over all fields: geometric means of RMSE and CRPS over bicubic's and of the top octave; means of the others."""
    out: dict[str, Row] = {}
    for method in everything[0]["methods"]:
        rows = [(row["methods"][method], row["methods"][BICUBIC]) for row in everything]
        row: Row = {key: _geometric([one[key] / base[key] for one, base in rows]) for key in ("rmse", "crps")}
        row["top_octave"] = _geometric([one["top_octave"] for one, _ in rows])
        for key in COLUMNS.keys() - row.keys():
            known = [one[key] for one, _ in rows if math.isfinite(one[key])]
            row[key] = float(np.mean(known)) if known else math.nan
        out[method] = row
    return out


def _geometric(values: list[float]) -> float:
    return math.exp(float(np.mean(np.log(np.maximum(values, 1e-9)))))


def verdicts(everything: list[Row]) -> list[str]:
    """What was to be seen, over all rows."""

    def count(holds: Callable[[dict[str, Row]], bool]) -> str:
        return f"{sum(holds(row['methods']) for row in everything)} of {len(everything)}"

    return [
        f"CRPS of the ensemble at most the MAE of the mean: {count(lambda m: m[SAMPLE]['crps'] <= m[MEAN]['crps'])}",
        f"top octave of samples within 0.8 to 1.2: {count(lambda m: 0.8 <= m[SAMPLE]['top_octave'] <= 1.2)}",
        f"top octave that the frames of other times have within 0.8 to 1.2: "
        f"{sum(0.8 <= row['known'] <= 1.2 for row in everything)} of {sum(row['known'] > 0 for row in everything)}",
        f"RMSE of the mean below bicubic's: {count(lambda m: m[MEAN]['rmse'] < m[BICUBIC]['rmse'])}",
    ]


def print_tables(model: DownscalerModel, options: argparse.Namespace, console: Console) -> list[Row]:
    """A table for each field and factor."""
    everything: list[Row] = []
    for field in held_out_fields(options.data, options.fields):
        for factor in options.factors:
            cut = field.cropped(factor)
            if cut is None:
                continue
            start = time.perf_counter()
            rows = rows_of(generate(model, field, factor, options))
            frames, height, width = cut[0].shape
            seconds = time.perf_counter() - start
            title = f"{field.name}, {factor} x, {frames} of {height} x {width} cells ({seconds:.0f} s)"
            console.print(table_of(title, rows))
            everything.append({
                "field": field.name, "factor": factor, "shape": [frames, height, width], "methods": rows,
                "known": known_top_octave(field, factor),
            })  # fmt: skip
            write(options, {"rows": everything})
    if everything:
        title = f"all {len(everything)} rows: RMSE and CRPS over bicubic's, those and the top octave as geometric means"
        console.print(table_of(title, summary(everything)))
        console.print("\n".join(verdicts(everything)))
    return everything


def write(options: argparse.Namespace, found: Row) -> None:
    """As JSON, where it is wanted; what is not a number as null."""
    if options.json:
        told = {"made": options.made, "machine": options.machine, "model": options.sha256, "steps": options.steps,
                "members": options.members, "seed": options.seed}  # fmt: skip
        text = json.dumps(_plain(told | found), indent=1)
        options.json.write_text(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ADIABAT_DATA", "../shared/data")))
    parser.add_argument("--model", help="name, hash or file; the shipped one if not given")
    parser.add_argument("--fields", nargs="+", metavar="WORD", help="only fields whose name contains one of them")
    parser.add_argument("--factors", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--untold", action="store_true", help="do not tell the model how smooth a variable is")
    parser.add_argument("--only", choices=("table", "walk", "checks", "figure"))
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="of the first field and factor asked for")
    options = parser.parse_args()
    model = find_downscaler(options.model)
    options.made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    options.machine, options.sha256 = f"{cpu()}, {os.cpu_count()} cores", model.sha256
    console = Console(width=190, highlight=False)
    console.print(f"{options.made}, {options.machine}, load {os.getloadavg()[0]:.1f}; model {model.sha256[:12]}, "
                  f"{options.steps} steps, {options.members} members, seed {options.seed}")  # fmt: skip
    found: Row = {}
    if options.only in (None, "table"):
        found["rows"] = print_tables(model, options, console)
    if options.only in (None, "walk"):
        found["walk"] = print_walk(model, options, console)
    if options.only in (None, "checks"):
        found["checks"] = print_checks(model, options, console)
    if found:
        write(options, found)
    if options.figure:
        field = next(each for each in held_out_fields(options.data, options.fields) if each.cropped(options.factors[0]))
        options.members = 2
        draw(field.name, generate(model, field, options.factors[0], options), options.factors[0], options.figure)


if __name__ == "__main__":
    main()
