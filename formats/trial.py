"""One piece of a variable through its codec, there and back: bytes and seconds.

Stage: before `estimate`. The codec is told what the archive tells it, noise and the place in static fields included.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.metadata import configuration_of
from adiabat.formats.plan import PYRAMID, VariablePlan
from adiabat.formats.policy import Bound

__all__ = ["passed", "warm_up"]


@cache
def warm_up(codec: str, dtype: str) -> None:
    """Load models and compile kernels, so that this is not taken for the speed of the first variable."""
    from numcodecs import get_codec

    if not codec:
        return
    x = np.add.outer(np.sin(np.arange(64) / 9), np.cos(np.arange(96) / 7)).astype(dtype)
    bounds: list[Bound] = [{"abs": 0.01}, {"rel": 0.01}, "lossless"]
    for options in [{"bound": bound} for bound in bounds] if codec == PYRAMID else [{"target": {"rmse": 0.1}}]:
        made = get_codec({"id": codec, **options})
        made.decode(made.encode(x))


def passed(
    variable: VariablePlan,
    values: NDArray[Any],
    noise: NDArray[Any] | None,
    region: tuple[slice, ...],
    *,
    back: bool = True,
) -> tuple[int, float]:
    """Bytes and seconds of a piece.

    Parameters
    ----------
    variable : VariablePlan
        What the codec is told.
    values : array
        The piece, as the source has it.
    noise : array or None
        Its standard deviations, where the bound counts in them.
    region : tuple of slice
        Where it lies.
    back : bool
        Whether it is decoded too.

    Returns
    -------
    int, float
    """
    from numcodecs import get_codec
    from numcodecs.zstd import Zstd

    from adiabat.codec import ChunkContext

    x = values.astype(variable.dtype, copy=False)
    if variable.bound is None:  # as Zarr does by itself
        started = time.perf_counter()
        return len(Zstd(level=0).encode(x)), time.perf_counter() - started
    if variable.healpix:
        from adiabat.codec.healpix_strips import to_strips

        x = to_strips(x)
    codec = get_codec({"id": variable.codec, **configuration_of(variable)})
    origin = tuple(part.start for part in region[-2:]) if variable.statics else None
    context = ChunkContext(static_origin=origin, noise=noise)
    started = time.perf_counter()
    data = codec.encode(x, context=context)
    if back:
        codec.decode(data)
    return len(data), time.perf_counter() - started
