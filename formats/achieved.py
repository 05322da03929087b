"""What an archive came to, written into it before it is put in its place: errors, models, and no stray files.

Stage: archive, at the end. Spec: `spec/archive.md`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from adiabat.formats.blocks import Block, find_files, open_stored
from adiabat.formats.journal import Record, by_array
from adiabat.formats.store_models import models_of_array

__all__ = ["note_achieved", "sweep"]

CHUNKS = "c"  # folder of an array's chunks


def note_achieved(store: Path, records: Iterable[Record]) -> None:
    """Add errors to the attribute ``adiabat`` of every compressed array, and the models that decoding needs."""
    for path, some in by_array(records).items():
        stored = open_stored(store, path)
        if "adiabat" not in stored.attrs:
            continue
        note = json.loads(str(stored.attrs["adiabat"]))
        note["achieved"] = achieved(some, relative=isinstance(note["bound"], dict) and "rel" in note["bound"])
        note["models"] = sorted({*note.get("models", ()), *models_of_array(stored, store / path)})
        stored.attrs["adiabat"] = json.dumps(note)


def achieved(records: Sequence[Record], *, relative: bool = False) -> dict[str, float]:
    """Largest error (in units of what the bound counts in), its share of the bound, RMSE and mean absolute error.

    relative: the last as a share of the mean magnitude, as `adiabat.formats.metrics.ErrorSummary.mean_error` has it.
    """
    compared = max(1, sum(record.compared for record in records))
    over = math.fsum(record.sum_of_magnitudes for record in records) if relative else compared
    return {
        "max_error": max(record.max_error for record in records),
        "of_bound": max(record.used for record in records),
        "rmse": math.sqrt(math.fsum(record.sum_of_squares for record in records) / compared),
        "mean_error": math.fsum(record.sum_of_errors for record in records) / over if over else 0.0,
    }


def sweep(store: Path, blocks: Iterable[Block]) -> None:
    """Remove what writers that were killed left among the chunks."""
    for path, some in by_array(blocks).items():
        stored = open_stored(store, path)
        known = {file for block in some for file in find_files(store, stored, block)}
        for file in (store / path / CHUNKS).rglob("*"):
            if file.is_file() and file not in known:
                file.unlink()
