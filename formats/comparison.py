"""What a comparison found: a row for each codec and question, as JSON, as CSV, and what follows from it in a sentence.

Stage: evaluation, made by `compare`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["ERROR", "RMSE", "Comparison", "Row"]

ERROR, RMSE = "error", "rmse"  # what is equal
STRONG = ("sz3", "sperr", "jpegxl", "jpeg2000")  # peers without which a comparison says little
CLOSE = 1.02  # ratios nearer to each other than this are called equal


@dataclass(frozen=True)
class Row:
    """One codec's answer to one question.

    Parameters
    ----------
    codec : str
    ours : bool
        Whether it is adiabat's.
    asked : str
        A bound (``abs:0.1``) or a target (``rmse:0.05``, ``ratio:100``).
    equal : str
        `ERROR` or `RMSE`: what all codecs of the question have in common.
    size : int or None
        All bytes, those of masks included; None where there is no result.
    ratio, bits : float or None
        Bytes of the float32 array over `size`; bits per value.
    max_error, rmse : float or None
        Absolute, in float64, over all values that are not missing.
    of_target : float or None
        Largest error over the bound, or RMSE over the target.
    kept : bool or None
        Whether the bound holds (a peer's to 1 ppm, adiabat's exactly) or the target is met.
    layout, mode : str
        What was best: how the array was given, and how the codec was asked.
    encode_mb_s, decode_mb_s : float or None
        MB of float32 a second, of one run.
    problem : str or None
        Why there is no result.
    """

    codec: str
    ours: bool
    asked: str
    equal: str
    size: int | None = None
    ratio: float | None = None
    bits: float | None = None
    max_error: float | None = None
    rmse: float | None = None
    of_target: float | None = None
    kept: bool | None = None
    layout: str = ""
    mode: str = ""
    encode_mb_s: float | None = None
    decode_mb_s: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Comparison:
    """All rows, and what was compared.

    Parameters
    ----------
    rows : tuple of Row
        Question by question.
    shape : tuple of int
    absent : mapping of str to str
        Peers that could not be used, and why.
    versions : mapping of str to str
    name, units : str
        Of the variable.
    notes : tuple of str
        Sentences on what was read, sampled and filled.
    """

    rows: tuple[Row, ...]
    shape: tuple[int, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    units: str = ""
    notes: tuple[str, ...] = ()

    def questions(self) -> dict[tuple[str, str], list[Row]]:
        """Rows by what is equal and what was asked: the best first, then what broke its bound, then what failed."""
        out: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            out.setdefault((row.equal, row.asked), []).append(row)
        return {key: sorted(rows, key=_order) for key, rows in out.items()}

    def gain(self, rows: Iterable[Row]) -> float | None:
        """Ratio of adiabat's best over that of the best peer, among those that kept what was asked."""
        ours, theirs = _best(rows, ours=True), _best(rows, ours=False)
        return None if ours is None or theirs is None else _ratio(ours) / _ratio(theirs)

    def advice(self) -> str:
        """Which one to use, for every question, in one sentence.

        Examples
        --------
        >>> rows = tuple(
        ...     Row(name, name == "pyramid", "abs:1", ERROR, size=9, ratio=ratio, kept=True, encode_mb_s=speed)
        ...     for name, ratio, speed in (("pyramid", 10.0, 5.0), ("sz3", 12.5, 500.0), ("zfp", 4.0, 300.0))
        ... )
        >>> Comparison(rows, (4, 5)).advice()
        'Use sz3 at abs:1: 1.25 times the ratio of adiabat (pyramid), and it encodes 100 times as fast.'
        """
        verdicts: dict[str, list[_Verdict]] = {}
        nothing = []
        for (_, asked), rows in self.questions().items():
            verdict = _judge(asked, rows)
            if verdict is None:
                nothing.append(asked)
            else:
                verdicts.setdefault(verdict.use, []).append(verdict)
        clauses = [_clause(use, each) for use, each in verdicts.items()]
        if nothing:
            clauses.append(f"nothing here at {_listed(nothing)}, where none kept what was asked")
        if not clauses:
            return "There is nothing to choose from."
        missing = [name for name in STRONG if name in self.absent]
        return f"Use {'; '.join(clauses)}{f'; not compared: {_listed(missing)}' if missing else ''}."

    def absences(self) -> list[str]:
        """Sentences on who could not be compared: one for all whom the same command installs."""
        return absences(self.absent)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows], "advice": self.advice()}

    def to_json(self) -> str:
        """All that is known, indented; what is not finite is null."""
        return json.dumps(finite(self.as_dict()), indent=1) + "\n"

    def to_csv(self) -> str:
        """One line for each row, with a head."""
        out = io.StringIO()
        names = [each.name for each in fields(Row)]
        writer = csv.DictWriter(out, ["variable", *names], lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({"variable": self.name, **asdict(row)})
        return out.getvalue()


@dataclass(frozen=True)
class _Verdict:
    """Who is best at one question: the better of adiabat and the peers, and the best of the others."""

    asked: str
    use: str
    instead: str = ""
    times: float = 1.0  # ratios
    speed: float = 1.0  # of encoding


def _judge(asked: str, rows: list[Row]) -> _Verdict | None:
    """Ratios decide; of ratios that are nearly equal, speed."""
    ours, theirs = _best(rows, ours=True), _best(rows, ours=False)
    if ours is None or theirs is None:
        only = ours or theirs
        return None if only is None else _Verdict(asked, _named(only))
    use, other = sorted((ours, theirs), key=_ratio, reverse=True)
    if _ratio(use) < CLOSE * _ratio(other) and (use.encode_mb_s or 0) < (other.encode_mb_s or 0):
        use, other = other, use
    speed = (use.encode_mb_s or 1.0) / (other.encode_mb_s or 1.0)
    return _Verdict(asked, _named(use), _named(other), _ratio(use) / _ratio(other), speed)


def _clause(use: str, verdicts: list[_Verdict]) -> str:
    """One choice, wherever it is the best, and by how much."""
    clause = f"{use} at {_listed([each.asked for each in verdicts])}"
    against = [each for each in verdicts if each.instead]
    if not against:
        return f"{clause}: nothing else kept what was asked"
    others = _listed(list(dict.fromkeys(each.instead for each in against)))
    times, speeds = sorted(each.times for each in against), sorted(each.speed for each in against)
    return f"{clause}: {_span(times)} times the ratio of {others}{_speed(speeds)}"


def _speed(speeds: list[float]) -> str:
    """How fast it encodes beside the others, in ascending order."""
    if speeds[0] > 1.25:
        return f", and it encodes {_span(speeds)} times as fast"
    if speeds[-1] < 0.8:
        return f", but it takes {_span([1 / each for each in reversed(speeds)])} times as long to encode"
    if speeds[0] >= 0.8 and speeds[-1] <= 1.25:
        return ", and it is about as fast"
    return f", encoding at {_span(speeds)} times the speed"


def _span(sizes: list[float]) -> str:
    """The first and the last, unless they read the same."""
    first, last = (
        f"{size:.2g}" if size < 0.1 else f"{size:.3g}" if size < 10 else f"{size:.0f}" for size in (sizes[0], sizes[-1])
    )
    return first if first == last else f"{first} to {last}"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _named(row: Row) -> str:
    return f"adiabat ({row.codec})" if row.ours else row.codec


def _ratio(row: Row) -> float:
    return row.ratio or 0.0


def _best(rows: Iterable[Row], *, ours: bool) -> Row | None:
    kept = [row for row in rows if row.kept and row.ours is ours]
    return max(kept, key=_ratio, default=None)


def _order(row: Row) -> tuple[int, float]:
    return (0 if row.kept else 1 if row.size is not None else 2), -_ratio(row)


def absences(absent: Mapping[str, str]) -> list[str]:
    """Sentences on peers that are absent, and why: one for all whom the same command installs."""
    cures: dict[str, list[str]] = {}
    for name, why in absent.items():
        head, _, cure = why.rpartition(": ")
        cures.setdefault(cure if head else why, []).append(name)
    return [f"{_listed(names)}: {cure}" if len(names) > 1 else absent[names[0]] for cure, names in cures.items()]


def finite(value: Any) -> Any:
    """The same with None for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
