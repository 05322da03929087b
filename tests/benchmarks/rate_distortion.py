"""Rate against distortion, from what `adiabat compare --json` wrote: the figure and the tables of the guide.

    adiabat compare T850.nc --variable temperature --bound abs:1 --bound abs:0.1 --bound rmse:0.1 --json compared.json
    python tests/benchmarks/rate_distortion.py compared.json --out spec/guide/rate_distortion.png

Prints, in Markdown, the ratio of each codec at each bound and each RMSE, and adiabat's best over the best peer's.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import small_png

from adiabat.formats.comparison import ERROR, Comparison, Row
from adiabat.formats.comparison_plot import draw


def main() -> None:
    """Read, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compared", type=Path, help="the JSON of `adiabat compare --json`")
    parser.add_argument("--out", type=Path, help="the PNG to write")
    options = parser.parse_args()
    found = read(json.loads(options.compared.read_text()))
    date = datetime.date.fromtimestamp(options.compared.stat().st_mtime)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    print(f"{found.name} {found.shape}, {date}, {platform.machine()}; {versions}\n")
    for equal, title in ((ERROR, "largest error"), ("rmse", "RMSE")):
        print("\n".join(table(found, equal, title)), end="\n\n")
    print(found.advice())
    if options.out is not None:
        with tempfile.TemporaryDirectory() as folder:
            draw(found, Path(folder) / "drawn.png")
            size = small_png.reduce(Path(folder) / "drawn.png", options.out, colours=128)
        print(f"{options.out}: {size / 1e3:.0f} kB")


def read(facts: dict[str, Any]) -> Comparison:
    """What `Comparison.to_json` wrote."""
    facts.pop("advice")
    rows = tuple(Row(**row) for row in facts.pop("rows"))
    return Comparison(rows, tuple(facts.pop("shape")), **{**facts, "notes": tuple(facts["notes"])})


def table(found: Comparison, equal: str, title: str) -> list[str]:
    """Ratios at one kind of question, a column for each codec."""
    asked = {name: rows for (kind, name), rows in found.questions().items() if kind == equal}
    codecs = list(dict.fromkeys(row.codec for row in found.rows if row.equal == equal and row.size is not None))
    ours = {row.codec for row in found.rows if row.ours}
    heads = [f"adiabat {name}" if name in ours else name for name in codecs]
    lines = [f"| equal {title} | {' | '.join(heads)} | gain |", "|---" * (len(codecs) + 2) + "|"]
    for name, rows in asked.items():
        by_codec = {row.codec: row for row in rows}
        gain = found.gain(rows)
        cells = [cell(by_codec.get(codec)) for codec in codecs]
        lines.append(f"| {name} | {' | '.join(cells)} | {'-' if gain is None else f'{gain:.3f}'} |")
    return lines


def cell(row: Row | None) -> str:
    """The ratio, and whether what was asked was kept."""
    if row is None or row.ratio is None:
        return "-"
    return f"{row.ratio:.4g}" if row.kept else f"{row.ratio:.4g} (broken)"


if __name__ == "__main__":
    main()
