"""The baseline of `spectra.py`: principal components, quantised, coded as images by JPEG XL, with a residual or not."""

from __future__ import annotations

import lzma
from typing import Any

import imagecodecs
import numpy as np

COUNTS = (4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
COARSENESS = (0.25, 0.5, 1.0, 2.0, 4.0)  # steps of coefficients, in units of noise
EFFORT = 9  # of JPEG XL
FEW = 16  # of how many channels one tells how many bits a residual takes
Array = np.ndarray


def jpeg_xl(z: Array, step: float) -> tuple[int, Array]:
    """Quantise and code losslessly as one image, leading axes below each other; what undoes it is counted."""
    low = float(z.min())
    index = np.rint((z.astype(np.float64) - low) / step).astype(np.int64)
    image = index.reshape(-1, z.shape[-1])
    if index.max() > 65535:
        size = len(lzma.compress(np.diff(image, axis=-1, prepend=0).astype("<i4").tobytes()))
        return size + 16, (low + step * index).astype(np.float32)
    data = imagecodecs.jpegxl_encode(image.astype(np.uint16), lossless=True, effort=EFFORT)
    back = imagecodecs.jpegxl_decode(data).reshape(z.shape)
    return len(data) + 16, (low + step * back.astype(np.float64)).astype(np.float32)


def entropy(symbols: Array) -> float:
    """Bits a symbol under its own histogram; missing ones are left out."""
    counts = np.unique(symbols[np.isfinite(symbols)], return_counts=True)[1]
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum())


class Model:
    """Principal components of z (..., channel), in units of noise; their spectra are stored in 16 bits."""

    def __init__(self, z: Array) -> None:
        self.shape, flat = z.shape, z.reshape(-1, z.shape[-1]).astype(np.float64)
        self.mean = flat.mean(0).astype(np.float32).astype(np.float64)
        self.z = flat - self.mean
        vectors = np.linalg.eigh(self.z.T @ self.z)[1][:, ::-1][:, : COUNTS[-1]]
        unit = np.abs(vectors).max(0) / 32767
        self.spectra = np.rint(vectors / unit)
        self.c = self.z @ vectors
        self.vectors = self.spectra * unit

    def basis_bytes(self, count: int) -> int:
        """Mean and spectra, differences along wavelength by LZMA where that is smaller."""
        stored = self.spectra[:, :count].T.astype("<i2")
        packed = min(len(lzma.compress(each.tobytes())) for each in (stored, np.diff(stored, axis=1, prepend=0)))
        return packed + 4 * count + 4 * len(self.mean)

    def estimate(self, step: float) -> Array:
        """Bytes of each component's image, from the left or as it is, by entropy."""
        images = np.rint(self.c / step)
        own = [min(entropy(n), entropy(np.diff(n))) for n in images.T]
        return np.array(own) * len(self.c) / 8

    def coded(self, count: int, step: float) -> tuple[int, Array]:
        """Bytes of the components, and what they predict."""
        coded = [jpeg_xl(self.c[:, i].reshape(*self.shape[:-1]), step) for i in range(count)]
        c = np.stack([back.ravel() for _, back in coded], 1).astype(np.float64)
        return self.basis_bytes(count) + sum(size for size, _ in coded), c @ self.vectors[:, :count].T

    def within(self, budget: int) -> dict[str, Any]:
        """The least squared error within so many bytes, without a bound."""
        total, plans = float((self.z**2).sum()), []
        for step in COARSENESS:
            sizes = np.cumsum(self.estimate(step))
            kept = np.cumsum((self.c**2 - (self.c - np.rint(self.c / step) * step) ** 2).sum(0))
            for count in (count for count in COUNTS if count <= self.c.shape[1]):
                plans.append((total - kept[count - 1], sizes[count - 1] + 1.7 * count * len(self.mean), count, step))
        for _, size, count, step in sorted(plans):
            if size > 1.05 * budget:
                continue
            real, decoded = self.coded(count, step)
            if real <= budget:
                decoded = (decoded + self.mean).reshape(self.shape)
                return {"bytes": real, "components": count, "step": step, "decoded": decoded}
        raise SystemExit(f"no principal components fit into {budget} bytes")

    def bounded(self, room: float) -> dict[str, Any]:
        """Fewest bytes with a residual in steps of 2 room, coded by JPEG XL as an image of pixels x channels."""
        some = np.linspace(0, len(self.mean) - 1, FEW).astype(int)
        plans = []
        for step in COARSENESS:
            sizes, n = np.cumsum(self.estimate(step)), np.rint(self.c / step) * step
            for count in (count for count in COUNTS if count <= min(64, self.c.shape[1])):
                left = self.z[:, some] - n[:, :count] @ self.vectors[some, :count].T
                bits = np.mean([entropy(np.rint(part / (2 * room))) for part in left.T])
                plans.append((bits * self.z.size / 8 + sizes[count - 1] + 1.7 * count * len(self.mean), count, step))
        _, count, step = min(plans)
        size, predicted = self.coded(count, step)
        steps = np.rint((self.z - predicted) / (2 * room))
        more, _ = jpeg_xl(steps, 1.0)
        decoded = (predicted + steps * 2 * room + self.mean).reshape(self.shape)
        return {"bytes": size + more, "components": count, "step": step, "decoded": decoded}
