"""The four ways a chunk can be coded: neural, classical, constant, raw; each turned into a checked stream.

Stage of `pyramid` between the domain and the stream. Whatever a path decodes to is compared with the field here, and
what lies outside the bound is stored exactly. Spec: `spec/stream.md`, "Paths".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.bound import Bound, choose_domain, domain_from, violations
from adiabat.codec.classical import decode_classical, encode_classical, sample_rows
from adiabat.codec.domain import Domain, OrderedDomain, low_words, with_low_words
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.exceptions import correct, write_exceptions
from adiabat.codec.frames import Layout, find_wrap, frame_shape
from adiabat.codec.loglinear import LogDomain
from adiabat.codec.mask import Special, find_special, read_plane, write_plane
from adiabat.codec.octets import pack, shuffle, unpack, unshuffle
from adiabat.codec.stream import Stream

if TYPE_CHECKING:
    from adiabat.codec.models import Model

__all__ = ["Chunk", "decode_stream"]

Range = tuple[float | None, float | None]
HOPE = 1.02  # a path is tried in full where a sample promises at most this times the best so far


@dataclass(frozen=True)
class Chunk:
    """One chunk on its way into a stream: what all paths share.

    Parameters
    ----------
    field : NDArray[np.floating], shape (frame, y, x)
        In native byte order, C-contiguous.
    layout : Layout
        Of the array it came from.
    bound : Bound
    fill_value : float or None
        Marks absent pixels.
    valid_range : tuple of two (float or None)
        Decoded values are clipped to it; numbers of the field's dtype.
    wrap : bool or None
        None: seen from the data.
    threads : int or None
        For the network.

    Examples
    --------
    >>> array = np.full((2, 3), 7.0)
    >>> layout = Layout.of(array)
    >>> chunk = Chunk(layout.frames(array), layout, Bound("lossless"))
    >>> chunk.constant().path
    'constant'
    """

    field: NDArray[np.floating]
    layout: Layout
    bound: Bound
    fill_value: float | None = None
    valid_range: Range = (None, None)
    wrap: bool | None = None
    threads: int | None = None

    @cached_property
    def special(self) -> Special | None:
        """Pixels that are not predicted; zeros too where the logarithm is coded."""
        log = self.bound.kind == "rel" and LogDomain.fit(self.bound.size, self.field.dtype)
        return find_special(self.field, self.fill_value, zeros=bool(log))

    @cached_property
    def valid(self) -> NDArray[np.bool_] | None:
        """Where pixels are ordinary; None for all."""
        return None if self.special is None else self.special.valid

    @cached_property
    def domain(self) -> Domain:
        """How values become integers."""
        return choose_domain(self.field, self.valid, self.bound)

    @cached_property
    def target(self) -> NDArray[np.float64]:
        """The field in fine units; special pixels are 0."""
        if self.valid is None:
            return self.domain.to_fine(self.field)
        ordinary = np.where(self.valid, self.field, self.field.dtype.type(1))
        return np.where(self.valid, self.domain.to_fine(ordinary), 0.0)

    @cached_property
    def wraps(self) -> bool:
        """Whether x closes on itself."""
        if self.wrap is not None:
            return self.wrap
        return find_wrap(self.target, self.valid, self.domain.step)

    def _stream(self, path: str, sections: dict[str, bytes], **fields: object) -> Stream:
        if self.special is not None and path != "raw":
            sections = {"mask": self._mask, **sections}
        bound = (self.bound.kind, self.bound.size)
        layout = self.layout
        return Stream(
            path, layout.dtype, layout.shape, layout.fortran, bound,
            valid_range=self.valid_range, sections=sections, **fields,  # type: ignore[arg-type]
        )  # fmt: skip

    @cached_property
    def _mask(self) -> bytes:
        return self.special.write() if self.special else b""

    @cached_property
    def _common(self) -> dict[str, bytes]:
        """Sections every predicted path needs."""
        out = {}
        if isinstance(self.domain, LogDomain):
            signs = np.signbit(self.field)
            signs = signs if self.valid is None else signs & self.valid
            out = {"signs": write_plane(signs)} if signs.any() else {}
        if isinstance(self.domain, OrderedDomain) and self.field.dtype.itemsize == 8:
            low = low_words(self.field)
            low = low if self.valid is None else np.where(self.valid, low, np.uint32(0))
            out = {"low_words": pack(shuffle(low))}
        return out

    def constant(self) -> Stream | None:
        """One value for every ordinary pixel, or None where that breaks the bound."""
        values = self.field.reshape(-1) if self.valid is None else self.field[self.valid]
        dtype = self.field.dtype
        if not values.size:
            return self._stream("constant", {"payload": bytes(dtype.itemsize)})
        ends = np.array([values.min(), values.max()])
        middle = _middle(ends.astype(np.float64), self.bound)
        value = _clip(np.array([values[0] if ends[0] == ends[1] else middle]).astype(dtype), self.valid_range)
        if self.bound.kind == "lossless":
            bits = values.view(f"u{dtype.itemsize}")
            if (bits != bits[0]).any():
                return None
            value = values[:1]
        elif violations(ends, np.repeat(value, 2), None, self.bound).any():
            return None
        return self._stream("constant", {"payload": _little(value)})

    @cached_property
    def is_constant(self) -> bool:
        """Whether all ordinary pixels have one value."""
        values = self.field.reshape(-1) if self.valid is None else self.field[self.valid]
        return not values.size or bool(values.min() == values.max())

    def raw(self, best: int | None = None) -> Stream | None:
        """Every bit as it is; None where a sample says that it cannot beat `best` bytes."""
        band = sample_rows(self.field.shape)
        if best is not None and band is not None:
            part = self.field[band]
            if len(pack(shuffle(part), thorough=False)) * (self.field.size / part.size) > HOPE * best:
                return None
        return self._stream("raw", {"payload": pack(shuffle(self.field))})

    def classical(self, best: int | None = None) -> tuple[Stream, bool] | None:
        """Differences and zlib; None where a sample says that it cannot beat `best` bytes."""
        band = sample_rows(self.target.shape)
        if best is not None and band is not None:
            part = self.target[band]
            valid = None if self.valid is None else self.valid[band]
            guess = len(encode_classical(part, valid, self.domain.step, thorough=False)[0])
            if guess * (self.target.size / part.size) > HOPE * best:
                return None
        payload, decoded = encode_classical(self.target, self.valid, self.domain.step)
        return self._predicted("classical", payload, decoded, None)

    def neural(self, model: Model) -> tuple[Stream, bool]:
        """Coarse-to-fine prediction by a model."""
        from adiabat.codec.coarse_to_fine import encode_frames

        payload, decoded = encode_frames(
            self.target, valid=self.valid, step=self.domain.step, snap=self.domain.snap,
            wrap=self.wraps, model=model, threads=self.threads,
        )  # fmt: skip
        return self._predicted("neural", payload, decoded, bytes.fromhex(model.sha256))

    def _predicted(
        self, path: str, payload: bytes, decoded: NDArray[np.int64], model: bytes | None
    ) -> tuple[Stream, bool]:
        """Check what a decoder will give, store what lies outside; tell if a lossy domain was exact."""
        sections = {**self._common, "payload": payload}
        values = _values(self.domain, decoded, self.field.dtype, sections, self.valid_range)
        outside = violations(self.field, values, self.valid, self.bound)
        if outside.any():
            sections["exceptions"] = write_exceptions(outside, self.field, values)
            values[outside] = self.field[outside]
        exact = not isinstance(self.domain, OrderedDomain)
        exact &= not violations(self.field, values, self.valid, Bound("lossless")).any()
        stream = self._stream(
            path, sections, domain=self.domain.parameters(), model=model,
            wrap=self.wraps if path == "neural" else False,
        )  # fmt: skip
        return stream, exact


def _middle(ends: NDArray[np.float64], bound: Bound) -> float:
    """Find the value between two ends that is equally far from both, in the bound's measure."""
    low, high = float(ends[0]), float(ends[1])
    if bound.kind == "rel" and low * high > 0:
        return 2 / (1 / low + 1 / high) if min(abs(low), abs(high)) > 1e-300 else low
    return low / 2 + high / 2


