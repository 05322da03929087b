"""The first bytes of a neural payload: how the frames of a chunk hang together.

Stage of `pyramid`: **plan** -> order. Spec: spec/pyramid.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader
from adiabat.codec.order import MAX_REACH
from adiabat.codec.prediction import TAPER_BITS

MAX_SHARES = 32

Shares = tuple[int, ...]  # of the step, in units of 2**-6


@dataclass(frozen=True)
class Plan:
    """How a chunk is coded.

    Attributes
    ----------
    axis : int or None
        The leading axis along which frames are ordered; None: each is coded by itself.
    reach : int
        Number of references of a frame.
    taper : tuple of int
        Share of the step that each spacing takes, finest first; the last holds for all coarser. Empty: all of it.
    """

    axis: int | None = None
    reach: int = 0
    taper: Shares = ()

    def write(self) -> bytes:
        """Ordered axis (from 1; 0 for none) and reach, then the taper after its length."""
        return bytes([0 if self.axis is None else self.axis + 1, self.reach, len(self.taper), *self.taper])

    @classmethod
    def read(cls, reader: Reader, axes: tuple[int, ...]) -> Plan:
        """Undo `write`; axes: lengths of the chunk's leading axes.

        Raises
        ------
        CorruptStreamError
            If it is no plan for them.
        """
        axis, reach = reader.u8(), reader.u8()
        if axis > len(axes) or (axis > 0) != (reach > 0) or reach > MAX_REACH or reach % 2:
            raise CorruptStreamError(f"expected one of {len(axes)} axes and an even reach, got {axis}, {reach}")
        taper = tuple(reader.take(reader.u8()))
        if len(taper) > MAX_SHARES or not all(1 <= share <= 1 << TAPER_BITS for share in taper):
            raise CorruptStreamError(f"expected up to {MAX_SHARES} shares of 1 to 64, got {taper}")
        return cls(axis - 1 if axis else None, reach, taper)
