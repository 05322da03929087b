"""What peers reach at a given RMSE, each in its best mode and layout: SZ3, SPERR, JPEG 2000, EBCC. For `rmse.py`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
import imagecodecs
import numpy as np
from pysz import sz, szConfig, szErrorBoundMode

PROMISED, AIMED = 0.01, 0.0025  # how far below its target an RMSE may lie
ENCODES = 12  # at most, for one target
Coded = tuple[int, np.ndarray]
Row = dict[str, Any]


def sz3(field: np.ndarray, bound: float) -> Coded:
    config = szConfig()
    config.errorBoundMode, config.absErrorBound, config.openmp = szErrorBoundMode.ABS, bound, False
    data = sz.compress(field, config)[0]
    return data.nbytes, sz.decompress(data.copy(), np.float32, field.shape)[0]


def sperr(field: np.ndarray, level: float, mode: str) -> Coded:
    chunks = {"chunks": field.shape} if field.ndim == 3 else {}
    data = imagecodecs.sperr_encode(field, level, mode, numthreads=1, **chunks)
    return len(data), np.asarray(imagecodecs.sperr_decode(data)).reshape(field.shape)


def decibels(field: np.ndarray, rmse: float) -> float:
    """Peak signal to noise ratio that this RMSE is."""
    return max(20 * math.log10((float(np.ptp(field)) or 1.0) / rmse), 1.0)


def jpeg2000(field: np.ndarray, rmse: float) -> Coded:
    """Irreversible, 16-bit samples; the two float32 that undo the scaling are counted."""
    low, span = float(field.min()), float(np.ptp(field)) or 1.0
    image = np.rint((field - np.float64(low)) / span * 65535).astype(np.uint16)
    data = imagecodecs.jpeg2k_encode(image, level=decibels(field, rmse), codecformat="j2k", reversible=False)
    return len(data) + 8, imagecodecs.jpeg2k_decode(data).astype(np.float64) / 65535 * span + low


def ebcc(field: np.ndarray, **options: Any) -> Coded:
    """Leading axes are coded frame by frame, in one stream."""
    from numcodecs_wasm_ebcc import Ebcc

    with silent():
        codec = Ebcc(**options)
        data = bytes(codec.encode(field if field.ndim == 3 else field[None]))
        return len(data), np.asarray(codec.decode(np.frombuffer(data, np.uint8))).reshape(field.shape)


@contextmanager
def silent() -> Iterator[None]:
    """Drop what is written to the standard error, by C too: EBCC warns of each frame's error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Mode(NamedTuple):
    """One way to ask a peer for a quality, by a parameter that grows with the RMSE.

    The parameter is `start` times the RMSE wanted to begin with, or about the ratio where `start` is None.
    """

    code: Callable[[np.ndarray, float], Coded]
    start: float | None
    layouts: tuple[str, str] = ("frames", "volume")


LAYOUTS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "frames": lambda field: list(field.reshape(-1, *field.shape[-2:])),
    "volume": lambda field: [field.reshape(-1, *field.shape[-2:])],
    "tall": lambda field: [field.reshape(-1, field.shape[-1])],  # one image, the frames below each other
}
PEERS: dict[str, dict[str, Mode]] = {
    "sz3": {"bound": Mode(sz3, 2.0)},
    "sperr pwe": {"bound": Mode(partial(sperr, mode="pwe"), 4.0)},
    "sperr rate": {
        "psnr": Mode(lambda field, rmse: sperr(field, decibels(field, rmse), "psnr"), 1.3),
        "bpp": Mode(lambda field, ratio: sperr(field, 32 / ratio, "bpp"), None),
    },
    "jpeg2000": {"level": Mode(jpeg2000, 1.0, ("frames", "tall"))},
    "ebcc": {  # a volume is its frames in one stream; with a residual over base_cr 30, 100 or 300 it took more bytes on
        # T850 at all three RMSE, and four times as long
        "base only": Mode(
            lambda field, ratio: ebcc(field, residual="jpeg2000-only", base_cr=ratio), None, ("volume", "tall")
        )
    },
}