def _little(values: NDArray[np.floating]) -> bytes:
    """Return the values' little-endian bytes."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _clip(values: NDArray[np.floating], limits: Range) -> NDArray[np.floating]:
    """Clip in place; zeros keep their signs."""
    for limit, beyond in zip(limits, (np.less, np.greater), strict=True):
        if limit is not None:
            values[beyond(values, limit)] = limit
    return values


def _values(
    domain: Domain,
    decoded: NDArray[np.int64],
    dtype: np.dtype[np.floating],
    sections: dict[str, bytes],
    limits: Range,
) -> NDArray[np.floating]:
    """From decoded integers to values, before exceptions and the mask; shared by encoder and decoder."""
    values = domain.from_fine(decoded, dtype)
    if "signs" in sections:
        values[read_plane(sections["signs"], decoded.shape)] *= -1
    if "low_words" in sections:
        low = unshuffle(unpack(sections["low_words"], 4 * values.size), np.dtype(np.uint32))
        values = with_low_words(values, low)
    return values if isinstance(domain, OrderedDomain) else _clip(values, limits)


def decode_stream(stream: Stream, threads: int | None = None) -> NDArray[np.floating]:
    """Decode a parsed stream to frames.

    Parameters
    ----------
    stream : Stream
    threads : int, optional
        For the network.

    Returns
    -------
    NDArray[np.floating], shape (frame, y, x)
        In native byte order.

    Raises
    ------
    CorruptStreamError, ModelNotFoundError
    """
    dtype = stream.dtype.newbyteorder("=")
    shape, sections = frame_shape(stream.shape), dict(stream.sections)
    special = None
    if "mask" in sections:
        special = Special.read(sections["mask"], shape, dtype)
    payload = sections["payload"]
    size = shape[0] * shape[1] * shape[2]
    if stream.path == "raw":
        values = unshuffle(unpack(payload, size * dtype.itemsize), dtype).reshape(shape).copy()
    elif stream.path == "constant":
        if len(payload) != dtype.itemsize:
            raise CorruptStreamError(f"expected a payload of {dtype.itemsize} bytes, got {len(payload)}")
        values = np.full(shape, np.frombuffer(payload, dtype.newbyteorder("<"))[0], dtype)
    else:
        decoded = _decode_integers(stream, shape, special, threads)
        domain = domain_from(stream.domain)
        values = _values(domain, decoded, dtype, sections, stream.valid_range)
        if "exceptions" in sections:
            values = correct(values, sections["exceptions"])
    return values if special is None else special.restore(values)


def _decode_integers(
    stream: Stream, shape: tuple[int, int, int], special: Special | None, threads: int | None
) -> NDArray[np.int64]:
    domain, payload = domain_from(stream.domain), stream.sections["payload"]
    if stream.path == "classical":
        return decode_classical(payload, shape, domain.step)
    from adiabat.codec.coarse_to_fine import decode_frames
    from adiabat.codec.models import find_model

    return decode_frames(
        payload, shape, valid=None if special is None else special.valid, step=domain.step,
        snap=domain.snap, wrap=stream.wrap, model=find_model((stream.model or b"").hex()), threads=threads,
    )  # fmt: skip
