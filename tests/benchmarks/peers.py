"""What peers reach at a given RMSE, each in its best mode and layout: SZ3, SPERR, JPEG 2000, EBCC. For `rmse.py`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from adiabat.formats.peers import KNOWN, Mode, Peer
from adiabat.formats.peers import sperr as peer_sperr
from adiabat.formats.peers import sz3 as peer_sz3
from adiabat.formats.peers.best import ENCODES, Found, at_rmse
from adiabat.formats.peers.best import search as best_of

__all__ = ["ENCODES", "PEERS", "PROMISED", "Coded", "Peers", "Row", "search", "sperr", "sz3", "versions"]

PROMISED = 0.01  # how far below its target an RMSE may lie
Coded = tuple[int, np.ndarray]
Row = dict[str, Any]


PEERS: dict[str, tuple[Mode, ...]] = {
    "sz3": KNOWN["sz3"].rmse,
    "sperr pwe": KNOWN["sperr"].rmse[:1],
    "sperr rate": KNOWN["sperr"].rmse[1:],
    "jpeg2000": KNOWN["jpeg2000"].rmse,
    "ebcc": KNOWN["ebcc"].rmse,
}


def sz3(field: np.ndarray, bound: float) -> Coded:
    """At an absolute bound."""
    data = peer_sz3.encode(field, bound)
    return len(data), peer_sz3.decode(data, field.shape)


def sperr(field: np.ndarray, level: float, mode: str) -> Coded:
    """In one of its modes."""
    data = peer_sperr.encode(field, level, mode=mode)
    return len(data), peer_sperr.decode(data, field.shape)


def rmse_over(field: np.ndarray) -> Callable[[np.ndarray], float]:
    """Root mean square error of what was decoded."""
    return lambda back: math.sqrt(float(((back.astype(np.float64) - field) ** 2).mean()))


def row_of(found: Found, field: np.ndarray, target: float) -> Row:
    """Bytes, ratio, RMSE over the target, parameter."""
    share = found.error / target
    return {"bytes": found.size, "ratio": field.nbytes / found.size, "rmse": share, "parameter": found.parameter}


def search(code: Callable[[float], Coded], field: np.ndarray, target: float, start: float) -> Row | None:
    """Fewest bytes at or just below the RMSE wanted, None if never reached."""
    measure = rmse_over(field)

    def run(parameter: float) -> Found:
        size, back = code(parameter)
        return Found(size, back, measure(back), 0.0, 0.0, parameter=parameter)

    best, _ = best_of(run, target, start)
    return None if best is None else row_of(best, field, target)


def measure_peer(modes: tuple[Mode, ...], field: np.ndarray, target: float) -> Row:
    """The peer's best over its modes and layouts, and why some gave nothing."""
    began = time.perf_counter()
    best, refused = at_rmse(Peer("", (), "", rmse=modes), field, target, rmse_over(field))
    found = row_of(best, field, target) | {"mode": best.mode, "layout": best.layout} if best else {}
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
