"""Every codec of adiabat and every peer that is installed on one field: at equal largest error, and at equal RMSE.

    field -> for each question: adiabat's codecs, the whole field as one chunk with their defaults
                                peers, in their best mode and layout, checked against what was asked
          -> Comparison

Stage: evaluation. Bytes are all bytes of the encoded field, the denominator is the field as float32; peers must keep
their bound to 1 ppm, adiabat exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.compare_ours import CODECS
from adiabat.formats.compare_rows import Progress, measured
from adiabat.formats.comparison import Comparison
from adiabat.formats.errors import RequestError
from adiabat.formats.peers import Peer, absent, available, versions
from adiabat.formats.policy import Bound, is_target

__all__ = ["as_field", "compare", "count_steps", "wanted_peers"]

Array = NDArray[np.float32]
Peers = Sequence[str] | Literal["all", "none"]


def compare(
    field: NDArray[Any],
    *,
    bounds: Sequence[Bound],
    peers: Peers = "all",
    rmse: bool = False,
    codecs: Sequence[str] = CODECS,
    progress: Progress | None = None,
) -> Comparison:
    """Compare adiabat's codecs with each other and with peers, on one field.

    Parameters
    ----------
    field : array, shape (..., y, x)
        Taken as float32; NaN and infinities are missing values.
    bounds : sequence of bounds and targets
        ``{"abs": x}``, ``{"rel": r}``, ``"lossless"``; ``{"rmse": x}``, or ``{"ratio": r}``: the lowest RMSE that JPEG
        2000 and SPERR reach at that ratio.
    peers : "all", "none" or sequence of str
        Which of those that `adiabat.formats.peers` knows.
    rmse : bool
        After each bound, ask everybody for the RMSE that adiabat reached under it.
    codecs : sequence of str
        Which of adiabat's.
    progress : callable, optional

    Returns
    -------
    Comparison

    Raises
    ------
    RequestError
        A field with nothing to compare, a bound that is none of these, a peer that is not known.

    Examples
    --------
    >>> y, x = np.mgrid[0:40, 0:60] / 9
    >>> field = (280 + np.sin(y) * np.cos(x)).astype("f4")
    >>> found = compare(field, bounds=[{"abs": 0.01}], peers=["bitround+zstd"])
    >>> sorted(row.codec for row in found.rows if row.kept)
    ['bitround+zstd', 'pyramid']
    """
    x, chosen = as_field(field), wanted_peers(peers, field.size)
    rows = [row for row, _ in measured(x, bounds, chosen[0], rmse=rmse, codecs=codecs, progress=progress)]
    return Comparison(tuple(rows), x.shape, chosen[1], versions(chosen[0]))


def as_field(field: NDArray[Any]) -> Array:
    """As everybody gets it: float32, without axes of length 1, at least (y, x)."""
    if field.ndim < 2 or not field.size:
        raise RequestError(f"expected a field of at least two dimensions and one value, got shape {field.shape}")
    x = field.squeeze()
    x = x if x.ndim >= 2 else x.reshape(-1, field.shape[-1])
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, np.float32)
    if not np.isfinite(x).any():
        raise RequestError("every value is missing: there is nothing to compare")
    return x


def wanted_peers(peers: Peers, values: int) -> tuple[dict[str, Peer], dict[str, str]]:
    """Peers to be used, and why others are not.

    Raises
    ------
    RequestError
        A name that is not known.
    """
    there, missing = available(), absent()
    if peers == "none":
        return {}, {}
    if peers != "all":
        unknown = [name for name in peers if name not in there and name not in missing]
        if unknown:
            known = ", ".join((*there, *missing))
            raise RequestError(f"there is no peer {unknown[0]!r}: write all, none, or some of {known}")
        return {name: there[name] for name in peers if name in there}, {
            name: missing[name] for name in peers if name in missing
        }
    slow = {
        name: f"{name} is slow, and left out of fields of more than {peer.most:,} values unless it is named"
        for name, peer in there.items()
        if peer.most is not None and values > peer.most
    }
    return {name: peer for name, peer in there.items() if name not in slow}, missing | slow


def count_steps(
    bounds: Sequence[Bound], peers: Mapping[str, Peer], *, rmse: bool, codecs: Sequence[str] = CODECS
) -> int:
    """How often `compare` tells of a field's values being done with."""
    steps = 0
    for bound in bounds:
        if is_target(bound):
            steps += len(codecs) + len(peers)
        else:
            steps += 1 + len(peers) + (len(codecs) + len(peers) if rmse else 0)
    return steps
