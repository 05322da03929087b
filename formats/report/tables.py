"""The tables of the page, in words: summary, facts, scores, differences, extremes, bytes by section.

Stage: facts -> **tables** -> page. Rows of text; the template lays them out and escapes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from adiabat.formats.benchmark_scores import LABELS
from adiabat.formats.extremes import Extreme
from adiabat.formats.policy import is_target
from adiabat.formats.report.axes import place_of
from adiabat.formats.report.collect import CHUNK_FILES
from adiabat.formats.report.facts import ReportFacts, VariableFacts
from adiabat.formats.report.words import bound_words, bytes_words, count, number, percent

__all__ = ["Table", "downstream_table", "exact_table", "summary_table", "tables_of", "verdict_of"]


@dataclass(frozen=True)
class Table:
    """A caption, heads of columns, rows of which the first cell is a head, and whether the others are numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    links: tuple[str, ...] = ()  # of the rows' heads
    states: tuple[str, ...] = ()  # of the rows: "kept", "broken" or "none"


def state_of(facts: VariableFacts) -> tuple[str, str]:
    """A class and a word: whether the sample keeps what was promised."""
    if facts.problem:
        broken = facts.errors is not None or facts.pair.stored is not None or "missing" in facts.problem
        return ("broken", "breaks") if broken else ("none", "not compared")
    if not facts.sampled:
        return "none", "empty"
    if not facts.pair.is_field:
        return "kept", "equal"
    return ("none", "no bound") if is_target(facts.bound) else ("kept", "keeps")


def verdict_of(facts: ReportFacts) -> tuple[str, str]:
    """A class and the sentence at the top of the page; of the sample, and of no more."""
    every = (*facts.variables, *facts.coordinates)
    broken = [each for each in every if state_of(each)[0] == "broken"]
    if broken:
        names = ", ".join(each.name for each in broken[:8]) + (f" and {len(broken) - 8} more" if broken[8:] else "")
        of = f"{len(broken)} of {len(every)} variables and coordinates"
        return "broken", f"{of} {'breaks' if len(broken) == 1 else 'break'} what was promised: {names}."
    lossy = [each for each in facts.variables if each.pair.is_field and each.sampled]
    free = [each for each in lossy if is_target(each.bound)]
    free += [each for each in facts.variables if each.pair.stored is None]
    bounded = [each for each in lossy if not is_target(each.bound)]
    beside = ""
    if free:
        beside = f" {len(free)} {'variable has' if len(free) == 1 else 'variables have'} no bound."
    if bounded:
        return "kept", "Every value sampled keeps its bound." + beside
    if free:
        return "none", beside.strip()
    return "kept", "Every value sampled equals the source."


def summary_table(facts: ReportFacts, anchors: dict[str, str]) -> Table:
    """One row for each variable that may differ, or that something is wrong with."""
    rows, links, states = [], [], []
    for each in facts.variables:
        if not each.pair.is_field and not each.problem:
            continue
        state, word = state_of(each)
        rows.append(
            (each.name, word, _bound(each), _largest(each), _used(each), _rmse(each), number(each.ratio),
             bytes_words(each.written_bytes), _looked(each))
        )  # fmt: skip
        links.append(anchors.get(each.name, ""))
        states.append(state)
    heads = ("variable", "sample", "bound", "largest error", "of the bound", "RMSE", "ratio", "bytes", "looked at")
    note = "Ratio: bytes of the array as float32 over all bytes written for it."
    return Table("Variables stored with an error", heads, tuple(rows), note, tuple(links), tuple(states))


def exact_table(facts: ReportFacts) -> Table:
    """What is kept bit for bit, and was found so."""
    rows = tuple(
        (each.name, str(each.pair.source.dtype), _shape(each), number(each.ratio), bytes_words(each.written_bytes),
         _looked(each))
        for each in facts.variables
        if not each.pair.is_field and not each.problem
    )  # fmt: skip
    heads = ("variable", "type", "shape", "ratio", "bytes", "looked at")
    return Table("Variables kept exactly: all values looked at are equal", heads, rows)


