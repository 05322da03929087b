"""What an encoder is told of one chunk beside its values: what differs from chunk to chunk.

A Zarr codec sees a chunk's values and nothing else; the writer of an archive knows more. What decoding needs of it is
stored in the stream. Spec: `spec/README.md`, "Configuration".
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from adiabat.codec.bound_profile import Profile
from adiabat.codec.cached import cached_property

__all__ = ["ChunkContext"]


@dataclass(frozen=True, eq=False)
class ChunkContext:
    """Options of one call of `encode`.

    Parameters
    ----------
    bound : array-like of one axis, optional
        An absolute bound for each index along an axis of the chunk, in place of the codec's absolute bound.
    bound_axis : int, optional
        That axis, negative from the end. If not given, the only one of that length.
    static_origin : tuple of two int, optional
        Row and column of the codec's static fields at which the chunk begins. If not given, the fields must be of the
        chunk's own size.
    noise : array-like, optional
        One standard deviation of every value, or of every index along the codec's axis of channels, in the units of
        the chunk: what ``bound={"noise": k}`` counts in.

    Raises
    ------
    TypeError, ValueError
        For bounds that are none, with what was expected and got.

    Examples
    --------
    >>> ChunkContext(bound=[0.1, 0.5], bound_axis=-1).profile.config()
    {'abs': [0.1, 0.5], 'axis': -1}
    """

    bound: ArrayLike | None = None
    bound_axis: int | None = None
    static_origin: tuple[int, int] | None = None
    noise: ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.bound is None and self.bound_axis is not None:
            raise ValueError(f"expected bounds along an axis, got bound_axis={self.bound_axis!r} alone")
        if self.static_origin is not None and (len(self.static_origin) != 2 or min(self.static_origin) < 0):
            raise ValueError(f"expected static_origin=(row, column), got {self.static_origin!r}")
        self.profile  # noqa: B018  # raises what is wrong

    @cached_property
    def profile(self) -> Profile | None:
        """The bounds as the encoder takes them."""
        return None if self.bound is None else Profile.parse(self.bound, self.bound_axis)
