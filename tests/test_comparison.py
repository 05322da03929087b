"""`Comparison`: order, advice, JSON, CSV, the table, the picture."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from rich.console import Console

from adiabat.formats.comparison import ERROR, RMSE, Comparison, Row
from adiabat.formats.comparison_table import question_table


def row(codec, ratio, asked="abs:1", *, equal=ERROR, kept=True, speed=10.0, error=1.0):
    ours = codec in ("pyramid", "hyperprior")
    return Row(
        codec, ours, asked, equal, 100, ratio, 32 / ratio, error, error / 2, error, kept, "frames", "x", speed, speed
    )


def advice(*rows):
    return Comparison(rows, (4, 5)).advice()


def test_advice_names_the_best_and_by_how_much():
    assert advice(row("pyramid", 20.0), row("sz3", 10.0, speed=100.0), row("zfp", 5.0)) == (
        "Use adiabat (pyramid) at abs:1: 2 times the ratio of sz3, but it takes 10 times as long to encode."
    )
    assert advice(row("pyramid", 10.0), row("sz3", 15.0)) == (
        "Use sz3 at abs:1: 1.5 times the ratio of adiabat (pyramid), and it is about as fast."
    )


def test_advice_leaves_out_what_broke_its_bound():
    assert "sz3" not in advice(row("pyramid", 20.0), row("sz3", 30.0, kept=False), row("zfp", 5.0))
    assert advice(row("sz3", 9.0, kept=False)) == "Use nothing here at abs:1, where none kept what was asked."
    assert advice(row("zfp", 9.0)) == "Use zfp at abs:1: nothing else kept what was asked."
    assert advice() == "There is nothing to choose from."


def test_advice_of_nearly_equal_ratios_is_the_faster():
    told = advice(row("pyramid", 10.1), row("sz3", 10.0, speed=100.0))
    assert told.startswith("Use sz3 at abs:1: 0.99 times the ratio of adiabat (pyramid), and it encodes 10 times")


def test_advice_joins_questions_with_one_answer():
    told = advice(
        row("pyramid", 20.0), row("sz3", 10.0),
        row("pyramid", 30.0, "abs:2"), row("jpegxl", 10.0, "abs:2"),
        row("hyperprior", 10.0, "rmse:1", equal=RMSE), row("sperr", 20.0, "rmse:1", equal=RMSE),
    )  # fmt: skip
    assert told == (
        "Use adiabat (pyramid) at abs:1 and abs:2: 2 to 3 times the ratio of sz3 and jpegxl, and it is about as fast; "
        "sperr at rmse:1: 2 times the ratio of adiabat (hyperprior), and it is about as fast."
    )


def test_order_and_gain():
    failed = Row("vq", True, "abs:1", ERROR, problem="no")
    found = Comparison((failed, row("sz3", 50.0, kept=False), row("zfp", 5.0), row("pyramid", 7.0)), (4, 5))
    (rows,) = found.questions().values()
    assert [each.codec for each in rows] == ["pyramid", "zfp", "sz3", "vq"]
    assert found.gain(rows) == pytest.approx(1.4)
    assert found.gain([failed]) is None


def test_json_and_csv_hold_every_row():
    found = Comparison(
        (row("sz3", 2.0, error=math.inf), row("pyramid", 3.0)), (4, 5), name="t", units="K", notes=("n",)
    )
    read = json.loads(found.to_json(), parse_constant=lambda text: pytest.fail(text))
    assert read["rows"][0]["max_error"] is None
    assert read["rows"][1]["ratio"] == 3.0
    assert (read["name"], read["units"], read["notes"], read["shape"]) == ("t", "K", ["n"], [4, 5])
    assert read["advice"] == found.advice()
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [(line["variable"], line["codec"], float(line["ratio"])) for line in lines] == [
        ("t", "sz3", 2.0), ("t", "pyramid", 3.0),
    ]  # fmt: skip


def shown(table, width):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def test_table_says_what_is_broken_and_fits_80_columns():
    rows = [row("pyramid", 1234.5, error=0.001234567), row("bitround+zstd", 9.0, kept=False, error=53.29)]
    title, table = question_table(ERROR, "abs:1", rows, "K", narrow=True)
    assert title == "abs:1 K: equal largest error"
    text = shown(table, 80)
    assert "adiabat pyramid" in text
    assert "bitround+zstd BROKEN" in text
    assert "1234.5" in text
    assert "53.2900" in text
    assert "…" not in text
    assert "frames, x" in shown(question_table(ERROR, "abs:1", rows)[1], 120)
    assert question_table(RMSE, "ratio:100", rows)[0] == "ratio:100: the lowest RMSE that peers reach at this ratio"


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_picture_is_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    from adiabat.formats.comparison_plot import draw

    rows = [row(name, 40.0 / error, f"abs:{error}", error=error) for name in ("pyramid", "sz3") for error in (0.1, 1.0)]
    rows += [row("sperr", 3.0, kept=False), row("hyperprior", 100.0, "rmse:1", equal=RMSE), row("zfp", 4.0, error=0.0)]
    path = tmp_path / f"out.{suffix}"
    draw(Comparison(tuple(rows), (4, 5), name="t", units="K"), path)
    data = path.read_bytes()
    assert len(data) > 5000
    if suffix == "svg":
        assert all(name in data.decode() for name in ("adiabat", "largest", "ratio")) or b"<path" in data


def test_picture_of_one_point_or_none(tmp_path):
    pytest.importorskip("matplotlib")
    from adiabat.formats.comparison_plot import draw

    draw(Comparison((row("sz3", 3.0),), (4, 5)), tmp_path / "one.png")
    draw(Comparison((row("sz3", 3.0, error=0.0),), (4, 5)), tmp_path / "none.png")
    assert (tmp_path / "none.png").stat().st_size > 1000


def test_who_is_absent_is_said_once_for_each_cure():
    absent = {
        "sz3": "sz3 needs pysz: pip install 'adiabat[peers]'",
        "zfp": "zfp needs zfpy: pip install 'adiabat[peers]'",
        "ebcc": "ebcc needs x: pip install x",
        "tthresh": "tthresh is slow, and left out of fields of more than 300,000 values unless it is named",
    }
    row = Row("pyramid", True, "abs:1", ERROR, size=9, ratio=10.0, kept=True, encode_mb_s=5.0)
    found = Comparison((row,), (4, 5), absent)
    assert found.absences() == [
        "sz3 and zfp: pip install 'adiabat[peers]'",
        absent["ebcc"],
        absent["tthresh"],
    ]
    assert found.advice() == "Use adiabat (pyramid) at abs:1: nothing else kept what was asked; not compared: sz3."