def downstream_table(facts: ReportFacts) -> Table:
    """What users derive, of both sides."""
    rows = tuple(
        (each.name, ", ".join(each.of), *(f"{number(x, 4)} {each.unit}" for x in (each.size, each.error, each.largest)),
         each.told)
        for each in facts.downstream
    )  # fmt: skip
    heads = ("derived", "from", "size in the source", "RMSE", "largest difference", "in words")
    return Table("What users derive, from source and store", heads, rows, "From samples of their own.")


def tables_of(facts: VariableFacts) -> list[Table]:
    """The tables of one variable."""
    made = (facts_table(facts), scores_table(facts), roughness_table(facts), extremes_table(facts), bytes_table(facts))
    return [table for table in made if table is not None and table.rows]


def facts_table(facts: VariableFacts) -> Table:
    """Bound, errors and bytes."""
    rows = [("bound", _bound(facts)), ("looked at", f"{count(facts.sampled)} of {count(facts.values)} values")]
    errors = facts.errors
    if errors is not None and facts.sampled:
        rows += [("largest error in the sample", _largest(facts))]
        if errors.worst_index is not None:
            place = place_of(facts.pair.source, errors.worst_index) or "the only value"
            pair = " became ".join(number(value, 7) for value in errors.worst_values)
            where = "place of the largest" if not errors.limit or not errors.used else "place where most is used"
            rows += [(where, f"{place}: {pair}")]
        rows += [("part of the bound used", _used(facts))] if errors.limit and math.isfinite(errors.limit) else []
        rows += [("RMSE, mean absolute error", f"{_rmse(facts)}, {_mean(facts)}")]
    noted = facts.noted.get("of_bound")
    if noted is not None and facts.noted.get("max_error") is not None:
        rows += [("largest error noted when written, of all values", _in_units(facts, facts.noted["max_error"]))]
    if facts.range is not None:
        source, stored = (f"{number(a, 6)} to {number(b, 6)}" for a, b in (facts.range.source, facts.range.stored))
        rows += [("range of the source, decoded", f"{source}; {stored} {facts.units}".rstrip())]
        if facts.range.missing:
            rows += [("missing values in the sample", count(facts.range.missing))]
        if facts.range.negative[0] != facts.range.negative[1]:
            rows += [("values below zero: source, decoded", "{:,}, {:,}".format(*facts.range.negative))]
    rows += [("shape, type", f"{_shape(facts)}, {facts.pair.source.dtype}")]
    if facts.row is not None:
        chunks = " x ".join(map(str, facts.row.chunks))
        rows += [("codec", facts.row.codec), ("chunks", f"{chunks}, {_files(facts.row.stored)}")]
    rows += [("bytes, ratio", f"{bytes_words(facts.written_bytes)}, {number(facts.ratio)}")]
    return Table("Bound, error and bytes", ("fact", "value"), tuple(rows))


def scores_table(facts: VariableFacts) -> Table | None:
    """The scores of ClimateBenchPress."""
    found = facts.scores
    if found is None:
        return None
    units = {"mae": facts.units, "max_abs_error": facts.units, "rmse": facts.units, "psnr": "dB"}
    rows = []
    for name, value in found.scores.as_dict().items():
        if isinstance(value, bool) or value is None:
            said = {True: "yes", False: "no", None: "no bound"}[value]
        elif name in ("r2", "dssim"):
            said = _near_one(value)
        else:
            said = f"{number(value, 4)} {units.get(name, '')}".rstrip()
        rows.append((LABELS.get(name, name), said))
    frames = f"{found.frames} frames of the sample" if found.frames > 1 else "one frame"
    note = "Unweighted, by the definitions of that benchmark."
    return Table(f"Scores of ClimateBenchPress, of {frames}", ("score", "value"), tuple(rows), note)