def search(code: Callable[[float], Coded], field: np.ndarray, target: float, start: float) -> Row | None:
    """Fewest bytes at or just below the RMSE wanted, None if never reached: secants in logarithms, in a bracket."""
    low, high = (-math.inf, 0.0), (math.inf, 0.0)  # parameter and how far off, of the nearest on each side
    at, best, side = math.log(start), None, 0.0
    for encode in range(ENCODES):
        size, back = code(math.exp(at))
        rmse = math.sqrt(float(((back.astype(np.float64) - field) ** 2).mean()))
        off = math.log(max(rmse, 1e-9 * target) / target) + AIMED / 2
        if rmse <= target and (best is None or size < best["bytes"]):
            best = {"bytes": size, "ratio": field.nbytes / size, "rmse": rmse / target, "parameter": math.exp(at)}
        again, side = side * off > 0, off  # twice on one side: count the other end for half, or it stays for ever
        if off < 0:
            low, high = (at, off), (high[0], high[1] / 2 if again else high[1])
        else:
            low, high = (low[0], low[1] / 2 if again else low[1]), (at, off)
        if abs(off) <= AIMED / 2 or high[0] - low[0] < 1e-3:
            break
        if math.isinf(high[0] - low[0]):  # further each time, and past the root
            at -= min(max(off, -1.0), 1.0) + math.copysign(0.04, off) * 2**encode
        else:
            share = min(max(low[1] / (low[1] - high[1]), 0.05), 0.95) if encode < 7 else 0.5
            at = low[0] + share * (high[0] - low[0])
    return best


def measure_peer(modes: dict[str, Mode], field: np.ndarray, target: float) -> Row:
    """The peer's best over its modes and layouts, and why some gave nothing."""
    found: Row = {}
    refused, began = [], time.perf_counter()
    for name, mode in modes.items():
        for layout in mode.layouts[: 2 if field.ndim > 2 else 1]:
            parts = [np.ascontiguousarray(part) for part in LAYOUTS[layout](field)]

            def code(parameter: float, mode: Mode = mode, parts: list[np.ndarray] = parts) -> Coded:
                coded = [mode.code(part, parameter) for part in parts]
                back = np.concatenate([decoded.ravel() for _, decoded in coded])
                return sum(size for size, _ in coded), back.reshape(field.shape)

            start = found.get("ratio", 20.0) if mode.start is None else mode.start * target
            try:
                row = search(code, field, target, start)
            except Exception as error:  # what foreign codecs raise is not ours to know
                refused.append(f"{name}, {layout}: {type(error).__name__}: {error}"[:200])
                continue
            if row and row["bytes"] < found.get("bytes", math.inf):
                found = row | {"mode": name, "layout": layout}
    return found | {"seconds": round(time.perf_counter() - began, 1), "refused": refused, "with": versions()}


class Peers:
    """What peers reach, measured once and kept in a file."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.absent = path, set()
        self.rows: dict[str, Row] = json.loads(path.read_text()) if path and path.exists() else {}
        try:
            import numcodecs_wasm_ebcc  # noqa: F401
        except ImportError as error:
            print(f"no EBCC but what is kept ({error}): see --help")
            self.absent.add("ebcc")

    def ratios(self, case: str, field: np.ndarray, nrmse: float) -> dict[str, float]:
        """Ratio of each peer that reaches the RMSE."""
        shape, digest = "x".join(map(str, field.shape)), hashlib.sha256(field.tobytes()).hexdigest()[:16]
        out = {}
        for name, modes in PEERS.items():
            key = f"{case} {shape} {digest} {nrmse:g} {name}"
            if key not in self.rows and name not in self.absent:
                self.rows[key] = measure_peer(modes, field, nrmse * float(np.ptp(field)))
                if self.path:
                    written = self.path.with_name(self.path.name + ".new")
                    written.write_text(json.dumps(self.rows, indent=1))
                    written.replace(self.path)
            if "ratio" in self.rows.get(key, {}):
                out[name] = self.rows[key]["ratio"]
        return out


def versions() -> str:
    """Of what is compared."""
    out = []
    for name in ("numpy", "imagecodecs", "pysz", "numcodecs-wasm-ebcc", "onnxruntime", "constriction"):
        try:
            out.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            out.append(f"no {name}")
    return ", ".join(out)
