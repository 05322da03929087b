"""``adiabat compare --climatebenchpress``: fields of the user's files in that benchmark's terms."""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import progress_bar
from adiabat.formats.errors import RequestError

if TYPE_CHECKING:
    import xarray as xr

    from adiabat.formats.climatebenchpress import Scored
    from adiabat.formats.peers import Peer

__all__ = ["score"]

HEADS = (
    ("ratio", "ratio"), ("mae", "MAE"), ("max_abs_error", "Max Abs"), ("max_rel_error", "Max Rel"), ("psnr", "PSNR"),
    ("dssim", "DSSIM"), ("spectral_error", "Spectral"), ("r2", "R^2"), ("spatial_relative_error", "Spatial Rel"),
    ("satisfies_bound", "Satisfies Bound"),
)  # fmt: skip
WIDE = 125  # columns of a terminal that has room for all of them
FEW = ("ratio", "mae", "max_abs_error", "psnr", "dssim", "satisfies_bound")


def score(
    files: Sequence[str],
    variable: str | None,
    select: str | None,
    group: str | None,
    peers: str | list[str],
    *,
    whole: bool,
    json: Path | None,
    csv: Path | None,
) -> None:
    """Score each file's variables, print a table for each bound, write what was asked for."""
    from adiabat.formats.compare import as_field, wanted_peers
    from adiabat.formats.compare_field import ComparedField
    from adiabat.formats.comparison import absences, finite

    rows: list[Scored] = []
    absent: dict[str, str] = {}
    for file in files:
        for name in _variables(file, variable, group):
            with _field(file, name, select, group, whole=whole) as (array, notes):
                values, said = ComparedField(array, tuple(notes)).values()
                described = array
            for note in said:
                err.print(f"{file}: {note}", emoji=False)
            x = as_field(values)
            there, missing = wanted_peers(peers, x.size)
            absent |= missing
            rows += _score_one(file, described, x, there)
    for why in absences(absent):
        out.print(f"not compared: {why}", emoji=False)
    if json is not None:
        json.write_text(json_module.dumps(finite([each.as_dict() for each in rows]), indent=1) + "\n", encoding="utf-8")
    if csv is not None:
        csv.write_text(_csv(rows), encoding="utf-8")
    for path in filter(None, (json, csv)):
        err.print(f"written: {path}", emoji=False)


def _field(file: str, name: str, select: str | None, group: str | None, *, whole: bool) -> Any:
    from adiabat.formats.cli_compare import field_of

    return field_of([file], name, select, group, whole=whole)


def _variables(file: str, variable: str | None, group: str | None) -> list[str]:
    """What is asked for, or else those of the benchmark's variables that the file has."""
    from adiabat.formats.climatebenchpress import PUBLISHED, find_published
    from adiabat.formats.compare_field import choose_variable, opened

    if variable is not None:
        return [variable]
    with opened([file], group) as (datasets, _):
        found = [
            f"{path.strip('/')}/{name}".strip("/")
            for path, dataset in datasets.items()
            for name, array in dataset.data_vars.items()
            if array.dtype.kind == "f" and array.ndim >= 2 and find_published(array) is not None
        ]
        if found:
            return found
        name = choose_variable(datasets)[1]
    known = ", ".join(each.name for each in PUBLISHED)
    err.print(f"{file}: has none of {known} with units, so {name} is scored: --variable chooses another", emoji=False)
    return [name]


def _score_one(file: str, array: xr.DataArray, x: Any, peers: dict[str, Peer]) -> list[Scored]:
    from adiabat.formats.climatebenchpress import CODECS, bounds_of, score_field

    bounds, told = bounds_of(array, x)
    total = x.size * len(bounds) * (len(CODECS) + len(peers))
    with progress_bar(err, "scoring", total) as advance:
        rows = list(score_field(array, x, peers, file=file, progress=advance))
    shape = " x ".join(map(str, x.shape))
    out.print(f"{file}: {array.name}, {shape}", emoji=False)
    out.print(f"bounds from {told}", emoji=False)
    for asked in dict.fromkeys(each.row.asked for each in rows):
        _print(asked, str(array.attrs.get("units", "")), [each for each in rows if each.row.asked == asked])
    return rows


def _print(asked: str, units: str, rows: Sequence[Scored]) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column(Text(f"{asked} {units}".strip() if asked.startswith("abs") else asked), no_wrap=True)
    heads = [(key, head) for key, head in HEADS if out.width >= WIDE or key in FEW]
    for _, head in heads:
        table.add_column(head, justify="right")
    for each in sorted(rows, key=lambda each: -(each.row.ratio or 0)):
        if each.scores is not None:
            figures = {"ratio": each.row.ratio, **each.scores.as_dict()}
            name = f"adiabat {each.row.codec}" if each.row.ours else each.row.codec
            style = "bold" if each.row.ours else None
            table.add_row(name, *(_cell(key, figures[key]) for key, _ in heads), style=style)
    out.print(table)
    for each in rows:
        if each.scores is None:
            out.print(f"{each.row.codec}: {each.row.problem}", emoji=False)
    out.print("")


def _cell(key: str, value: float | bool | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.2f}" if key == "ratio" else f"{value:.7g}" if key in ("dssim", "r2") else f"{value:.4g}"


def _csv(rows: Sequence[Scored]) -> str:
    if not rows:
        raise RequestError("nothing was scored")
    stream = io.StringIO()
    names = list(dict.fromkeys(key for each in rows for key in each.as_dict()))
    writer = csv_module.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(each.as_dict() for each in rows)
    return stream.getvalue()
