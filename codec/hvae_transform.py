"""`g_a` and `g_s` of `hvae`: radiance normalised, cut into tiles, through the networks, and back.

Stage of `hvae`: chunk -> **hvae_transform** -> hvae_prior. Spec: spec/hvae.md, section 2.

A chunk is images (y, x) of spectra; each image is cut into tiles of 64 x 64 pixels, the last ones lengthened by their
last rows and columns. Each tile gives latents of a quarter of its rows and columns. All of it is float: nothing here
decides a symbol of a decoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.float_graph import Graph
from adiabat.codec.holes import fill_holes

__all__ = ["BLOCK", "TILE", "Normalisation", "analyse", "images_of", "latent_size", "synthesise", "tiles"]

TILE = 64  # pixels a side
BLOCK = 4  # pixels a side to each latent
SIDE = TILE // BLOCK

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Normalisation:
    """Radiance <-> what the networks see: logarithm, z-score by channel, clip.

    Parameters
    ----------
    mean, spread : NDArray[np.float32], shape (channels,)
        Of the logarithm.
    floor : float
        Radiance below it counts as that much; above zero, in the array's units.
    clip : float
        Largest magnitude of a normalised value.

    Examples
    --------
    >>> normal = Normalisation(np.zeros(2, "f4"), np.full(2, 2, "f4"), 1.0, 10.0)
    >>> x = np.array([[1.0, np.e**4]])
    >>> normal.forth(x).round(6).tolist(), normal.back(normal.forth(x)).round(3).tolist()
    ([[0.0, 2.0]], [[1.0, 54.598]])
    """

    mean: Floats
    spread: Floats
    floor: float
    clip: float

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.spread.shape:
            raise ValueError(f"expected mean and spread of one axis, got {self.mean.shape}, {self.spread.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.spread).all() and (self.spread > 0).all()):
            raise ValueError("expected finite means and spreads above zero")
        if not (0 < self.floor < np.inf and 0 < self.clip <= 64):
            raise ValueError(f"expected floor > 0 and a clip of at most 64, got {self.floor}, {self.clip}")

    def forth(self, x: NDArray[np.floating]) -> Doubles:
        """Normalise radiance (..., channels)."""
        u = (np.log(np.maximum(np.asarray(x, np.float64), self.floor)) - self.mean) / self.spread
        return np.asarray(np.clip(u, -self.clip, self.clip))

    def back(self, u: NDArray[np.floating]) -> Doubles:
        """Radiance of normalised values (..., channels), clipped first."""
        return np.exp(np.clip(np.asarray(u, np.float64), -self.clip, self.clip) * self.spread + self.mean)


def images_of(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A chunk's shape as (images, y, x, channels).

    Examples
    --------
    >>> images_of((5, 2, 32, 256, 1028)), images_of((256, 1028))
    ((10, 32, 256, 1028), (1, 1, 256, 1028))
    """
    padded = (1, 1, 1, 1, *shape)
    return int(np.prod(padded[:-3], dtype=np.int64)), padded[-3], padded[-2], padded[-1]


def latent_size(length: int) -> int:
    """Latents along an axis of so many pixels."""
    return -(-length // BLOCK)


def tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Tiles of an image, row by row."""
    for y in range(0, rows, TILE):
        for x in range(0, columns, TILE):
            yield slice(y, min(y + TILE, rows)), slice(x, min(x + TILE, columns))


def analyse(x: NDArray[np.floating], valid: NDArray[np.bool_] | None, normal: Normalisation, g_a: Graph) -> Doubles:
    """Latents (images, z, rows, columns) of radiance (images, y, x, channels); valid: where it is a number."""
    out: Doubles | None = None
    for image in range(x.shape[0]):
        for rows, columns in tiles(*x.shape[1:3]):
            part = x[image, rows, columns]
            good = None if valid is None else valid[image, rows, columns]
            u = normal.forth(part if good is None else np.where(good, part, normal.floor))
            z = g_a(_lengthened(np.moveaxis(_filled(u, good), -1, 0), TILE)[None].astype(np.float32))[0]
            if out is None:
                out = np.zeros((x.shape[0], z.shape[0], latent_size(x.shape[1]), latent_size(x.shape[2])))
            here = _latents_of(rows, columns)
            height, width = latent_size(part.shape[0]), latent_size(part.shape[1])
            out[image, :, here[0], here[1]] = z[:, :height, :width]
    return np.empty((0, 0, 0, 0)) if out is None else out


def synthesise(z: Floats, shape: tuple[int, int, int, int], normal: Normalisation, g_s: Graph) -> Doubles:
    """Radiance (images, y, x, channels) of latents (images, z, rows, columns)."""
    out = np.empty(shape)
    for image in range(shape[0]):
        for rows, columns in tiles(*shape[1:3]):
            here = _latents_of(rows, columns)
            u = g_s(_lengthened(z[image][:, here[0], here[1]], SIDE)[None])[0]
            u = u[:, : rows.stop - rows.start, : columns.stop - columns.start]
            out[image, rows, columns] = normal.back(np.moveaxis(u, 0, -1))
    return out


def _latents_of(rows: slice, columns: slice) -> tuple[slice, slice]:
    return (
        slice(rows.start // BLOCK, latent_size(rows.stop)),
        slice(columns.start // BLOCK, latent_size(columns.stop)),
    )


def _filled(u: Doubles, good: NDArray[np.bool_] | None) -> Doubles:
    if good is None or good.all():
        return u
    filled = fill_holes(np.ascontiguousarray(np.moveaxis(u, -1, 0)), np.moveaxis(good, -1, 0))
    return np.moveaxis(filled, 0, -1)


def _lengthened(u: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """(channels, rows, columns) lengthened by the last rows and columns to side x side."""
    return np.pad(u, ((0, 0), (0, side - u.shape[1]), (0, side - u.shape[2])), mode="edge")
