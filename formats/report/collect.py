"""Look at a sample of every variable on both sides, and gather what the page says.

Stage: pairs, sampling, measures, scores -> **collect** -> facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import AdiabatError
from adiabat.formats.downstream import DownstreamCheck, downstream_checks
from adiabat.formats.errors import RequestError, first_line
from adiabat.formats.inventory import ArrayInventory, take_inventory
from adiabat.formats.metadata import CHILD
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.report.axes import Axes
from adiabat.formats.report.facts import Range, ReportFacts, VariableFacts
from adiabat.formats.report.measures import (
    Piece,
    error_histogram,
    error_profile,
    map_of,
    roughness,
    series_at,
)
from adiabat.formats.report.pairs import Group, Pair, allowed_errors, open_pairs
from adiabat.formats.report.sampling import VALUES, Box, choose_boxes
from adiabat.formats.report.scores import extremes_of, score_frames, spectrum_of
from adiabat.formats.sources import Source, find_source
from adiabat.formats.verify import problem_of, promises_of

__all__ = ["CHUNK_FILES", "collect_facts", "measure"]

Progress = Callable[[str, int], None]
CHUNK_FILES = 12  # read for the rate by section, of each array, at most
EXACT_VALUES = 1_000_000  # looked at of what is kept exactly
DERIVED_VALUES = 2_000_000  # read for one check of what users derive


def collect_facts(
    source: Source | str | Path | Sequence[str | Path],
    target: str | Path,
    *,
    group: str | None = None,
    values: int = VALUES,
    progress: Progress | None = None,
) -> ReportFacts:
    """Look at a sample of every variable of `source` and of the store made from it.

    Parameters
    ----------
    source : Source, path, str, or a sequence of paths
        As `adiabat.formats.verify.verify` takes it.
    target : path
        The store.
    group : str, optional
        The group of `source` that was compressed.
    values : int
        Looked at in whole frames of a variable, at most; windows through levels and times come on top.
    progress : callable, optional
        Called with a variable's name and 1, when it is done.

    Returns
    -------
    ReportFacts

    Raises
    ------
    RequestError
        If either cannot be opened, they do not belong together, or the store is a generated view.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> field = simulate_field((2, 37, 72))
    >>> field.to_netcdf("simulated.nc")
    >>> _ = compress(field, "simulated.zarr", default_bound={"abs": 0.1})
    >>> facts = collect_facts("simulated.nc", "simulated.zarr")
    >>> facts.variables[0].name, facts.problems, facts.variables[0].sampled == 2 * 37 * 72
    ('temperature', {}, True)
    """
    path = Path(target)
    found = source if isinstance(source, Source) else find_source(source, group=group)[0]
    with open_pairs(found, path) as groups:
        rows = _inventory(path)
        done = []
        for pair in (pair for each in groups for pair in each.pairs):
            done.append(measure(pair, rows, values))
            if progress is not None:
                progress(pair.name, 1)
        downstream = _downstream(groups)
    return ReportFacts(
        source=found.label,
        target=str(target),
        made=datetime.now(UTC),
        versions=_versions(),
        variables=tuple(each for each in done if not each.pair.coordinate),
        coordinates=tuple(each for each in done if each.pair.coordinate),
        values=sum(each.values for each in done),
        written_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        downstream=downstream,
    )


def _downstream(groups: Sequence[Group]) -> tuple[DownstreamCheck, ...]:
    """What users derive of the fields of each group."""
    found: list[DownstreamCheck] = []
    for group in groups:
        names = [pair.name.rpartition("/")[2] for pair in group.pairs if pair.is_field and not pair.coordinate]
        if names:
            found += downstream_checks(group.source[names], group.stored[names], most=DERIVED_VALUES)
    return tuple(found)


def _inventory(path: Path) -> dict[str, ArrayInventory]:
    """Arrays by name; without what their streams say of themselves where one is damaged."""
    try:
        rows = take_inventory(path, most_chunks=CHUNK_FILES)
    except AdiabatError:
        rows = take_inventory(path, most_chunks=0)
    return {row.name: row for row in rows}


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("adiabat", "numpy", "xarray", "zarr")}


def measure(pair: Pair, rows: Mapping[str, ArrayInventory], values: int) -> VariableFacts:
    """Look at one variable; what cannot be read is said of it, and the others go on."""
    axes, size = Axes.of(pair.source), pair.source.size
    row, written = _bytes_of(pair.name, rows)
    plain = VariableFacts(pair, axes, size, 0, pair.problem, None, row, written)
    if pair.stored is None:
        return plain
    try:
        if pair.source.dtype.kind not in "fiub" or not pair.is_field:
            return _compare_exactly(plain)
        return _measure_field(plain, values)
    except (AdiabatError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        return VariableFacts(pair, axes, size, 0, f"cannot be read: {first_line(error)}", None, row, written)


def _bytes_of(name: str, rows: Mapping[str, ArrayInventory]) -> tuple[ArrayInventory | None, int]:
    """The array of a variable and its bytes; of factors those of all their arrays."""
    before, _, last = name.rpartition("/")
    child = f"{before}/{CHILD}/{last}" if before else f"{CHILD}/{last}"
    row = rows.get(name) or rows.get(child)
    if row is not None:
        return row, row.written_bytes
    return None, sum(each.written_bytes for key, each in rows.items() if key.startswith(f"{name}/"))


def _compare_exactly(facts: VariableFacts) -> VariableFacts:
    """Whether what is kept bit for bit is so, in the sample."""
    pair, errors, sampled, different = facts.pair, ErrorSummary("lossless"), 0, 0
    stored = pair.stored
    if stored is None:
        return facts
    for box in choose_boxes(facts.axes, _chunks_of(pair), values=EXACT_VALUES):
        x, x_hat = pair.source[box.region].values, stored[box.region].values
        sampled += x.size
        if x.dtype.kind == "f":
            errors.add(x, x_hat, box.start)
        else:
            different += int(np.count_nonzero(x != x_hat))
    different += errors.violations
    problem = f"differs from the source in {different} of {sampled} values" if different else None
    kept = errors if pair.source.dtype.kind == "f" else None
    return VariableFacts(
        pair, facts.axes, facts.values, sampled, problem, kept, facts.row, facts.written_bytes, _noted(pair)
    )


def _measure_field(facts: VariableFacts, values: int) -> VariableFacts:
    pair, axes = facts.pair, facts.axes
    mean, limits = promises_of(pair.stored.variable) if pair.stored is not None else (None, None)
    errors = ErrorSummary(pair.bound, mean=mean, valid_range=limits)
    pieces = [_read(pair, box, errors) for box in choose_boxes(axes, _chunks_of(pair), values=values)]
    shown, worst = map_of(pieces, axes), errors.worst_index
    along = [axis for axis in axes.frame if axes.shape[axis] > 1] if len(axes.frame) == 2 else []
    steps = [roughness(pieces, axis) for axis in ([] if axes.time is None else [axes.time]) + along]
    return VariableFacts(
        pair, axes, facts.values, errors.values, problem_of(errors, pair.source), errors, facts.row,
        facts.written_bytes, _noted(pair), _range_of(pieces), error_histogram(pieces) if pieces else None, shown,
        None if axes.profile is None else error_profile(pieces, axes.profile, axes.shape[axes.profile]),
        series_at(pieces, axes, worst), tuple(step for step in steps if step is not None),
        spectrum_of(pieces, axes), score_frames(pieces, axes, pair.bound), extremes_of(pieces, axes, shown),
    )  # fmt: skip


def _read(pair: Pair, box: Box, errors: ErrorSummary) -> Piece:
    """Read one region on both sides, and count its errors."""
    if pair.stored is None:
        raise ValueError(f"expected {pair.name} on both sides, got the source alone")
    x: NDArray[Any] = pair.source[box.region].values
    x_hat: NDArray[Any] = pair.stored[box.region].values
    noise = None if pair.noise is None else pair.noise[box.region].values
    errors.add(x, x_hat, box.start, noise)
    return Piece(box, x, x_hat, allowed_errors(pair.bound, x, box.start, noise))


def _chunks_of(pair: Pair) -> tuple[int, ...] | None:
    chunks = None if pair.stored is None else pair.stored.encoding.get("chunks")
    return None if chunks is None else tuple(chunks)


def _noted(pair: Pair) -> Mapping[str, float]:
    note = json.loads(pair.stored.attrs.get("adiabat", "{}")) if pair.stored is not None else {}
    found = note.get("achieved", {}) if isinstance(note, dict) else {}
    return found if isinstance(found, dict) else {}


def _range_of(pieces: Sequence[Piece]) -> Range | None:
    ends: list[list[tuple[float, float]]] = [[], []]
    negative, missing = [0, 0], 0
    for piece in pieces:
        for side, values in enumerate((piece.source, piece.stored)):
            known = values[np.isfinite(values)]
            negative[side] += int(np.count_nonzero(known < 0))
            if known.size:
                ends[side].append((float(known.min()), float(known.max())))
        missing += int(np.count_nonzero(~np.isfinite(piece.source)))
    if not ends[0] or not ends[1]:
        return None
    low, high = ((min(a for a, _ in side), max(b for _, b in side)) for side in ends)
    return Range(low, high, missing, (negative[0], negative[1]))
