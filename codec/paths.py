"""The ways a chunk can be coded: neural, classical, spectral, constant, raw; each turned into a checked stream.

Stage of `pyramid` between the domain and the stream. Whatever a path decodes to is compared with the field here, and
what lies outside the bound is stored exactly. Spec: `spec/stream.md`, "Paths".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.atoms import between_atoms
from adiabat.codec.bound import Bound, choose_domain, violations
from adiabat.codec.bound_profile import ProfileDomain
from adiabat.codec.cached import cached_property
from adiabat.codec.classical import encode_classical, sample_rows
from adiabat.codec.decoding import values_of
from adiabat.codec.domain import Domain, OrderedDomain, Range, clip, low_words
from adiabat.codec.exceptions import write_exceptions
from adiabat.codec.frames import Layout, find_wrap, leading_axes
from adiabat.codec.loglinear import LogDomain
from adiabat.codec.mask import Special, find_special, write_plane
from adiabat.codec.noise import Noise
from adiabat.codec.octets import little, pack, shuffle
from adiabat.codec.statics import Static, fine_statics, write_statics
from adiabat.codec.stream import Stream
from adiabat.codec.target import Target

if TYPE_CHECKING:
    from adiabat.codec.models import Model
    from adiabat.codec.side import Decoded

__all__ = ["Chunk"]

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
        A profile finds its axis in the layout's shape.
    fill_value : float or None
        Marks absent pixels.
    valid_range : tuple of two (float or None)
        Decoded values are clipped to it; numbers of the field's dtype.
    wrap : bool or None
        None: seen from the data.
    threads : int or None
        For the network.
    tune : str
        "bytes" or "rmse".
    statics : tuple of Static
        Fields that the decoder has too; their gains are found here.
    noise : Noise or None
        What the bound was asked for in; `bound` is then the tightest of each channel.
    channels : int or None
        The axis of the array's shape along which spectra lie.
    atoms : tuple of float
        Values that are restored exactly and not predicted, beside those that must be.

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
    tune: str = "bytes"
    statics: tuple[Static, ...] = ()
    noise: Noise | None = None
    channels: int | None = None
    atoms: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bound", self.bound.on(self.layout.shape))

    @cached_property
    def special(self) -> Special | None:
        """Pixels that are not predicted; zeros too where the logarithm is coded."""
        log = self.bound.kind == "rel" and LogDomain.fit(self.bound.size, self.field.dtype)
        marker = () if self.fill_value is None else (self.fill_value,)
        return find_special(self.field, *marker, *((0.0,) if log else ()), *self.atoms)

    @cached_property
    def valid(self) -> NDArray[np.bool_] | None:
        """Where pixels are ordinary; None for all."""
        return None if self.special is None else self.special.valid

    @property
    def ordinary(self) -> NDArray[np.floating]:
        """The values that are predicted, one axis."""
        return self.field.reshape(-1) if self.valid is None else self.field[self.valid]

    @cached_property
    def domain(self) -> Domain:
        """How values become integers."""
        domain = choose_domain(self.field, self.valid, self.bound, tune=self.tune)
        return between_atoms(domain, self.atoms, self.ordinary) if self.atoms else domain

    @cached_property
    def target(self) -> Target:
        """The field in fine units; special pixels are 0."""
        return Target(self.field, self.valid, self.domain)

    @cached_property
    def wraps(self) -> bool:
        """Whether x closes on itself."""
        if self.wrap is not None:
            return self.wrap
        return find_wrap(self.target, self.valid, self.domain.step)

    @cached_property
    def kept(self) -> Bound:
        """The bound that the domain keeps everywhere: the smallest where a profile is not coded as one."""
        return self.bound if isinstance(self.domain, ProfileDomain) else self.bound.least

    def _stream(
        self, path: str, sections: dict[str, bytes], stated: tuple[str, float] | None = None, **fields: Any
    ) -> Stream:
        if self.special is not None and path != "raw":
            sections = {"mask": self._mask, **sections}
        layout = self.layout
        return Stream(
            path, layout.dtype, layout.shape, layout.fortran, stated or self.bound.least.stated(),
            valid_range=self.valid_range, sections=sections, **fields,
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
        if isinstance(self.domain, ProfileDomain):
            out = {"bounds": self.domain.profile.write()}
        return out

    def constant(self) -> Stream | None:
        """One value for every ordinary pixel, or None where that breaks the bound."""
        values, dtype = self.ordinary, self.field.dtype
        if not values.size:
            return self._stream("constant", {"payload": bytes(dtype.itemsize)})
        ends, bits = np.array([values.min(), values.max()]), values.view(f"u{dtype.itemsize}")
        exact = self.bound.kind == "lossless" or (self.noise is not None and bool(self.noise.unknown.any()))
        if (exact or (self.bound.kind == "rel" and not ends.any())) and (bits != bits[0]).any():  # zeros have signs
            return None
        middle = values[0] if ends[0] == ends[1] else self.bound.least.middle(*map(float, ends))
        value = values[:1] if exact else clip(np.array([middle]).astype(dtype), self.valid_range)
        if self.bound.kind != "lossless" and violations(ends, np.repeat(value, 2), None, self.bound.least).any():
            return None
        return self._stream("constant", {"payload": little(value)})

    @cached_property
    def is_constant(self) -> bool:
        """Whether all ordinary pixels have one value."""
        values = self.ordinary
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
            if guess * (self.field.size / part.size) > HOPE * best:
                return None
        payload, decoded = encode_classical(self.target[:], self.valid, self.domain.step)
        return self._predicted("classical", {"payload": payload}, decoded, None)

    def neural(self, model: Model) -> tuple[Stream, bool] | None:
        """Coarse-to-fine prediction by a model."""
        from adiabat.codec.volume import TAPER, encode_frames

        statics = self._gained() if model.sees_references else ()
        payload, decoded = encode_frames(
            self.target, valid=self.valid, step=self.domain.step, snap=self.domain.snap,
            wrap=self.wraps, model=model, axes=leading_axes(self.layout.shape), threads=self.threads,
            taper=TAPER if self.tune == "rmse" and self.domain.snap == 1 else (),
            statics=fine_statics(statics, self.field.shape[1:]),
        )  # fmt: skip
        sections = {"payload": payload} | ({"static": write_statics(statics)} if statics else {})
        return self._predicted("neural", sections, decoded, bytes.fromhex(model.sha256))

    def spectral(self) -> tuple[Stream, bool] | None:
        """Prediction from principal spectra; None where there are none, or they cannot be coded so."""
        if self.channels is None or self.bound.kind == "lossless":
            return None
        from adiabat.codec.spectral_path import encode_chunk

        return encode_chunk(self)

    def few(self, values: int) -> Chunk | None:
        """The first frames, of about so many values; None where these are nearly all."""
        frames, height, width = self.field.shape
        count = -(-values // max(1, height * width))
        profile = self.bound.profile
        cut = self.channels == 0 or (profile is not None and profile.axis == 0)  # the first axis must stay whole
        if 2 * count > frames or self.layout.shape != self.field.shape or cut:
            return None
        layout = replace(self.layout, shape=(count, height, width))
        return replace(self, field=self.field[:count], layout=layout, noise=None, channels=None)

    def _gained(self) -> tuple[Static, ...]:
        """The static fields that explain something of this chunk, with their gains."""
        from adiabat.codec.regression import static_gains

        if not self.statics:
            return ()
        fields = np.stack([static.crop(self.field.shape[1:]) for static in self.statics]).astype(np.float64)
        gains = static_gains(self.target, self.valid, fields)
        return tuple(replace(each, gain=float(gain)) for each, gain in zip(self.statics, gains, strict=True) if gain)

    def _predicted(
        self, path: str, coded: dict[str, bytes], decoded: Decoded, model: bytes | None
    ) -> tuple[Stream, bool] | None:
        """Make values of what a decoder will give, and check them; None where one that is no atom became one."""
        sections = {**self._common, **coded}
        values = values_of(self.domain, decoded, self.field.dtype, sections, self.valid_range)
        if self.valid is not None and any((values[self.valid] == atom).any() for atom in self.atoms):
            return None
        stream, exact = self.checked(
            path, sections, values, self.outside(values, self.kept), self.kept.stated(),
            domain=self.domain.parameters(), model=model, wrap=self.wraps if path == "neural" else False,
        )  # fmt: skip
        return stream, exact and not isinstance(self.domain, OrderedDomain)

    def outside(self, values: NDArray[np.floating], bound: Bound) -> NDArray[np.bool_]:
        """Where decoded values are not within the bound, or within their noise where that was asked for."""
        if self.noise is not None:
            return self.noise.outside(self.field, values)
        return violations(self.field, values, self.valid, bound)

    def checked(
        self,
        path: str,
        sections: dict[str, bytes],
        values: NDArray[np.floating],
        outside: NDArray[np.bool_],
        stated: tuple[str, float],
        **fields: Any,
    ) -> tuple[Stream, bool]:
        """Store what lies outside; tell if every bit is kept."""
        if self.valid is not None:
            outside &= self.valid
        if outside.any():
            sections["exceptions"] = write_exceptions(outside, self.field, values)
            values[outside] = self.field[outside]
        exact = not violations(self.field, values, self.valid, Bound("lossless")).any()
        return self._stream(path, sections, stated, **fields), exact
