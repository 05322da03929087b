"""EBCC and TTHRESH, which come as WebAssembly in packages of their own, with an older numcodecs than ours beside them.

TTHRESH takes volumes only and promises no largest error: it is asked once, for an RMSE, and shown as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape

__all__ = ["EBCC", "TTHRESH"]

INSTALL = "pip install --no-deps {} numcodecs-wasm numcodecs-observers numcodecs-combinators leb128"
BASE_RATIO = 100.0  # what its authors and ClimateBenchPress take


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what is written to both streams, by C too: EBCC warns of each frame, TTHRESH tells sizes."""
    kept, nowhere = [os.dup(stream) for stream in (1, 2)], os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        yield
    finally:
        for stream, own in zip((1, 2), kept, strict=True):
            os.dup2(own, stream)
            os.close(own)
        os.close(nowhere)


def _ebcc(**options: Any) -> Any:
    from numcodecs_wasm_ebcc import Ebcc

    return Ebcc(**options)


def _tthresh(rmse: float) -> Any:
    from numcodecs_wasm_tthresh import Tthresh

    return Tthresh(eb_mode="rmse", eb_rmse=rmse)


def _write(codec: Any, field: Array) -> bytes:
    with _silent():
        return bytes(codec.encode(field if field.ndim == 3 else field[None]))


def _read(codec: Any, data: bytes, shape: Shape) -> NDArray[Any]:
    with _silent():
        return np.asarray(codec.decode(np.frombuffer(data, np.uint8))).reshape(shape)


def encode_bounded(field: Array, bound: float) -> bytes:
    """EBCC at an absolute bound."""
    return _write(_ebcc(residual="absolute", error=bound, base_cr=BASE_RATIO), field)


def encode_base(field: Array, ratio: float) -> bytes:
    """EBCC without a residual, at about this ratio."""
    return _write(_ebcc(residual="jpeg2000-only", base_cr=ratio), field)


def decode(data: bytes, shape: Shape) -> NDArray[Any]:
    """EBCC's array back."""
    return _read(_ebcc(residual="jpeg2000-only"), data, shape)


EBCC = Peer(
    "ebcc",
    ("numcodecs_wasm_ebcc",),
    INSTALL.format("numcodecs-wasm-ebcc"),
    ("numcodecs-wasm-ebcc",),
    bounded=(Mode("bound", encode_bounded, decode, ("volume",)),),  # a volume is its frames in one stream
    # with a residual over base_cr 30, 100 or 300 it took more bytes at equal RMSE, and four times as long
    rmse=(Mode("base only", encode_base, decode, ("volume", "tall"), start=None),),
    most=4_000_000,
)
TTHRESH = Peer(
    "tthresh",
    ("numcodecs_wasm_tthresh",),
    INSTALL.format("numcodecs-wasm-tthresh"),
    ("numcodecs-wasm-tthresh",),
    bounded=(
        Mode(
            "rmse of half the bound",
            lambda field, bound: _write(_tthresh(bound / 2), field),
            lambda data, shape: _read(_tthresh(1.0), data, shape),
            ("volume",),
        ),
    ),
    most=300_000,
)
