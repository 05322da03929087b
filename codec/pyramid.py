"""`Pyramid`: a bounded codec, coarse-to-fine prediction by a small integer network, residual coded under the bound.

    array -> frames -> mask -> domain -> neural | classical | constant | raw -> stream
                                              (the smallest, checked)

Spec: `spec/stream.md`, `spec/bounds.md`, `spec/mask.md`, `spec/pyramid.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_ndarray_like
from numpy.typing import ArrayLike, NDArray

from adiabat.codec.arguments import finite, hashes, representable, value_range
from adiabat.codec.bound import Bound
from adiabat.codec.candidates import smallest
from adiabat.codec.context import ChunkContext
from adiabat.codec.decoding import decode_array
from adiabat.codec.frames import Layout
from adiabat.codec.noise import Noise
from adiabat.codec.paths import Chunk
from adiabat.codec.statics import Static, find_static
from adiabat.codec.stream import MAX_ELEMENTS, element_count

__all__ = ["Pyramid"]

TUNES = ("bytes", "rmse")


class Pyramid(Codec):  # type: ignore[misc]
    """Compress float arrays under a bound that every decoded value keeps.

    Parameters
    ----------
    bound : {"abs": x}, {"abs": [x, ...], "axis": k}, {"rel": r} or "lossless"
        |value - decoded| <= x in the array's units, or x for each index along one axis of the chunk (the only one of
        that length if `axis` is not given); <= r |value| for each value, zeros and signs exact; or every bit kept.
        NaN (with payload) and infinities are always restored exactly.
    valid_range : tuple of two (float or None), optional
        Decoded values are clipped to it, inclusive; values outside it by more than the bound are kept exactly.
    fill_value : float, optional
        A number that marks absent pixels; restored exactly.
    wrap : bool, optional
        Whether the last axis closes on itself. Seen from the data if not given.
    tune : {"bytes", "rmse"}
        What to save within the bound: bytes, or mean square error at some cost in bytes.
    static : sequence of str, optional
        SHA-256 of static fields, such as orography, that encoder and decoder have (`adiabat.codec.statics`); each as
        large as a chunk's last two axes, unless the encoder is told where a chunk lies.
    model : str, optional
        Id or path of a model; the shipped one if not given. Decoding finds the model by its hash.
    threads : int, optional
        Of the network. Changes speed only, so it is not part of the configuration.
    channels : int, optional
        The axis, negative from the end, along which a pixel's channels lie, if these are spectra: they are then
        predicted from a few principal spectra of the chunk, where that takes fewer bytes.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no sense, with what was expected and got.

    Examples
    --------
    >>> field = np.linspace(220, 300, 2000, dtype="f4").reshape(40, 50)
    >>> codec = Pyramid(bound={"abs": 0.1})
    >>> data = codec.encode(field)
    >>> bool(np.abs(codec.decode(data) - field).max() <= 0.1), len(data) < field.nbytes
    (True, True)
    """

    codec_id: ClassVar[str] = "adiabat.pyramid"

    def __init__(
        self,
        *,
        bound: dict[str, Any] | str,
        valid_range: Sequence[float | None] | None = None,
        fill_value: float | None = None,
        wrap: bool | None = None,
        tune: str = "bytes",
        static: Sequence[str] | None = None,
        model: str | None = None,
        threads: int | None = None,
        channels: int | None = None,
    ) -> None:
        self._bound = Bound.parse(bound)
        self.bound = self._bound.config()
        self.valid_range = value_range(valid_range)
        self.fill_value = None if fill_value is None else finite("fill_value", fill_value)
        if wrap is not None and not isinstance(wrap, bool):
            raise TypeError(f"expected wrap=None, True or False, got {wrap!r}")
        if tune not in TUNES:
            raise ValueError(f"expected tune to be one of {TUNES}, got {tune!r}")
        if model is not None and not isinstance(model, str):
            raise TypeError(f"expected model=None or a string, got {model!r}")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"expected threads=None or at least 1, got {threads!r}")
        self.wrap, self.tune, self.model, self.threads = wrap, tune, model, threads
        self.static = hashes(static)
        if channels is not None and (isinstance(channels, bool) or not isinstance(channels, int)):
            raise TypeError(f"expected channels=None or an axis, got {channels!r}")
        self.channels = channels

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
            A self-contained stream. The same array gives the same bytes.

        Raises
        ------
        TypeError
            For another dtype, saying what to use instead.
        ValueError
            For more than 2**31 elements, and where bounds along an axis do not fit the array.
        """
        values, layout = laid_out(array)
        bound, noise = self._bound_in(context), None
        if bound.kind == "noise":
            bound, noise = self._noise_in(context, values)
        limits = representable(self.valid_range, layout.native)
        frames = layout.frames(values)
        statics = self.statics_of(frames.shape[1:], None if context is None else context.static_origin)
        chunk = Chunk(
            frames, layout, bound, self.fill_value, limits, self.wrap, self.threads, tune=self.tune, statics=statics,
            noise=noise, channels=self._channels_in(layout.shape),
        )  # fmt: skip
        return smallest(chunk, self.model)

    def statics_of(self, shape: tuple[int, ...], origin: tuple[int, int] | None) -> tuple[Static, ...]:
        """Return the static fields with the chunk's place in them."""
        for sha256 in self.static or ():
            found = find_static(sha256).shape
            if origin is None and found != shape:
                raise ValueError(
                    f"expected static fields of the chunk's last two axes {shape}, "
                    f"or a context that says where it lies in them, got a field of {found}"
                )
        return tuple(Static(sha256, *(origin or (0, 0))) for sha256 in self.static or ())

    def _bound_in(self, context: ChunkContext | None) -> Bound:
        """Return the context's bound, or else the configured one."""
        if context is None:
            return self._bound
        if not isinstance(context, ChunkContext):
            raise TypeError(f"expected context=None or a ChunkContext, got {context!r}")
        if context.profile is None:
            return self._bound
        if self._bound.kind not in ("abs", "profile"):
            raise ValueError(f"expected a codec with an absolute bound for a context's bound, got {self.bound!r}")
        return Bound.along(context.profile)

    def _noise_in(self, context: ChunkContext | None, values: NDArray[np.floating]) -> tuple[Bound, Noise]:
        """Return the noise that a bound counts in, and the tightest bound of each channel."""
        if context is None or context.noise is None:
            raise ValueError(
                f"expected a context with the noise of the values for bound={self.bound!r}, got none: Zarr alone "
                "cannot give it, adiabat.formats.compress can"
            )
        axis = -1 if self.channels is None else self.channels
        noise = Noise.of(self._bound.size, context.noise, values, axis=axis)
        profile = noise.profile(values.shape, axis) if values.size and values.ndim else None
        return (Bound("lossless") if profile is None else Bound.along(profile)), noise

    def _channels_in(self, shape: tuple[int, ...]) -> int | None:
        """Return the axis of channels, where a chunk has one."""
        axis = -1 if self.channels is None and self._bound.kind == "noise" else self.channels
        return None if axis is None or not -len(shape) <= axis < len(shape) else axis % len(shape)

    def decode(
        self, data: object, out: NDArray[np.floating] | None = None, *, frames: NDArray[np.int64] | None = None
    ) -> Any:
        """Decode one chunk; needs nothing of this codec's configuration.

        Parameters
        ----------
        data : bytes-like
            What `encode` gave.
        out : NDArray, optional
            Where to put the values.
        frames : NDArray[np.int64], optional
            Numbers of the frames that are wanted, counted over the leading axes in C order, axes of length 1 left out;
            the values of others may be anything then, and take no time where the chunk allows.

        Returns
        -------
        NDArray[np.floating]
            Of the shape, dtype (byte order included) and memory order that `encode` saw, or `out`.

        Raises
        ------
        TruncatedStreamError, CorruptStreamError, UnsupportedVersionError, ModelNotFoundError
        """
        return decode_array(data, out, threads=self.threads, frames=frames)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as JSON; what is not set is left out."""
        options = {
            "bound": self.bound,
            "valid_range": None if self.valid_range is None else list(self.valid_range),
            "fill_value": self.fill_value,
            "wrap": self.wrap,
            "tune": None if self.tune == TUNES[0] else self.tune,
            "static": None if self.static is None else list(self.static),
            "model": self.model,
            "channels": self.channels,
        }
        return {"id": self.codec_id} | {key: v for key, v in options.items() if v is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pyramid:
        """Make a codec from what `get_config` gave, with or without its id."""
        return cls(**{key: value for key, value in config.items() if key != "id"})

    def __repr__(self) -> str:
        options = {key: value for key, value in self.get_config().items() if key != "id"}
        return f"Pyramid({', '.join(f'{key}={value!r}' for key, value in options.items())})"


def laid_out(array: ArrayLike) -> tuple[NDArray[np.floating], Layout]:
    """What a codec was given as an array, and how it lies; TypeError or ValueError for what no codec takes."""
    buffer = isinstance(array, bytes | bytearray | memoryview)
    values: NDArray[np.floating] = ensure_ndarray_like(array) if buffer else np.asanyarray(array)
    layout = Layout.of(values)
    if element_count(layout.shape) > MAX_ELEMENTS:
        raise ValueError(f"expected at most 2**31 elements in a chunk, got shape {layout.shape}")
    return values, layout
