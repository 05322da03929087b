"""How far decoded fields are from their source, over what is not missing, in float64.

Stage: evaluation, used by `compare`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Errors"]


@dataclass(frozen=True)
class Errors:
    """Errors of decoded fields against one source.

    Parameters
    ----------
    field : NDArray[np.float32]
        NaN and infinities are not compared, but a decoded field must have values wherever the source has.
    bound : {"abs": x}, {"rel": r} or "lossless"

    Examples
    --------
    >>> errors = Errors(np.array([[1.0, np.nan, 2.0]], "f4"), {"rel": 0.5})
    >>> back = np.array([[1.5, np.nan, 2.0]])
    >>> errors.largest(back), errors.of_bound(back)
    (0.5, 1.0)
    """

    field: NDArray[np.float32]
    bound: Mapping[str, Any] | str = "lossless"

    def largest(self, decoded: NDArray[Any]) -> float:
        """Largest absolute error."""
        return float(np.nanmax(np.abs(self._difference(decoded)), initial=0.0))

    def rmse(self, decoded: NDArray[Any]) -> float:
        """Root mean square error."""
        return math.sqrt(float(np.nanmean(self._difference(decoded) ** 2)))

    def of_bound(self, decoded: NDArray[Any]) -> float:
        """Largest error in units of the bound; lossless: 0 or infinite."""
        error = np.abs(self._difference(decoded))
        if isinstance(self.bound, str):
            return 0.0 if np.array_equal(decoded, self.field, equal_nan=True) else math.inf
        if "abs" in self.bound:
            return float(np.nanmax(error, initial=0.0)) / float(self.bound["abs"])
        limit = float(self.bound["rel"]) * np.abs(self.field.astype(np.float64))
        share = np.divide(error, limit, out=np.where(error > 0, math.inf, 0.0), where=limit > 0)
        return float(np.nanmax(share, initial=0.0))

    def _difference(self, decoded: NDArray[Any]) -> NDArray[np.float64]:
        """NaN where the source is missing, infinite where only the decoded field is."""
        known = np.isfinite(self.field)
        with np.errstate(invalid="ignore"):
            off = decoded.astype(np.float64) - self.field
        return np.where(known, np.where(np.isfinite(decoded), off, math.inf), math.nan)
