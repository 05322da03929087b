"""A volume of fine-unit integers <-> bytes: frames in their order, groups of them predicted from frames known before.

Stage of `pyramid`: frames, domain -> **volume** (order, regression, side, coarse_to_fine, smoothing) -> stream.
Spec: spec/pyramid.md, section 1.

    for each stage, for each of its groups:                      side by side: groups of a stage know nothing of another
        side    = references and static fields, weighted          encoder: by regression;  decoder: as stored
        decoded = coarse to fine, less the side's mean
        known   = smoothed
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice
from adiabat.codec.coarse_to_fine import Mask, reading, walk, writing
from adiabat.codec.entropy import SymbolReader, SymbolWriter
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.models import Model
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.order import Group, Order, needed, stages
from adiabat.codec.plan import Plan
from adiabat.codec.prediction import Arithmetic, Integers
from adiabat.codec.regression import Learner, choose
from adiabat.codec.side import Decoded, Side, Weights
from adiabat.codec.smoothing import Smoothing
from adiabat.codec.target import Fine
from adiabat.codec.workers import abreast, cores

COARSEST = 1 << 40  # coarser than any spacing
Coded = tuple[Integers, NDArray[np.int16]]  # a group's decoded values and clipped symbols
TRIALS = 3  # of the order of a chunk's frames, until what is decoded asks for the same: then it is coded so again
TAPER = (48, 33, 23, 17, 14, 12)  # what `tune="rmse"` takes of the step, finest lattice first


@dataclass
class Frames:
    """Frames of a chunk as they become known: decoded values, how large the symbols were that coded them, statics.

    Values are kept in 32 bits for as long as they fit.
    """

    decoded: Decoded  # (frames, y, x)
    marks: NDArray[np.uint8]
    statics: Integers  # (statics, y, x)

    @classmethod
    def none(cls, shape: tuple[int, int, int], statics: Integers | None = None) -> Frames:
        """No frame known yet."""
        statics = np.empty((0, *shape[1:]), np.int64) if statics is None else statics
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.uint8), statics)

    def put(self, group: Group, decoded: Integers, symbols: NDArray[np.int16]) -> None:
        """Note a group's frames."""
        if self.decoded.dtype == np.int32 and max(decoded.max(), -decoded.min()) > np.iinfo(np.int32).max:
            self.decoded = self.decoded.astype(np.int64)
        self.decoded[group.frames] = decoded
        self.marks[group.frames] = np.minimum(np.abs(symbols), lattice.SYMBOL_LIMIT)

    def side(self, group: Group) -> Side | None:
        """What is known about a group before it is coded; None for nothing."""
        known = group.references.shape[1] or len(self.statics)
        return Side(self.decoded, self.marks, group, self.statics) if known else None


def encode_frames(
    target: Fine,
    *,
    valid: NDArray[np.bool_] | None,
    step: int,
    snap: int,
    wrap: bool,
    model: Model,
    axes: tuple[int, ...] | None = None,
    taper: tuple[int, ...] = (),
    statics: Integers | None = None,
    threads: int | None = None,
) -> tuple[bytes, Decoded]:
    """Code frames so that every decoded value lies within step / 2 of its target.

    Parameters
    ----------
    target : Target or NDArray[np.float64], shape (frames, y, x)
        In fine units, magnitudes up to LIMIT / 2; whatever stands where `valid` is False is not coded.
    valid : NDArray[np.bool_] or None, shape (frames, y, x)
        None: all are.
    step, snap : int
        Quantisation step, and the spacing of values a prediction is rounded to (a power of two), in fine units.
    wrap : bool
        Whether the last axis is periodic.
    axes : tuple of int, optional
        Lengths of the leading axes that the frames were counted over; one axis if not given.
    taper : tuple of int
        Share of the step that each spacing takes, see `Arithmetic`.
    statics : NDArray[np.int64], shape (statics, y, x), optional
        Fields known to both sides, in fine units.
    threads : int, optional
        Workers; None: one for each core.

    Returns
    -------
    payload : bytes
    decoded : NDArray[np.int32] or NDArray[np.int64], shape (frames, y, x)
        What `decode_frames` will return, by the same arithmetic.
    """
    axes = axes or (len(target),)
    arithmetic = Arithmetic(step, snap, model, cores(threads), taper=taper)

    def best(frames: Fine | Decoded) -> tuple[int | None, int]:
        return choose(frames, valid, axes, step) if model.sees_references else (None, 0)

    order = best(target)
    for _ in range(1 if taper else TRIALS):
        payload, frames = _encode_ordered(target, valid, Plan(*order, taper), axes, statics, arithmetic, wrap=wrap)
        order, tried = best(frames.decoded), order
        if order == tried:
            break
    return payload, frames.decoded