def roughness_table(facts: VariableFacts) -> Table | None:
    """Differences of neighbours: in space the gradient, in time the tendency."""
    rows = []
    for each in facts.roughness:
        dim = str(facts.pair.source.dims[each.axis])
        kind = "in time" if each.axis == facts.axes.time else "gradient"
        sizes = _sized(facts, each.source, 4), _sized(facts, each.error, 4)
        rows.append(
            (f"{dim} ({kind})", *sizes, percent(each.ratio) if math.isfinite(each.ratio) else "none", count(each.pairs))
        )
    heads = ("from one to the next along", "RMS in the source", "RMS of the error", "share", "pairs")
    return Table("Error of gradients and of changes in time", heads, tuple(rows)) if rows else None


def extremes_table(facts: VariableFacts) -> Table | None:
    """Highest and lowest places of the frame on the map."""
    rows = []
    for kind, name in (("max", "highest"), ("min", "lowest")):
        for rank, each in enumerate(facts.extremes.get(kind, ()), 1):
            rows.append((f"{name} {rank}", *_extreme(each)))
    heads = ("extreme", "place in the source", "source", "decoded", "difference", "moved by")
    return Table("Extremes of the frame on the map, at least 500 km apart", heads, tuple(rows)) if rows else None


def _extreme(found: Extreme) -> tuple[str, ...]:
    latitude, longitude = found.place
    place = f"{abs(latitude):.2f} {'S' if latitude < 0 else 'N'}, {longitude % 360:.2f} E"
    values = number(found.value, 7), number(found.decoded_value, 7), number(found.difference)
    return place, *values, f"{found.distance_km:.0f} km"


def bytes_table(facts: VariableFacts) -> Table | None:
    """Where the bytes of the streams went."""
    row = facts.row
    if row is None or not row.streams.count:
        return None
    total = sum(row.streams.sections.values())
    rows = tuple(
        (name, bytes_words(size), percent(size / total))
        for name, size in sorted(row.streams.sections.items(), key=lambda item: -item[1])
        if size
    )
    paths = ", ".join(f"{name} {number}" for name, number in row.streams.paths.most_common())
    seen = _files(row.stored) if row.stored <= CHUNK_FILES else f"{CHUNK_FILES} of {_files(row.stored)} at most"
    note = f"Streams of {seen}, by path: {paths}."
    return Table("Bytes by section of the streams", ("section", "bytes", "share"), rows, note)


def _files(number_: int) -> str:
    return "1 file" if number_ == 1 else f"{count(number_)} files"


def _bound(facts: VariableFacts) -> str:
    if facts.pair.stored is None and facts.bound == "none":
        return "none"
    return bound_words(facts.bound, facts.units, tuple(map(str, facts.pair.source.dims)))


def _largest(facts: VariableFacts) -> str:
    errors = facts.errors
    if errors is None or not facts.sampled:
        return "none"
    return _in_units(facts, errors.max_error)


def _in_units(facts: VariableFacts, error: float) -> str:
    """An error in what the bound counts in."""
    if isinstance(facts.bound, dict) and "rel" in facts.bound:
        return f"{number(100 * error, 4)} %"
    if isinstance(facts.bound, dict) and "noise" in facts.bound:
        return f"{number(error, 4)} of the noise"
    return _sized(facts, error, 4)


def _used(facts: VariableFacts) -> str:
    errors = facts.errors
    if errors is None or not facts.sampled or not errors.limit or not math.isfinite(errors.limit):
        return "none"
    return "infinite" if math.isinf(errors.used) else f"{100 * errors.used:.4g} %"


def _rmse(facts: VariableFacts) -> str:
    return "none" if facts.errors is None or not facts.sampled else _sized(facts, facts.errors.rmse)


def _mean(facts: VariableFacts) -> str:
    errors = facts.errors
    if errors is None or not errors.compared:
        return "none"
    return _sized(facts, errors.sum_of_errors / errors.compared)


def _sized(facts: VariableFacts, value: float, digits: int = 3) -> str:
    return f"{number(value, digits)} {facts.units}".rstrip()


def _looked(facts: VariableFacts) -> str:
    return "all" if facts.sampled == facts.values else percent(facts.sampled / facts.values)


def _shape(facts: VariableFacts) -> str:
    return " x ".join(map(str, facts.axes.shape)) or "one value"


def _near_one(value: float) -> str:
    """Digits that tell it from 1."""
    return "none" if math.isnan(value) else f"{value:.7f}"
