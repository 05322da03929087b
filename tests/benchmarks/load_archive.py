"""Several `adiabat compress` of one archive at once, and readers of it while it is written.

Beside `load`, of which it is an episode.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from load_operations import CHUNKS, digest

__all__ = ["write_and_read"]

Tell = Callable[[str, str, str], None]

PARTS = 3
REFUSED = "being written"  # what one says who finds another at work
COMMAND = [str(Path(sys.executable).with_name("adiabat")), "compress"]


def write_and_read(folder: Path, told: Tell, patience: float) -> None:
    """Write an archive in parts and by two commands that ask for the same, reading it until it stands, and after."""
    expected = digest(xr.open_zarr(folder / "archive.zarr").t.values)
    for name, parts in (("parts", [f"{part}/{PARTS}" for part in range(1, PARTS + 1)]), ("twice", ["1/1", "1/1"])):
        target = folder / f"{name}.zarr"
        shutil.rmtree(target, ignore_errors=True)
        running = [_begin(folder, target, part) for part in parts]
        deadline = time.monotonic() + 4 * patience
        while any(each.poll() is None for each in running) and time.monotonic() < deadline:
            if target.exists():  # nothing is there until all of it is
                told("archive reader", "while written", _read(target, expected))
            time.sleep(0.2)
        for each in running:
            told("archive writer", name, _ended(each, must=name == "parts"))
        if name == "parts" and not target.exists():  # who finished last saw the others' blocks missing
            told("archive writer", "finish", _ended(_begin(folder, target, "1/1"), must=True, patience=4 * patience))
        told("archive reader", "finished", _read(target, expected))


def _begin(folder: Path, target: Path, part: str) -> subprocess.Popen[str]:
    chunks = [f"--chunk={dimension}={size}" for dimension, size in CHUNKS.items()]
    options = ["--default-bound", "abs:0.05", "--workers", "1", "--part", part, *chunks]
    command = [*COMMAND, str(folder / "source.nc"), str(target), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str], *, must: bool, patience: float = 1.0) -> str:
    """What went wrong with a writer; of two that ask for the same, one may say that the other is at work."""
    try:
        _, error = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "deadlock of a writer"
    if process.returncode == 0 or (not must and REFUSED in error and "Traceback" not in error):
        return ""
    return f"exit {process.returncode}: {error[-500:]}"


def _read(target: Path, expected: str) -> str:
    """What went wrong in reading."""
    found = digest(np.asarray(xr.open_zarr(target).t.values))
    return "" if found == expected else f"wrong bytes: expected {expected}, got {found}"
