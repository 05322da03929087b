"""One chunk on its way through `VQ` at one step: coarse field, details, reconstruction; and the payload of them.

Stage of `vq`: frames, mask -> **vq_field** (vq_transform, volume, vq_choice, vq_prior) -> stream. Spec: spec/vq.md.

    payload = levels, fineness of the coarse field, gain, coarse field (as Pyramid codes one), indices
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.models import Model, find_model
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.volume import TAPER, decode_frames, encode_frames
from adiabat.codec.vq_choice import LMBDA, write_details
from adiabat.codec.vq_contexts import UNIT, bends
from adiabat.codec.vq_model import VQModel
from adiabat.codec.vq_prior import read_indices, write_groups
from adiabat.codec.vq_transform import analyse, level_shapes, synthesise

__all__ = ["Attempt", "Setting", "decode_payload", "encode_field"]

STEP = 256  # of the coarse field, in its fine units
FINENESS = 16  # the coarse field's step is this part of the step, times `fineness`
GAINS = 8  # a gain of 1, as stored
MAX_LEVELS = 8
LARGEST = float(1 << 20)  # of a field, in steps: float32 is exact to a sixteenth of a step

Frames = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """What an encoder may choose.

    Parameters
    ----------
    levels : int
        Halvings down to the coarse field, 1 to MAX_LEVELS.
    fineness : int
        Of the coarse field, in sixteenths of the step, 1 to 255.
    gain : int
        Of the networks' corrections, in eighths.
    lmbda : float
        Distortion, in squared steps, that a bit is worth; 0 takes the nearest words.
    """

    levels: int
    fineness: int = 26
    gain: int = GAINS
    lmbda: float = LMBDA


@dataclass
class Attempt:
    """A field coded with one step: its payload, and what a decoder makes of it."""

    step: float
    payload: bytes
    smooth: Floats
    details: list[NDArray[np.int32]]
    size: tuple[int, int]
    wrap: bool
    model: VQModel
    gain: int
    threads: int | None

    @cached_property
    def decoded(self) -> Floats:
        """In steps, from the centre (frames, y, x)."""
        return _synthesise(self.model, self.smooth, self.details, self.size, self.gain, self.threads, wrap=self.wrap)


def encode_field(
    field: Frames,
    step: float,
    setting: Setting,
    model: VQModel,
    axes: tuple[int, ...],
    *,
    wrap: bool,
    threads: int | None = None,
) -> Attempt:
    """Code a field with a step.

    Parameters
    ----------
    field : NDArray[np.float64], shape (frames, y, x)
        Finite, the centre taken out.
    step : float
        In the field's units.
    axes : tuple of int
        Lengths of the leading axes that the frames were counted over.

    Raises
    ------
    ValueError
        If the field is too large for so fine a step.
    """
    x = field / step
    if not np.abs(x).max() < LARGEST:
        raise ValueError(f"expected a field below {LARGEST:g} steps, got {np.abs(x).max():g}")
    smooth, details = analyse(x.astype(np.float32), model.g_a(threads), setting.levels, wrap=wrap)
    coarse_step = setting.fineness / (FINENESS * STEP)
    payload, coarse = encode_frames(
        smooth.astype(np.float64) / coarse_step, valid=None, step=STEP, snap=1, wrap=wrap, model=coarse_model(model),
        axes=axes, taper=TAPER, threads=threads,
    )  # fmt: skip
    smooth_hat = np.asarray(coarse, np.float64) * coarse_step
    groups, decoded = write_details(model.prior, details, bends(smooth_hat, wrap=wrap), wrap=wrap, lmbda=setting.lmbda)
    head = bytes([setting.levels, setting.fineness, setting.gain]) + write_varint(len(payload))
    return Attempt(
        step, head + payload + write_groups(model.prior, groups), smooth_hat.astype(np.float32), decoded,
        (field.shape[1], field.shape[2]), wrap, model, setting.gain, threads,
    )  # fmt: skip


def coarse_model(model: VQModel) -> Model:
    """The model of Pyramid that codes the coarse field; the package names it."""
    return find_model(str(model.manifest["coarse"]))


def decode_payload(
    payload: bytes, shape: tuple[int, int, int], model: VQModel, axes: tuple[int, ...], *, wrap: bool,
    threads: int | None = None,
) -> Floats:  # fmt: skip
    """Undo `encode_field`: the field in steps, from its centre, (frames, y, x).

    Raises
    ------
    CorruptStreamError
        If the payload was not written for this shape and model.
    """
    reader = Reader(payload)
    levels, fineness, gain = reader.u8(), reader.u8(), reader.u8()
    if not 1 <= levels <= MAX_LEVELS or not fineness or gain > 2 * GAINS:
        raise CorruptStreamError(
            f"expected levels, fineness and gain in their ranges, got {levels}, {fineness}, {gain}"
        )
    shapes = level_shapes(shape[1], shape[2], levels)[1:]
    coarse = decode_frames(
        reader.take(reader.varint()), (shape[0], *shapes[-1]), valid=None, step=STEP, snap=1, wrap=wrap,
        model=coarse_model(model), axes=axes, threads=threads,
    )  # fmt: skip
    smooth = np.asarray(coarse, np.float64) * (fineness / (FINENESS * STEP))
    details = read_indices(model.prior, reader.take(reader.left), bends(smooth, wrap=wrap), shapes, wrap=wrap)
    return _synthesise(model, smooth.astype(np.float32), details, (shape[1], shape[2]), gain, threads, wrap=wrap)


def _synthesise(
    model: VQModel,
    smooth: Floats,
    details: Sequence[NDArray[np.int32]],
    size: tuple[int, int],
    gain: int,
    threads: int | None,
    *,
    wrap: bool,
) -> Floats:
    bands = [each.astype(np.float32) / np.float32(UNIT) for each in details]
    return synthesise(smooth, bands, model.g_s(threads), size, wrap=wrap, gain=gain / GAINS)
