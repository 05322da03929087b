"""What the latent codecs have in common: options, target and bound, decoding, configuration.

Beside `hyperprior` and `vq`, which say what their candidates are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numcodecs.abc import Codec
from numpy.typing import ArrayLike, NDArray

from adiabat.codec.context import ChunkContext
from adiabat.codec.decoding import decode_array
from adiabat.codec.latent_choice import Candidate, Latents, choose
from adiabat.codec.latent_field import LatentField
from adiabat.codec.latent_options import LatentOptions
from adiabat.codec.statics import write_statics
from adiabat.codec.stream import Stream

__all__ = ["LatentCodec", "candidate"]


class LatentCodec(Codec):  # type: ignore[misc]
    """Base of the latent codecs.

    Parameters
    ----------
    target : {"rmse": x} or {"ratio": r}, optional
        At most this root mean square error over a chunk, unweighted, in float64 and the array's units; or at least this
        ratio of the array's bytes, as float32, to all bytes of the stream, where a stream can be as small as that.
    bound : optional
        As for `Pyramid`: every value keeps it. The residual is then coded by Pyramid, and the smaller of both kept.
        One of target and bound, or both, must be given.
    valid_range, fill_value, wrap, threads, static : optional
        As for `Pyramid`. What static fields explain of a chunk, by one gain each, is not coded.
    model : str, optional
        Id or path of a model; the shipped one if not given. Decoding finds the model by its hash.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no sense, with what was expected and got.
    """

    codec_id: ClassVar[str]

    def __init__(
        self,
        *,
        target: dict[str, float] | None = None,
        bound: dict[str, Any] | str | None = None,
        valid_range: Sequence[float | None] | None = None,
        fill_value: float | None = None,
        wrap: bool | None = None,
        model: str | None = None,
        threads: int | None = None,
        static: Sequence[str] | None = None,
    ) -> None:
        self._options = LatentOptions.parse(target, bound, valid_range, fill_value, wrap, model, threads, static)
        self.target, self.bound = self._options.target_config, self._options.bound_config
        self.valid_range, self.fill_value = self._options.valid_range, self._options.fill_value
        self.wrap, self.model, self.threads, self.static = wrap, model, threads, self._options.plain.static

    def latents(self, field: LatentField) -> Latents:
        """The encoder of one chunk."""
        raise NotImplementedError

    def encode(self, array: ArrayLike, *, context: ChunkContext | None = None) -> bytes:
        """Encode one chunk.

        Parameters
        ----------
        array : array of float16, float32 or float64
            Any shape, byte order and memory order; leading axes are frames, the last two y and x.
        context : ChunkContext, optional
            What is so of this chunk only.

        Returns
        -------
        bytes
            A self-contained stream, of this codec or, where that is smaller or nothing else will do, of Pyramid. The
            same array gives the same bytes.

        Raises
        ------
        TypeError
            For another dtype, saying what to use instead.
        ValueError
            For more than 2**31 elements.
        """
        field = self._options.field(array, context)
        return choose(field, self._options, self.latents(field) if field.codable else None, context)

    def decode(
        self, data: object, out: NDArray[np.floating] | None = None, *, frames: NDArray[np.int64] | None = None
    ) -> Any:
        """Decode one chunk; needs nothing of this codec's configuration. As `Pyramid.decode`."""
        return decode_array(data, out, threads=self.threads, frames=frames)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as JSON; what is not set is left out."""
        return {"id": self.codec_id} | self._options.config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a codec from what `get_config` gave, with or without its id."""
        return cls(**{key: value for key, value in config.items() if key != "id"})

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self._options.config().items())
        return f"{type(self).__name__}({options})"


def candidate(
    field: LatentField,
    codec_id: str,
    model: str,
    payload: bytes,
    step: float,
    x_hat: NDArray[np.float64],
    *,
    centre: float,
    drift: float = 0.0,
) -> Candidate:
    """A latent stream without a residual, and how good it is.

    model: its SHA-256 in hexadecimal; x_hat: before what static fields explain.
    """
    layout = field.layout
    sections = {"payload": payload} | ({} if field.special is None else {"mask": field.special.write()})
    if field.statics:
        sections, x_hat = sections | {"static": write_statics(field.statics)}, x_hat + field.explained
    stream = Stream(
        "latent", layout.dtype, layout.shape, layout.fortran, ("unbounded", 0.0), ("latent", centre, step),
        field.wraps, field.limits, bytes.fromhex(model), sections, codec=codec_id,
    )  # fmt: skip
    return Candidate(stream, x_hat, len(stream.write()), field.rmse(field.finished(x_hat.copy())), drift)
