"""`Pyramid`: a bounded codec, coarse-to-fine prediction by a small integer network, residual coded under the bound.

    array -> frames -> mask -> domain -> neural | classical | constant | raw -> stream
                                              (the smallest, checked)

Spec: `spec/stream.md`, `spec/bounds.md`, `spec/mask.md`, `spec/pyramid.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray_like, ndarray_copy
from numpy.typing import ArrayLike, NDArray

from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.paths import Chunk, decode_stream
from adiabat.codec.stream import ELEMENTS_PER_BYTE, MAX_ELEMENTS, Stream, element_count

__all__ = ["Pyramid"]

# A lossy path that happens to be exact counts for less than it weighs: the data were decoded from it,
# most likely, and encoding them again must not change path, and so values.
EXACT_FACTOR, EXACT_BYTES = 0.75, 64


class Pyramid(Codec):  # type: ignore[misc]
    """Compress float arrays under a bound that every decoded value keeps.

    Parameters
    ----------
    bound : {"abs": x}, {"rel": r} or "lossless"
        |value - decoded| <= x in the array's units; <= r |value| for each value, zeros and signs exact;
        or every bit kept. NaN (with payload) and infinities are always restored exactly.
    valid_range : tuple of two (float or None), optional
        Decoded values are clipped to it, inclusive; values outside it are kept exactly.
    fill_value : float, optional
        A number that marks absent pixels; restored exactly.
    wrap : bool, optional
        Whether the last axis closes on itself. Seen from the data if not given.
    model : str, optional
        Id or path of a model; the shipped one if not given. Decoding finds the model by its hash.
    threads : int, optional
        Of the network. Changes speed only, so it is not part of the configuration.

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
        bound: dict[str, float] | str,
        valid_range: Sequence[float | None] | None = None,
        fill_value: float | None = None,
        wrap: bool | None = None,
        model: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._bound = Bound.parse(bound)
        self.bound = self._bound.config()
        self.valid_range = _range(valid_range)
        self.fill_value = None if fill_value is None else _finite("fill_value", fill_value)
        if wrap is not None and not isinstance(wrap, bool):
            raise TypeError(f"expected wrap=None, True or False, got {wrap!r}")
        if model is not None and not isinstance(model, str):
            raise TypeError(f"expected model=None or a string, got {model!r}")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"expected threads=None or at least 1, got {threads!r}")
        self.wrap, self.model, self.threads = wrap, model, threads

    def encode(self, array: ArrayLike, *, context: None = None) -> bytes:
        """Encode one chunk.

        Parameters
        ----------
        array : array of float16, float32 or float64
            Any shape, byte order and memory order; leading axes are frames, the last two y and x.
        context : None
            Reserved.

        Returns
        -------
        bytes
            A self-contained stream. The same array gives the same bytes.

        Raises
        ------
        TypeError
            For another dtype, saying what to use instead.
        ValueError
            For more than 2**31 elements.
        """
        if context is not None:
            raise TypeError(f"expected context=None, got {context!r}")
        values: NDArray[np.floating] = ensure_ndarray_like(array) if _is_buffer(array) else np.asanyarray(array)
        layout = Layout.of(values)
        if element_count(layout.shape) > MAX_ELEMENTS:
            raise ValueError(f"expected at most 2**31 elements in a chunk, got shape {layout.shape}")
        limits = _representable(self.valid_range, layout.native)
        frames = layout.frames(values)
        chunk = Chunk(frames, layout, self._bound, self.fill_value, limits, self.wrap, self.threads)
        return self._smallest(chunk)

    def _smallest(self, chunk: Chunk) -> bytes:
        """Try the paths that may pay and keep the smallest, with a favour for data decoded before."""
        from adiabat.codec.models import find_model

        constant = chunk.constant()
        if constant is not None and chunk.is_constant:
            return constant.write()
        tries = _written(constant)
        tries += _written(chunk.neural(find_model(self.model)))
        best = min((len(data) for data, _ in tries), default=None)
        tries += _written(chunk.classical(best))
        best = min((len(data) for data, _ in tries), default=None)
        tries += _written(chunk.raw(best))
        return min(tries, key=lambda item: _cost(*item))[0]

    def decode(self, data: object, out: NDArray[np.floating] | None = None) -> Any:
        """Decode one chunk; needs nothing of this codec's configuration.

        Parameters
        ----------
        data : bytes-like
            What `encode` gave.
        out : NDArray, optional
            Where to put the values.

        Returns
        -------
        NDArray[np.floating]
            Of the shape, dtype (byte order included) and memory order that `encode` saw, or `out`.

        Raises
        ------
        TruncatedStreamError, CorruptStreamError, UnsupportedVersionError, ModelNotFoundError
        """
        stream = Stream.read(ensure_bytes(data))
        layout = Layout(stream.dtype, stream.shape, stream.fortran)
        array = layout.restore(decode_stream(stream, self.threads))
        if isinstance(out, np.ndarray) and out.shape == array.shape:
            np.copyto(out, array)
            return out
        return array if out is None else ndarray_copy(array, out)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as JSON; what is not set is left out."""
        options = {
            "bound": self.bound,
            "valid_range": None if self.valid_range is None else list(self.valid_range),
            "fill_value": self.fill_value,
            "wrap": self.wrap,
            "model": self.model,
        }
        return {"id": self.codec_id} | {key: v for key, v in options.items() if v is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pyramid:
        """Make a codec from what `get_config` gave, with or without its id."""
        return cls(**{key: value for key, value in config.items() if key != "id"})

    def __repr__(self) -> str:
        options = {key: value for key, value in self.get_config().items() if key != "id"}
        return f"Pyramid({', '.join(f'{key}={value!r}' for key, value in options.items())})"


def _written(stream: Stream | tuple[Stream, bool] | None) -> list[tuple[bytes, bool]]:
    """Bytes of a candidate and whether it keeps every bit; nothing where readers would refuse it."""
    if stream is None:
        return []
    made, exact = stream if isinstance(stream, tuple) else (stream, False)
    data = made.write()
    predicted = made.path in ("classical", "neural")
    if predicted and element_count(made.shape) > ELEMENTS_PER_BYTE * len(data):
        return []
    return [(data, exact)]


def _cost(data: bytes, favoured: bool) -> float:
    return EXACT_FACTOR * len(data) - EXACT_BYTES if favoured else len(data)


def _is_buffer(array: object) -> bool:
    return isinstance(array, bytes | bytearray | memoryview)


def _finite(name: str, number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
        raise TypeError(f"expected a number for {name}, got {number!r}")
    if not math.isfinite(number):
        raise ValueError(f"expected a finite {name}, got {number!r} (NaN and infinities are always kept)")
    return float(number)


def _range(limits: Sequence[float | None] | None) -> tuple[float | None, float | None] | None:
    if limits is None:
        return None
    if isinstance(limits, str) or not isinstance(limits, Sequence) or len(limits) != 2:
        raise TypeError(f"expected valid_range=(lowest, highest), got {limits!r}")
    low, high = (None if end is None else _finite("valid_range", end) for end in limits)
    if low is not None and high is not None and low > high:
        raise ValueError(f"expected valid_range with lowest <= highest, got {limits!r}")
    return low, high


def _representable(
    limits: tuple[float | None, float | None] | None, dtype: np.dtype[np.floating]
) -> tuple[float | None, float | None]:
    """Narrow limits to numbers of the dtype; an end beyond its range is no limit."""
    out: list[float | None] = []
    for end, inward in zip(limits or (None, None), (np.inf, -np.inf), strict=True):
        if end is None or abs(end) > float(np.finfo(dtype).max):
            out.append(None)
            continue
        number = np.float64(end).astype(dtype)
        if (float(number) - end) * inward < 0:
            number = np.nextafter(number, dtype.type(inward))
        out.append(float(number))
    if out[0] is not None and out[1] is not None and out[0] > out[1]:
        raise ValueError(f"expected a valid_range that holds a {dtype} number, got {limits}")
    return out[0], out[1]
