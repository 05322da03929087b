"""A comparison in the terminal: one table for each question, the best first.

Stage: evaluation, what ``adiabat compare`` prints.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from adiabat.formats.comparison import ERROR, Row

__all__ = ["question_table"]


def question_table(
    equal: str, asked: str, rows: Sequence[Row], units: str = "", *, narrow: bool = False
) -> tuple[str, Table]:
    """Title and table.

    Parameters
    ----------
    equal : str
        `comparison.ERROR` or `comparison.RMSE`.
    asked : str
        The bound or target.
    rows : sequence of Row
        In the order in which they are to stand; those without a result are left out.
    units : str
        Of the variable.
    narrow : bool
        Leave out how each was asked.

    Examples
    --------
    >>> title, table = question_table(ERROR, "abs:0.1", [Row("sz3", False, "abs:0.1", ERROR, 9)], "K")
    >>> title, table.row_count
    ('abs:0.1 K: equal largest error', 1)
    """
    unit = f" {units}" if units and asked.partition(":")[0] in ("abs", "rmse") else ""
    what = {"lossless": "every bit kept", "ratio": "the lowest RMSE that peers reach at this ratio"}
    title = (
        f"{asked}{unit}: {what.get(asked.partition(':')[0], 'equal largest error' if equal == ERROR else 'equal RMSE')}"
    )
    table = Table(box=None, header_style="bold")
    table.add_column("codec", no_wrap=True)
    share = "of bound" if equal == ERROR else "of target"
    for name in ("ratio", "max error", share, "RMSE", "encode MB/s", "decode"):
        table.add_column(name, justify="right")
    if not narrow:
        table.add_column("how", overflow="fold")
    for row in rows:
        if row.size is not None:
            table.add_row(*_cells(row)[: len(table.columns)], style="bold" if row.ours else None)
    return title, table


def _cells(row: Row) -> list[str]:
    name = f"adiabat {row.codec}" if row.ours else row.codec
    figures = [
        _number(row.ratio, ".1f" if (row.ratio or 0) >= 10 else ".2f"), _number(row.max_error, ".3g"),
        _number(row.of_target, ".4f"), _number(row.rmse, ".3g"), _speed(row.encode_mb_s), _speed(row.decode_mb_s),
    ]  # fmt: skip
    how = ", ".join(filter(None, (row.layout, row.mode)))
    return [name if row.kept else f"{name} BROKEN", *figures, how]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _speed(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
