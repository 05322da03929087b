"""What a user asks of a latent codec, checked.

Beside the latent codecs (`hyperprior`, `vq`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from adiabat.codec.arguments import representable
from adiabat.codec.context import ChunkContext
from adiabat.codec.latent_field import LatentField
from adiabat.codec.latent_target import Target
from adiabat.codec.pyramid import Pyramid, laid_out

__all__ = ["LatentOptions"]


@dataclass(frozen=True)
class LatentOptions:
    """Target, the Pyramid that keeps the bound, and what both share.

    Parameters
    ----------
    target : Target or None
    bounded : Pyramid or None
        One of the two is not None.
    plain : Pyramid
        Lossless, with the other options: codes what no transform can take.
    """

    target: Target | None
    bounded: Pyramid | None
    plain: Pyramid

    @classmethod
    def parse(
        cls,
        target: object,
        bound: dict[str, Any] | str | None,
        valid_range: Sequence[float | None] | None,
        fill_value: float | None,
        wrap: bool | None,
        model: str | None,
        threads: int | None,
        static: Sequence[str] | None,
    ) -> LatentOptions:
        """Check all; ValueError or TypeError saying what was expected and got."""
        if target is None and bound is None:
            raise ValueError('expected target={"rmse": x} or {"ratio": r}, a bound, or both; got neither')
        if model is not None and not isinstance(model, str):
            raise TypeError(f"expected model=None or a string, got {model!r}")
        shared: dict[str, Any] = {
            "valid_range": valid_range, "fill_value": fill_value, "wrap": wrap, "threads": threads, "static": static
        }  # fmt: skip
        return cls(
            None if target is None else Target.parse(target),
            None if bound is None else Pyramid(bound=bound, **shared),
            Pyramid(bound="lossless", **shared),
            model,
        )

    model: str | None = None

    @property
    def target_config(self) -> dict[str, float] | None:
        """The target as JSON."""
        return None if self.target is None else self.target.config()

    @property
    def bound_config(self) -> dict[str, Any] | str | None:
        """The bound as JSON."""
        return None if self.bounded is None else self.bounded.bound

    @property
    def valid_range(self) -> tuple[float | None, float | None] | None:
        """Decoded values are clipped to it."""
        return self.plain.valid_range

    @property
    def fill_value(self) -> float | None:
        """Marks absent pixels."""
        return self.plain.fill_value

    def config(self) -> dict[str, Any]:
        """All options that are set, as JSON."""
        options = {key: value for key, value in self.plain.get_config().items() if key not in ("id", "bound")}
        own = {"target": self.target_config, "bound": self.bound_config, "model": self.model}
        return {key: value for key, value in own.items() if value is not None} | options

    def field(self, array: ArrayLike, context: ChunkContext | None) -> LatentField:
        """The chunk as a latent codec sees it; TypeError or ValueError for what none can take."""
        values, layout = laid_out(array)
        limits = representable(self.valid_range, layout.native)
        field = LatentField(layout.frames(values), layout, self.fill_value, limits, self.plain.wrap)
        statics = self.plain.statics_of(field.frames.shape[1:], None if context is None else context.static_origin)
        return field.with_gains(statics) if statics else field