def _encode_ordered(
    target: Fine,
    valid: Mask,
    plan: Plan,
    axes: tuple[int, ...],
    statics: Integers | None,
    arithmetic: Arithmetic,
    *,
    wrap: bool,
) -> tuple[bytes, Frames]:
    """Code frames in the order of a plan: the payload, and all that is known then."""
    payload, frames = [plan.write()], Frames.none(target.shape, statics)

    def encode(group: Group) -> tuple[bytes, Coded]:
        return _encode_group(target[group.frames], _part(valid, group), frames, group, arithmetic, wrap=wrap)

    for stage in stages(Order.along(axes, plan.axis, plan.reach).groups(target.shape[1] * target.shape[2])):
        coded = abreast([partial(encode, group) for group in stage], arithmetic.threads)
        for group, (data, known) in zip(stage, coded, strict=True):
            frames.put(group, *known)
            payload += [write_varint(len(data)), data]
    return b"".join(payload), frames


def _encode_group(
    target: NDArray[np.float64], mask: Mask, frames: Frames, group: Group, arithmetic: Arithmetic, *, wrap: bool
) -> tuple[bytes, Coded]:
    """Code a group's frames: its bytes, and what `_decode_group` will return."""
    writer = SymbolWriter(arithmetic.model.tables)
    side, base, first = prepare(target, mask, frames, group, arithmetic)
    start = _write_base(base, writer)
    known, symbols = walk(target.shape, first, writing(target, mask, writer), arithmetic, wrap=wrap, side=side)
    head = (side.weights.write() if side else b"") + start
    if arithmetic.taper:
        steps = arithmetic.steps
        smoothing = Smoothing.fit(known, symbols, target, mask, steps, wrap=wrap)
        known, head = smoothing.apply(known, symbols, steps, arithmetic.step, wrap=wrap), smoothing.write() + head
    return head + writer.payload(), (known, symbols)


def prepare(
    target: NDArray[np.float64], mask: Mask, frames: Frames, group: Group, arithmetic: Arithmetic
) -> tuple[Side | None, Integers, Integers]:
    """A group's references, to be weighted on the way; the symbols of its first pixels, and what those decode to."""
    known, step = frames.side(group), arithmetic.at(COARSEST).step
    side = None if known is None else Learner(known, mask)
    anchor = None if side is None else side.corner()
    base = _base_symbols(target, mask, step, anchor)
    return side, base, _first_pixels(base, step, anchor)


def decode_frames(
    payload: bytes,
    shape: tuple[int, int, int],
    *,
    valid: NDArray[np.bool_] | None,
    step: int,
    snap: int,
    wrap: bool,
    model: Model,
    axes: tuple[int, ...] | None = None,
    version: int = 2,
    only: Integers | None = None,
    statics: Integers | None = None,
    threads: int | None = None,
) -> Decoded:
    """Undo `encode_frames`; the arguments must be the same.

    version: of the stream; only: numbers of the frames that are wanted, the others may be anything.

    Raises
    ------
    CorruptStreamError
        If the payload was not written for this shape, mask and model.
    """
    reader, axes = Reader(payload), axes or (shape[0],)
    plan = Plan.read(reader, axes) if version > 1 else Plan()
    if (plan.reach or statics is not None) and not model.sees_references:
        raise CorruptStreamError("expected a model that sees references, got one of format 1")
    arithmetic, frames = Arithmetic(step, snap, model, cores(threads), taper=plan.taper), Frames.none(shape, statics)
    groups = Order.along(axes, plan.axis, plan.reach).groups(shape[1] * shape[2], version)
    some = needed(groups, only) if only is not None and version > 1 else groups  # version 1 has no lengths to skip by
    parts = {id(group): Reader(reader.take(reader.varint())) if version > 1 else reader for group in groups}

    def decode(group: Group) -> Coded:
        part = parts[id(group)]
        known = _decode_group(part, _part(valid, group), frames, group, arithmetic, wrap=wrap)
        if version > 1:
            part.end()
        return known

    for stage in stages(some):
        decoded = abreast([partial(decode, group) for group in stage], arithmetic.threads if version > 1 else 1)
        for group, known in zip(stage, decoded, strict=True):
            frames.put(group, *known)
    reader.end()
    return frames.decoded


