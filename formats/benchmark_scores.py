"""Scores of decoded fields in the terms of ClimateBenchPress: its metrics and its tests, by its definitions.

Stage: evaluation. Unweighted and in float64; fields are read one frame at a time. The benchmark's own code works in the
dtype of the data, so that figures of float32 fields agree to about six digits. Where its definition hides an error this
module departs from it, and the attribute says so. `r2` here is the squared correlation: the coefficient of
determination is `value_scores.r2`; scores weighted by area are in `field_scores`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LABELS", "R2_LEAST", "SPATIAL_ERROR", "SPATIAL_MOST", "BenchmarkScores", "dssim", "score_benchmark"]

Floats = NDArray[np.float64]
SPATIAL_ERROR: Final = 1e-4  # relative error beyond which a cell counts
SPATIAL_MOST: Final = 0.05  # share of such cells below which the benchmark says pass
R2_LEAST: Final = 0.99999  # squared correlation above which it says pass
BINS, SMALL, RADIUS, SIGMA = 255, 1e-8, 5, 1.5  # of DSSIM: steps of grey, both constants, the window in cells
LABELS: Final[Mapping[str, str]] = {
    "mae": "MAE",
    "max_abs_error": "Max Absolute Error",
    "max_rel_error": "Max Relative Error",
    "rmse": "RMSE",
    "psnr": "PSNR",
    "dssim": "DSSIM",
    "spectral_error": "Spectral Error",
    "r2": "R^2 Correlation",
    "spatial_relative_error": "Spatial Relative Error",
    "satisfies_bound": "Satisfies Bound",
}


@dataclass(frozen=True)
class BenchmarkScores:
    """Scores of decoded fields as ClimateBenchPress takes them: `score_benchmark` makes it; `LABELS` has its names.

    Attributes
    ----------
    mae, max_abs_error, rmse : float, in the unit of the field
        Over cells finite in both; NaN where there are none. The benchmark has no RMSE.
    max_rel_error : float
        Largest |x - y| / |x|; 0 where both are 0, infinite where the source alone is.
    psnr : float, dB
        20 log10 of the largest value of the source (not of its range) less 10 log10 of the mean square error of a
        frame or column, averaged; infinite without error, NaN without a positive value.
    dssim : float
        `dssim` of each frame, its least over levels, averaged over the rest; NaN below 11 x 11 cells.
    spectral_error : float, squared units to the power of two
        Mean square difference of the radially averaged power spectra; frames with a missing cell are left out.
    r2 : float
        Squared correlation; NaN for a constant field. The benchmark asks for more than `R2_LEAST`.
    spatial_relative_error : float, 0 to 1
        Share of all cells, missing ones among them, whose relative error is beyond `SPATIAL_ERROR`; the benchmark asks
        for less than `SPATIAL_MOST`. It divides by x, so that negative values never count there; here by |x|.
    satisfies_bound : bool or None
        Whether every cell keeps the bound, NaN and infinities standing where they stood; None without a bound.
    """

    mae: float
    max_abs_error: float
    max_rel_error: float
    rmse: float
    psnr: float
    dssim: float
    spectral_error: float
    r2: float
    spatial_relative_error: float
    satisfies_bound: bool | None

    def as_dict(self) -> dict[str, float | bool | None]:
        """Plain values by name; NaN and infinity as they are."""
        return asdict(self)


def score_benchmark(
    source: ArrayLike,
    decoded: ArrayLike,
    *,
    bound: Mapping[str, ArrayLike] | str | None = None,
    levels: bool | None = None,
) -> BenchmarkScores:
    """Score decoded fields against their sources as ClimateBenchPress does.

    Parameters
    ----------
    source, decoded : arrays of one shape (..., y, x)
        A cell that is not finite in either is left out of all but `satisfies_bound`.
    bound : {"abs": size}, {"rel": share} or "lossless", optional
        A size of its own for each cell must broadcast to the fields.
    levels : bool, optional
        Whether the axis before y and x is the vertical, over which PSNR pools and DSSIM takes the least; without it,
        where there are four axes or more.

    Returns
    -------
    BenchmarkScores

    Raises
    ------
    ValueError
        Shapes that do not fit, or another kind of bound.

    Source
    ------
    Reichelt, T. et al., ClimateBenchPress (v1.0), EGUsphere-2026-60, and its package climatebenchpress.compressor:
    metrics and tests.

    Examples
    --------
    >>> source = np.array([[1.0, 2.0], [4.0, -8.0]])
    >>> found = score_benchmark(source, source + [[0.5, 0.0], [0.0, 0.0]], bound={"abs": 0.5})
    >>> found.mae, found.max_rel_error, found.spatial_relative_error, found.satisfies_bound
    (0.125, 0.5, 0.25, True)
    """
    x, y = np.atleast_2d(np.asarray(source)), np.atleast_2d(np.asarray(decoded))
    if x.shape != y.shape:
        raise ValueError(f"expected two arrays of one shape, got {x.shape} and {y.shape}")
    column = x.shape[-3] if x.size and (x.ndim > 3 if levels is None else levels and x.ndim > 2) else 1
    frames = list(np.ndindex(x.shape[:-2])) if x.size else []
    rows = np.array([_frame_scores(x[at], y[at]) for at in frames]).reshape(len(frames), len(FRAME))
    kept = None if bound is None else _satisfies(x, y, bound)
    scores = _gather({name: rows[:, k] for k, name in enumerate(FRAME)}, column, x.size)
    return BenchmarkScores(**scores, satisfies_bound=kept)


def dssim(source: ArrayLike, decoded: ArrayLike) -> float:
    """Data SSIM of two fields: structural similarity on 256 steps of their common range; 1 where they are alike.

    Parameters
    ----------
    source, decoded : arrays of one shape (y, x)
        A cell that is not finite in either is left out of every window.

    Returns
    -------
    float
        Mean over the windows of 11 x 11 cells (Gaussian, sigma 1.5) that fit the field whole; NaN where none does.

    Raises
    ------
    ValueError
        Shapes differ or are not of two axes.

    Source
    ------
    Baker, A. H., Pinard, A. and Hammerling, D. M., On a structural similarity index approach for floating-point data,
    IEEE Trans. Vis. Comput. Graph. 30, 6261 (2024), with both constants 1e-8 as in its package ldcpy.

    Examples
    --------
    >>> field = np.sin(np.arange(400.0)).reshape(20, 20)
    >>> dssim(field, field)
    1.0
    >>> round(dssim(field, -field), 2)
    -0.99
    """
    x, y = np.array(source, np.float64), np.array(decoded, np.float64)
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"expected two arrays (y, x) of one shape, got {x.shape} and {y.shape}")
    known = np.isfinite(x) & np.isfinite(y)
    if min(x.shape) <= 2 * RADIUS or not known.any():
        return math.nan
    low, high = min(x[known].min(), y[known].min()), max(x[known].max(), y[known].max())
    # A constant field is divided by itself, zeros are left.
    start, width = (low, high - low) if high > low else (0.0, high or 1.0)
    a, b = (np.where(known, np.round((each - start) / width * BINS) / BINS, 0.0) for each in (x, y))
    inside = known[RADIUS:-RADIUS, RADIUS:-RADIUS]
    weight = np.where(inside, _window(known.astype(np.float64)), np.nan)
    mean_a, mean_b, aa, bb, ab = (_window(each) / weight for each in (a, b, a * a, b * b, a * b))
    luminance = (2 * mean_a * mean_b + SMALL) / (mean_a**2 + mean_b**2 + SMALL)
    structure = (2 * (ab - mean_a * mean_b) + SMALL) / (aa - mean_a**2 + bb - mean_b**2 + SMALL)
    return float(np.mean((luminance * structure)[inside])) if inside.any() else math.nan


FRAME = ("n", "sum_abs", "max_abs", "max_rel", "sum_square", "peak", "beyond", "dssim", "spectral",
         "mean_x", "mean_y", "var_x", "var_y", "cov")  # fmt: skip


@np.errstate(over="ignore", invalid="ignore")
def _frame_scores(source: NDArray[Any], decoded: NDArray[Any]) -> tuple[float, ...]:
    """Sums of one frame, by the names of `FRAME`."""
    x, y = source.astype(np.float64), decoded.astype(np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    spectral = float(np.mean((_radial(x) - _radial(y)) ** 2)) if both.all() else math.nan
    similarity = dssim(x, y)
    a, b = x[both], y[both]
    if not a.size:
        return (0.0, 0.0, *[math.nan] * 2, 0.0, math.nan, 0.0, math.nan, math.nan, *[0.0] * 5)
    error, size = np.abs(b - a), np.abs(a)
    relative = np.divide(error, size, out=np.where(error > 0, np.inf, 0.0), where=size > 0)
    means = float(a.mean()), float(b.mean())
    u, v = a - means[0], b - means[1]
    return (
        *(float(a.size), float(error.sum()), float(error.max()), float(relative.max()), float(error @ error)),
        *(float(a.max()), float(np.count_nonzero(relative > SPATIAL_ERROR)), similarity, spectral),
        *(*means, float(u @ u), float(v @ v), float(u @ v)),
    )


def _gather(frames: Mapping[str, Floats], column: int, cells: int) -> dict[str, float]:
    """Scores of all frames from the sums of each; `column` frames make one column of levels."""
    many = frames["n"].sum()
    columns = {name: frames[name].reshape(-1, column) for name in ("n", "sum_square", "dssim")}
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        square = columns["sum_square"].sum(1) / columns["n"].sum(1)
        peak = _largest(frames["peak"])
        psnr = 20 * np.log10(peak if peak > 0 else math.nan) - 10 * np.log10(square)
        shares = frames["n"] / many
        off_x, off_y = (frames[name] - shares @ frames[name] for name in ("mean_x", "mean_y"))
        # Variances of the parts and of their means (Chan, Golub and LeVeque 1983).
        var_x, var_y, cov = (
            frames[name].sum() + frames["n"] @ (left * right)
            for name, left, right in (("var_x", off_x, off_x), ("var_y", off_y, off_y), ("cov", off_x, off_y))
        )
        return {
            "mae": float(frames["sum_abs"].sum() / many),
            "max_abs_error": _largest(frames["max_abs"]),
            "max_rel_error": _largest(frames["max_rel"]),
            "rmse": float(np.sqrt(frames["sum_square"].sum() / many)),
            "psnr": _mean(psnr),
            "dssim": _mean(np.fmin.reduce(columns["dssim"], axis=1)),
            "spectral_error": _mean(frames["spectral"]),
            "r2": float(min(cov**2 / (var_x * var_y), 1.0)) if var_x and var_y else math.nan,
            "spatial_relative_error": float(frames["beyond"].sum() / cells) if cells else math.nan,
        }


def _satisfies(x: NDArray[Any], y: NDArray[Any], bound: Mapping[str, ArrayLike] | str) -> bool:
    """Whether every cell keeps the bound; NaN must stand on NaN, an infinity on the same."""
    kind, size = next(iter(bound.items()), ("", 0.0)) if isinstance(bound, Mapping) else (bound, 0.0)
    if kind not in ("abs", "rel", "lossless") or (kind == "lossless") is isinstance(bound, Mapping):
        raise ValueError(f"expected a bound {{'abs': size}}, {{'rel': share}} or 'lossless', got {bound!r}")
    limits = np.broadcast_to(np.asarray(size, np.float64), x.shape)
    for at in np.ndindex(x.shape[:-2]):
        a, b = x[at].astype(np.float64), y[at].astype(np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= limits[at] * (np.abs(a) if kind == "rel" else 1.0)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if not (same | (near & np.isfinite(a) & np.isfinite(b))).all():
            return False
    return True


def _radial(frame: Floats) -> Floats:
    """Power of a field by rounded wavenumber, (wavenumber,), mean of each ring; neither window nor trend removed."""
    rows, columns = frame.shape
    power = np.abs(np.fft.fft2(frame)) ** 2 / frame.size
    wave = [np.rint(np.fft.fftfreq(n) * n) for n in (rows, columns)]
    ring = np.rint(np.hypot(wave[0][:, None], wave[1])).astype(np.int64).ravel()
    rings = (max(rows, columns) + 1) // 2
    counts = np.bincount(ring, minlength=rings)[:rings]
    means: Floats = np.bincount(ring, power.ravel(), minlength=rings)[:rings] / counts
    return means


def _window(field: Floats) -> Floats:
    """Gaussian means of the windows that fit a field whole, (y - 10, x - 10)."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    for _ in range(2):  # one axis, then the other
        room = len(field) - 2 * RADIUS
        field = sum(w * field[k : k + room] for k, w in enumerate(weights / weights.sum())).T
    return field


def _largest(values: Floats) -> float:
    """The largest, NaN left out; NaN where there is none."""
    return float(np.fmax.reduce(values, initial=math.nan))


def _mean(values: Floats) -> float:
    """Mean, NaN left out; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
