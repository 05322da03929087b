"""The field in fine units, made piece by piece as it is looked at, so that a large chunk never stands in float64.

Stage of encoding: domain -> **target** -> coarse_to_fine. Special pixels are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.bound_profile import ProfileDomain
from adiabat.codec.cached import cached_property
from adiabat.codec.domain import Domain


@dataclass(frozen=True)
class Target:
    """What the encoder aims at; indexing gives float64.

    Parameters
    ----------
    field : NDArray[np.floating], shape (frame, y, x)
    valid : NDArray[np.bool_] or None, shape (frame, y, x)
        Ordinary pixels; None for all.
    domain : Domain

    Examples
    --------
    >>> from adiabat.codec.domain import AbsDomain
    >>> Target(np.ones((2, 3, 4)), None, AbsDomain(0.5))[1, :, 0].tolist()
    [2.0, 2.0, 2.0]
    """

    field: NDArray[np.floating]
    valid: NDArray[np.bool_] | None
    domain: Domain

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, y, x)."""
        frames, height, width = self.field.shape
        return frames, height, width

    def __len__(self) -> int:
        return len(self.field)

    def __getitem__(self, where: Any) -> NDArray[np.float64]:
        if isinstance(self.domain, ProfileDomain):  # a value's unit depends on its place
            return np.asarray(self._whole[where])
        return self._fine(self.field[where], None if self.valid is None else self.valid[where])

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        return self._fine(self.field, self.valid)

    def _fine(self, field: NDArray[np.floating], valid: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        if valid is None:
            return self.domain.to_fine(field)
        ordinary = np.where(valid, field, field.dtype.type(1))
        return np.where(valid, self.domain.to_fine(ordinary), 0.0)


Fine = Target | NDArray[np.float64]