def _decode_group(
    reader: Reader, mask: Mask, frames: Frames, group: Group, arithmetic: Arithmetic, *, wrap: bool
) -> Coded:
    """Undo `_encode_group`."""
    side, anchor, shape = frames.side(group), None, (len(group.frames), *frames.decoded.shape[1:])
    smoothing = Smoothing.read(reader) if arithmetic.taper else None
    if side is not None:
        side.weights = Weights.read(reader, side.columns)
        anchor = side.corner()
    context, first = reader.varint(limit=entropy.CONTEXT_COUNT - 1), _read_signed(reader)
    symbols = SymbolReader(arithmetic.model.tables, reader)
    base = np.full(shape[0], first)
    symbols.read(np.arange(1, shape[0]), _base_starts(context, shape[0] - 1), 0, base)
    pixels = _first_pixels(base, arithmetic.at(COARSEST).step, anchor)
    known, marks = walk(shape, pixels, reading(mask, symbols), arithmetic, wrap=wrap, side=side)
    if smoothing is not None:
        known = smoothing.apply(known, marks, arithmetic.steps, arithmetic.step, wrap=wrap)
    symbols.finish()
    return known, marks


def _part(valid: Mask, group: Group) -> Mask:
    return None if valid is None else valid[group.frames]


def _base_symbols(target: NDArray[np.float64], mask: Mask, step: int, anchor: Integers | None) -> Integers:
    """Steps from each frame's anchor to its first pixel; without anchors, from the frame before.

    A masked first pixel is its anchor, or the frame's first valid value, rounded so coarsely that a second encoding
    agrees.
    """
    pixels = np.rint((target[:, 0, 0] - (0 if anchor is None else anchor)) / step)
    if mask is not None and anchor is not None:
        pixels[~mask[:, 0, 0]] = 0
    elif mask is not None:
        flat, coarse = mask.reshape(len(mask), -1), step * 4096.0
        somewhere = target.reshape(len(mask), -1)[np.arange(len(mask)), flat.argmax(1)]
        filled = np.where(flat.any(1), np.rint(somewhere / coarse) * 4096.0, 0.0)
        pixels = np.where(mask[:, 0, 0], pixels, filled)
    pixels = pixels.astype(np.int64)
    return pixels if anchor is not None else np.asarray(np.diff(pixels, prepend=0), np.int64)


def _first_pixels(base: Integers, step: int, anchor: Integers | None) -> Integers:
    """Undo `_base_symbols`; CorruptStreamError for pixels beyond the limit, even where a product leaves 64 bits."""
    limit, steps = lattice.LIMIT, np.cumsum(base) if anchor is None else base
    pixels: Integers = steps * step if anchor is None else anchor + steps * step
    reach = limit // step if anchor is None else 2 * limit // step
    if max(np.abs(base).max(), np.abs(pixels).max()) > limit or np.abs(steps).max() > reach:
        raise CorruptStreamError(f"expected first pixels up to {limit}, got {pixels}")
    return pixels


def _base_starts(context: int, count: int) -> Integers:
    starts = np.zeros(entropy.CONTEXT_COUNT + 1, np.int64)
    starts[context + 1 :] = count
    return starts


def _write_base(base: Integers, writer: SymbolWriter) -> bytes:
    """First pixel in full; the differences of the others under the table that suits their mean size."""
    spread = float(np.abs(base[1:]).mean()) if len(base) > 1 else 0.0
    index = round(4 * math.log2(max(spread, 2.0**-5))) + entropy.SCALE_ONE
    context = min(index, entropy.SCALE_TOP) * entropy.SHAPES + 1
    writer.write(base[1:], _base_starts(context, len(base) - 1), 0)
    first = int(base[0])
    return write_varint(context) + write_varint(2 * first if first >= 0 else -2 * first - 1)


def _read_signed(reader: Reader) -> int:
    zigzag = reader.varint(limit=1 << 41)
    return -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2
