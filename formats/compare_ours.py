"""adiabat's own codecs in a comparison: the whole field as one chunk, with their defaults.

Stage: evaluation, used by `compare`. Bounds are Pyramid's; an RMSE is asked of the latent codecs, and of Pyramid by a
search for the bound under which it has that RMSE.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import AdiabatError
from adiabat.formats.errors import first_line
from adiabat.formats.peers.best import Found, search

__all__ = ["CODECS", "reach", "whole"]

CODECS = ("pyramid", "hyperprior", "vq", "hvae")
START = 1.9  # of Pyramid's bound, over the RMSE it is to have
Array = NDArray[np.float32]
Measure = Callable[[NDArray[Any]], float]


def whole(name: str, field: Array, options: Mapping[str, Any], measure: Measure) -> tuple[Found | None, str | None]:
    """Encode and decode the field as one chunk.

    Returns
    -------
    Found or None
    str or None
        Why there is none.

    Examples
    --------
    >>> found, problem = whole("pyramid", np.ones((8, 9), "f4"), {"bound": "lossless"}, lambda back: 0.0)
    >>> found.decoded.shape, problem
    ((8, 9), None)
    """
    from numcodecs import get_codec

    identity = f"adiabat.{name}"
    try:
        kind = next(iter(options))
        asked = options[kind] if isinstance(options[kind], str) else next(iter(options[kind]))
        _warm_up(name, kind, asked, field.ndim > 2, not np.isfinite(field).all())
        codec = get_codec({"id": identity, **options})
        began = time.perf_counter()
        data = codec.encode(field)
        between = time.perf_counter()
        back = np.asarray(codec.decode(data)).reshape(field.shape)
        ended = time.perf_counter()
    except (AdiabatError, ValueError, TypeError, ImportError) as error:
        return None, first_line(error)
    return Found(len(bytes(data)), back, measure(back), between - began, ended - between, "", "one chunk"), None


@cache
def _warm_up(name: str, kind: str, asked: str, stack: bool, holes: bool) -> None:
    """Load models and compile kernels, so that this is not taken for the codec's speed."""
    from numcodecs import get_codec

    if name == "hvae":  # for arrays of other sizes
        return
    y, x = np.ogrid[0:64, 0:96]
    frames = [280 + np.sin(y / 9 + k / 3) * np.cos(x / 7) for k in range(3 if stack else 1)]
    field = np.stack(frames).astype(np.float32)
    field[:, 9:20, 30:50] = np.nan if holes else field[:, 9:20, 30:50]
    option = asked if asked == "lossless" else {asked: 0.01 if kind == "bound" else 0.1}
    codec = get_codec({"id": f"adiabat.{name}", kind: option})
    codec.decode(codec.encode(field if stack else field[0]))


def reach(
    name: str, field: Array, target: float, rmse: Measure, pause: Callable[[], None]
) -> tuple[Found | None, str | None]:
    """Meet an RMSE."""
    if name == "hvae" and field.shape[-1] != _channels():
        return None, f"does not apply: for spectra whose last axis has {_channels()} channels, here {field.shape[-1]}"
    if name != "pyramid":
        return whole(name, field, {"target": {"rmse": target}}, rmse)
    said: list[str] = []

    def run(bound: float) -> Found:
        found, problem = whole("pyramid", field, {"bound": {"abs": bound}}, rmse)
        if found is None:
            raise _FailedError(problem or "failed")
        return found

    try:
        best, _ = search(run, target, START * target, pause)
    except _FailedError as error:
        said.append(str(error))
        best = None
    return best, None if best else (said or ["never reached it"])[0]


class _FailedError(Exception):
    """Pyramid refused what a search asked it for."""


def _channels() -> int:
    from adiabat.codec.hvae_model import find_hvae

    return int(find_hvae(None).channels)
