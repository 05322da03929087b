"""What static fields, such as orography, explain of a chunk: taken off before a latent transform, put back after it.

Stage of the latent codecs: mask -> **latent_statics** -> transform. A chunk's field is nearly linear in them (air is
about 6 K colder a kilometre up, at every scale), so that one gain for each field does it. Spec: spec/hyperprior.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import wavelet
from adiabat.codec.holes import fill_holes
from adiabat.codec.statics import Static

__all__ = ["explained", "fit_gains"]

LEAST = 0.03  # of the detail's energy, the mean over scale levels, that a static field has to explain
SCALES = 6  # finest scale levels looked at
SAMPLE_FRAMES = 8

Floats = NDArray[np.float64]


def explained(statics: tuple[Static, ...], shape: tuple[int, int]) -> Floats:
    """Sum of the static fields times their gains: float64, shape (y, x)."""
    total = np.zeros(shape)
    for static in statics:
        total += static.gain * static.crop(shape).astype(np.float64)
    return total


def fit_gains(
    frames: NDArray[np.floating], valid: NDArray[np.bool_] | None, statics: tuple[Static, ...]
) -> tuple[Static, ...]:
    """Least-squares gains over the detail of a few frames; those static fields that explain something of it.

    Parameters
    ----------
    frames : NDArray[np.floating], shape (frames, y, x)
    valid : NDArray[np.bool_] or None, same shape
    statics : tuple of Static
        Their gains are not looked at.
    """
    shape = frames.shape[1:]
    if not statics or min(shape) < 8:
        return ()
    some = np.linspace(0, len(frames) - 1, min(len(frames), SAMPLE_FRAMES)).astype(np.intp)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        fields = frames[some].astype(np.float64)
    known = np.ones(fields.shape, bool) if valid is None else valid[some]
    if not known.any():
        return ()
    fields = fill_holes(np.where(known, fields, 0.0), known)
    size = float(np.abs(fields).max()) or 1.0
    target = _details(fields / size)
    weights = [1 / math.sqrt(energy) if (energy := float((level * level).sum())) > 0 else 0.0 for level in target]
    y = np.concatenate([(level * weight).reshape(-1) for level, weight in zip(target, weights, strict=True)])
    kept = list(statics)
    while kept:
        x = np.stack([_alike(static.crop(shape).astype(np.float64), known, weights) for static in kept])
        gains, shares = _regression(x, y)
        worst = int(np.argmin(shares))
        if shares[worst] >= LEAST:
            return tuple(replace(each, gain=float(gain) * size) for each, gain in zip(kept, gains, strict=True))
        del kept[worst]
    return ()


def _details(fields: Floats) -> list[Floats]:
    """Coefficients of the finest scale levels: (frames, coefficients) of each."""
    levels = wavelet.scales(*fields.shape[1:], x_first=False)[:SCALES]
    _, bands = wavelet.analyse(fields, levels, wrap=False)
    return [np.concatenate([band.reshape(len(fields), -1) for band in some.values()], 1) for some in bands]


def _alike(static: Floats, known: NDArray[np.bool_], weights: list[float]) -> Floats:
    """A static field's coefficients, flat, with the holes and the weights of the frames."""
    if known.all():
        levels = [level.repeat(len(known), 0) for level in _details(static[None])]
    else:
        levels = _details(fill_holes(np.broadcast_to(static, known.shape), known))
    return np.concatenate([(level * weight).reshape(-1) for level, weight in zip(levels, weights, strict=True)])


def _regression(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Gains, and by how much of the energy of y the rest grows without each of the rows of x."""
    moments = np.einsum("ik,jk->ij", x, x)  # no BLAS: its threads would take the cores from ours
    along, whole = np.einsum("ik,k->i", x, y), float(np.einsum("k,k->", y, y))
    trace = float(np.trace(moments))
    if whole <= 0 or trace <= 0:
        return np.zeros(len(x)), np.zeros(len(x))
    inverse = np.linalg.inv(moments + 1e-9 * trace * np.eye(len(x)))
    gains = inverse @ along
    return gains, gains**2 / np.diag(inverse) / whole
