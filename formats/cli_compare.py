"""The verb ``adiabat compare``: every codec of adiabat beside its peers, on the user's own data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import progress_bar
from adiabat.formats.errors import RequestError
from adiabat.formats.policy import Bound, format_bound, parse_bound

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from adiabat.formats.comparison import Comparison

WIDE = 100  # columns of a terminal in which all of a table is told
Output = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures there.")]


def compare(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="NetCDF, GRIB, Zarr or .npy; several are one series.")
    ],
    variable: Annotated[
        str | None, typer.Option(metavar="VAR", help="Which; the first float field if not given.")
    ] = None,
    bound: Annotated[
        list[str] | None,
        typer.Option(
            metavar="abs:0.1",
            help="abs:0.1, rel:0.01 or lossless for equal largest error; rmse:0.05 for equal RMSE; ratio:100 for the "
            "RMSE that JPEG 2000 or SPERR reach at that ratio. May be given many times. Without it: what is "
            "recommended for the variable, or 1, 0.1 and 0.01 % of its range.",
        ),
    ] = None,
    peers: Annotated[
        str, typer.Option(metavar="all|none|sz3,sperr,...", help="Compressors of others, as far as they are installed.")
    ] = "all",
    rmse: Annotated[
        bool,
        typer.Option(
            "--rmse", help="After each bound, compare everybody at the RMSE that adiabat's stream reached under it."
        ),
    ] = False,
    select: Annotated[
        str | None, typer.Option(metavar="time=0:24,level=3", help="A part of the field, by indices from 0.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The group inside FILE that holds the variable.")] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="Compare all values, not a sample of at most 16 million.")
    ] = False,
    climatebenchpress: Annotated[
        bool,
        typer.Option(
            "--climatebenchpress",
            help="In that benchmark's terms: its variables in each FILE, its bounds, its metrics.",
        ),
    ] = False,
    json: Output = None,
    csv: Output = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw bits per value against largest error and RMSE.")
    ] = None,
) -> None:
    """Compress a field of FILE with every codec of adiabat and every peer that is installed, and say which to use.

    Everybody is decoded and checked: peers must keep their bound to 1 ppm, adiabat exactly. Ratios are bytes of float32
    over all bytes; peers have their best mode and layout, adiabat the whole field as one chunk with its defaults.
    """
    for path in (json, csv, plot):
        if path is not None and not path.parent.is_dir():
            raise RequestError(f"there is no folder {path.parent} to write {path.name} into")
    if plot is not None:
        _check_matplotlib()
    chosen = peers if peers in ("all", "none") else [name.strip() for name in peers.split(",") if name.strip()]
    if climatebenchpress:
        from adiabat.formats import cli_climatebenchpress

        if bound or rmse or plot is not None:
            raise RequestError("--climatebenchpress has its own bounds: leave out --bound, --rmse and --plot")
        cli_climatebenchpress.score(files, variable, select, group, chosen, whole=whole, json=json, csv=csv)
        return
    bounds = [parse_bound(text) for text in bound or ()]
    found = _compare(files, variable, select, group, bounds, chosen, whole=whole, rmse=rmse)
    _print(found)
    if json is not None:
        json.write_text(found.to_json(), encoding="utf-8")
    if csv is not None:
        csv.write_text(found.to_csv(), encoding="utf-8")
    if plot is not None:
        from adiabat.formats.comparison_plot import draw

        draw(found, plot)
    for path in (json, csv, plot):
        if path is not None:
            err.print(f"written: {path}")


def _check_matplotlib() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise RequestError("--plot needs matplotlib: pip install 'adiabat[plot]'")


@contextmanager
def field_of(
    files: Sequence[str], variable: str | None, select: str | None, group: str | None, *, whole: bool
) -> Iterator[tuple[xr.DataArray, list[str]]]:
    """What is compared, not yet read, and notes on it."""
    from adiabat.formats.compare_field import choose_variable, opened, sampled, selected

    with opened(files, group) as (datasets, notes):
        array, name = choose_variable(datasets, variable)
        said = [f"note: {note}" for note in notes]
        if variable is None:
            said.append(f"{name} is compared: --variable chooses another")
        part = selected(array, select)
        part, more = (part, []) if whole else sampled(part)
        yield part.rename(name), [*said, *more]


def _compare(
    files: Sequence[str], variable: str | None, select: str | None, group: str | None, bounds: list[Bound],
    peers: str | list[str], *, whole: bool, rmse: bool,
) -> Comparison:  # fmt: skip
    from adiabat.formats import compare as comparing
    from adiabat.formats.compare_field import ComparedField

    with field_of(files, variable, select, group, whole=whole) as (array, notes):
        x, said = ComparedField(array, tuple(notes)).values()
        attributes = array.attrs
        if not bounds:
            bounds, why = _usual_bounds(array, x)
            said = (*said, why)
        name = str(array.name)
    for note in said:
        err.print(note, emoji=False)
    there, _ = comparing.wanted_peers(peers, x.size)
    total = comparing.count_steps(bounds, there, rmse=rmse) * x.size
    with progress_bar(err, "comparing", total) as advance:
        found = comparing.compare(x, bounds=bounds, peers=peers, rmse=rmse, progress=advance)
    return replace(found, name=name, units=str(attributes.get("units", "")), notes=said)


def _usual_bounds(array: xr.DataArray, x: NDArray[np.float32]) -> tuple[list[Bound], str]:
    """What is recommended for the variable, or shares of its range."""
    import numpy as np

    from adiabat.formats.policies import Policy

    rule = Policy.load("recommended").rules(array.to_dataset(name=str(array.name).rpartition("/")[2]))
    for each in rule.values():
        if isinstance(each.bound, dict) and {"abs", "rel"} & set(each.bound):
            return [each.bound], f"bound {format_bound(each.bound)}, as is recommended for it: --bound sets another"
    known = x[np.isfinite(x)]
    span = float(np.float64(known.max()) - known.min())
    if not span:
        return ["lossless"], "the field is constant, so it is compared without loss"
    bounds: list[Bound] = [{"abs": float(f"{span * share:.1g}")} for share in (1e-2, 1e-3, 1e-4)]
    return bounds, "bounds of about 1, 0.1 and 0.01 % of the range: --bound sets others"


def _print(found: Comparison) -> None:
    from adiabat.formats.comparison_table import question_table

    for (equal, asked), rows in found.questions().items():
        title, table = question_table(equal, asked, rows, found.units, narrow=out.width < WIDE)
        out.print(title, emoji=False)
        out.print(table)
        for row in rows:
            if row.size is None:
                out.print(f"no {row.codec}: {row.problem}", emoji=False)
        gain = found.gain(rows)
        if gain is not None:
            out.print(f"adiabat's best ratio over the best peer's: {gain:.3f}")
        out.print("")
    for why in found.absences():
        out.print(f"not compared: {why}", emoji=False)
    out.print(f"Which one? {found.advice()}", emoji=False)
