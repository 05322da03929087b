"""Light through an atmosphere of layers: sun, absorbers, Rayleigh, ground and cloud -> spectra of one detector row.

Stage: tempo_spectroscopy and tempo_scene -> **tempo_radiative** -> tempo_instrument's noise. What is smooth in
wavelength is computed at knots and spread by matrix products; a layer costs one matrix product and one exponential.
Formulas and their sources: ``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import expn

from adiabat.training.tempo_scene import Geometry, Scene, albedo_spectra
from adiabat.training.tempo_spectroscopy import ABSORBERS, RowTables

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

LEVELS = np.array([0, 5e-4, 2e-3, 6e-3, 0.016, 0.04, 0.1, 0.22, 0.42, 0.64, 0.82, 1.0])  # pressure over sea level's
SCALE = 7.4  # km, of the pressure
O4_COLUMN = 1.3e43  # molecules2 cm-5, above sea level
SLIT_SHIFT = 0.004  # nm for a change of radiance by a factor e from step to step
KNOTS = 26
GASES = {"no2": 440.0, "o3": 330.0, "hcho": 340.0}  # nm at which truth states air mass factors
_DEPTHS = np.linspace(0, 3, 301)
# 6S: spherical albedo of a Rayleigh layer
_SPHERICAL = (3 * _DEPTHS - 4 * expn(3, _DEPTHS) + 6 * expn(4, _DEPTHS)) / (4 + 3 * _DEPTHS)


@dataclass(frozen=True)
class Smooth:
    """What of some pixels is smooth in wavelength.

    Attributes
    ----------
    path, ground, cloud : NDArray[np.float64]
        (pixels, knots) Reflectances: of air per share of its scattering, of what reflects below, weighted by cloud.
    depths : NDArray[np.float64]
        (pixels, 2, ABSORBERS and Rayleigh) Columns above ground and cloud top, times the way's length.
    layers, weights : NDArray[np.float64]
        (layers, pixels, ABSORBERS and Rayleigh) Columns above the middle of each layer; (layers, pixels) its share.
    factors : NDArray[np.float64]
        (pixels, 2) Ring and shift of wavelength.
    sun, way : NDArray[np.float64]
        (pixels,) Cosine of the solar zenith angle over pi; 1 / cosine of both zenith angles, summed.
    """

    path: Doubles
    ground: Doubles
    cloud: Doubles
    depths: Doubles
    layers: Doubles
    weights: Doubles
    factors: Doubles
    sun: Doubles
    way: Doubles

    def part(self, pixels: slice) -> Smooth:
        """Take some of the pixels."""
        return Smooth(self.path[pixels], self.ground[pixels], self.cloud[pixels], self.depths[pixels],
                      self.layers[:, pixels], self.weights[:, pixels], self.factors[pixels], self.sun[pixels],
                      self.way[pixels])  # fmt: skip


def rayleigh(wavelength: Doubles) -> Doubles:
    """Optical depth of the whole atmosphere, Bodhaine et al. (1999), eq. 30; wavelength in nm.

    Examples
    --------
    >>> rayleigh(np.array([400.0])).round(4)
    array([0.3602])
    """
    square = (wavelength / 1e3) ** 2
    top = 1.0455996 - 341.29061 / square - 0.90230850 * square
    return np.asarray(0.0021520 * top / (1 + 0.0027059889 / square - 85.968563 * square))


def transmittance(depth: Doubles, cosine: Doubles) -> Doubles:
    """Direct and diffuse light through a Rayleigh layer, two streams (Vermote and Tanre 1992)."""
    two = 2 / 3
    return np.asarray(((two + cosine) + (two - cosine) * np.exp(-depth / cosine)) / (4 / 3 + depth))


def columns_above(pressure: Doubles, scene: Scene, ground: Doubles) -> Doubles:
    """(pixels, ABSORBERS and Rayleigh) above a pressure; cross sections of O4 and O3 take these as they are.

    Ozone and stratospheric NO2 as Lacis and Hansen (1974), with maxima at 20 and 28 km; in the boundary layer
    exponential; O4 as the square of the pressure.
    """
    height = -SCALE * np.log(pressure.clip(1e-5))
    over = np.maximum(0.0, -SCALE * np.log(pressure.clip(1e-5) / ground))
    o3 = scene.o3 * _layer(height, 20.0, 5.0)
    strat = scene.no2_stratosphere * _layer(height, 28.0, 4.0)
    trop, hcho = scene.no2_troposphere * np.exp(-over / 0.9), scene.hcho * np.exp(-over / 1.6)
    warm = scene.o3_temperature
    return np.stack([o3, o3 * warm, o3 * warm**2, strat, trop, hcho, O4_COLUMN * pressure**2, pressure], -1)


def _layer(height: Doubles, middle: float, width: float) -> Doubles:
    return np.asarray((1 + np.exp(-middle / width)) / (1 + np.exp((height - middle) / width)))


def knots(wavelength: Doubles) -> Doubles:
    """Where smooth functions are computed, for all rows the same."""
    return np.linspace(wavelength.min() - 0.5, wavelength.max() + 0.5, KNOTS)


def smooth(where: Geometry, scene: Scene, at: Doubles, contrast: Doubles) -> Smooth:
    """Prepare pixels, of which all fields are (pixels,).

    Parameters
    ----------
    where, scene : Geometry, Scene
    at : NDArray[np.float64]
        (KNOTS,) nm.
    contrast : NDArray[np.float64]
        (pixels,) Change of the logarithm of brightness from step to step, which shifts the slit's middle.
    """
    sun, view = (np.cos(np.deg2rad(angle))[:, np.newaxis] for angle in (where.solar_zenith, where.viewing_zenith))
    cosine = where.scattering[:, np.newaxis]
    depth = rayleigh(at)[np.newaxis]
    share, clear = scene.cloud_fraction[:, np.newaxis], 1 - scene.cloud_fraction[:, np.newaxis]
    ground, top = scene.height[:, np.newaxis], scene.cloud_top[:, np.newaxis]
    albedo = scene.brightness[:, np.newaxis] * (scene.surface @ albedo_spectra(at))
    hazy = _haze(at, scene.aerosol[:, np.newaxis], cosine) / (4 * sun * view)
    way = (1 / sun + 1 / view)[:, 0]
    weights = _shares(scene, way)
    layers = np.stack([columns_above(p, scene, scene.height) for p in _middles(len(way))])
    below = np.stack([columns_above(p, scene, scene.height) for p in (scene.height, scene.cloud_top)], 1)
    below[..., -1] = 0  # what scatters light out of the way has its own formula below
    return Smooth(
        path=0.75 * (1 + cosine**2) * depth / (4 * sun * view) * _repeated(depth, sun, view),
        ground=clear * (_reflected(albedo.clip(0, 0.98), depth * ground, sun, view) + hazy),
        cloud=share * _reflected(scene.cloud_albedo[:, np.newaxis], depth * top, sun, view),
        depths=below * way[:, np.newaxis, np.newaxis],
        layers=layers * way[:, np.newaxis],
        weights=weights,
        factors=np.stack([scene.ring, SLIT_SHIFT * contrast], -1),
        sun=sun[:, 0] / np.pi,
        way=way,
    )


def _middles(pixels: int) -> Doubles:
    return np.repeat(((LEVELS[1:] + LEVELS[:-1]) / 2)[:, np.newaxis], pixels, 1)


def _shares(scene: Scene, way: Doubles) -> Doubles:
    """(layers, pixels) of each layer that scatters: all of it above the cloud, the clear share of it below."""
    high, low = LEVELS[:-1, np.newaxis], LEVELS[1:, np.newaxis]
    above = [np.minimum(low, end) - np.minimum(high, end) for end in (scene.height, scene.cloud_top)]
    return np.asarray((1 - scene.cloud_fraction) * above[0] + scene.cloud_fraction * above[1])


def _reflected(albedo: Doubles, depth: Doubles, sun: Doubles, view: Doubles) -> Doubles:
    """Lambertian reflection below air: A T T / (1 - A s)."""
    spherical = np.interp(depth, _DEPTHS, _SPHERICAL)
    return np.asarray(albedo * transmittance(depth, sun) * transmittance(depth, view) / (1 - albedo * spherical))


def _haze(at: Doubles, depth: Doubles, cosine: Doubles) -> Doubles:
    """Scattered once by aerosol: single scattering albedo x Henyey-Greenstein (0.65) x depth, Angstrom exponent 1.3."""
    phase = (1 - 0.65**2) / (1 + 0.65**2 - 1.3 * cosine) ** 1.5
    return np.asarray(0.9 * phase * depth * (at / 550.0) ** -1.3)


def _repeated(depth: Doubles, sun: Doubles, view: Doubles) -> Doubles:
    """Light scattered any number of times over light scattered once, without absorption.

    What two streams reflect and single scattering does not is spread over angles as 1 - T is, which is reciprocal.
    """
    once = (1 - np.exp(-depth * (1 / sun + 1 / view))) / (4 * (sun + view))
    more = []
    for cosine in (sun, view):
        flux = 1 - transmittance(depth, cosine)
        first = 0.5 * (1 - cosine * np.log1p(1 / cosine)) * (1 - np.exp(-depth * (1 / cosine + 1.66)))
        more.append((flux - first).clip(0))
    mean = 1 - transmittance(depth, np.full_like(sun, 2 / 3)) + 1e-9
    return np.asarray(1 + more[0] * more[1] / mean / once)


def spread(at: Doubles, wavelength: Doubles) -> Floats:
    """(KNOTS, channels) matrix of the natural cubic spline from the knots to channels."""
    return np.asarray(_spline(at[0], at[-1])(wavelength).T, np.float32)


@lru_cache(maxsize=8)
def _spline(first: float, last: float) -> CubicSpline:
    return CubicSpline(np.linspace(first, last, KNOTS), np.eye(KNOTS), bc_type="natural")


def row_spectra(tables: RowTables, row: int, pixels: Smooth, at: Doubles) -> tuple[Floats, dict[str, Doubles]]:
    """Spectra of the pixels of one row, before gain and noise.

    Returns
    -------
    radiance : NDArray[np.float32]
        (pixels, channels) photons s-1 cm-2 nm-1 sr-1.
    slant : dict of str to NDArray[np.float64]
        (pixels,) Slant column of each of GASES: mean column along the ways that light of its wavelength took, which
        is -dln(radiance)/d(cross section); NaN where the band has not that wavelength.
    """
    wavelength = tables.wavelength[row]
    matrix = spread(at, wavelength)
    depth = rayleigh(wavelength)
    scale = np.array([1e18] * 3 + [1e16] * 3 + [1e43, 1.0])  # keeps float32 within its range
    sections = (np.concatenate([tables.sections[row], depth[np.newaxis]]) * scale[:, np.newaxis]).astype(np.float32)
    sections = np.concatenate([sections, np.ones((1, len(wavelength)), np.float32)])
    total = np.zeros((len(pixels.way), len(wavelength)), np.float32)
    term = np.empty_like(total)
    slants: list[tuple[Doubles, Floats]] = []
    watched = {gas: int(np.argmin(np.abs(wavelength - nm))) for gas, nm in GASES.items()}

    def add(columns: Doubles, weight: Doubles | None, factor: Floats | None) -> None:
        offset = np.zeros(len(columns)) if weight is None else np.log(weight.clip(1e-30))
        np.matmul(np.column_stack([-columns / scale, offset]).astype(np.float32), sections, out=term)
        np.exp(term, out=term)
        if factor is not None:
            np.multiply(term, factor, out=term)
        np.add(total, term, out=total)
        slants.append((columns, term[:, list(watched.values())].copy()))

    for columns, weight in zip(pixels.layers, pixels.weights, strict=True):
        add(columns, weight, None)
    path = pixels.path.astype(np.float32) @ matrix
    total *= path
    slants = [(columns, seen * path[:, list(watched.values())]) for columns, seen in slants]
    add(pixels.depths[:, 0], None, pixels.ground.astype(np.float32) @ matrix)
    add(pixels.depths[:, 1], None, pixels.cloud.astype(np.float32) @ matrix)
    slant = _slant(slants, watched, wavelength)
    np.matmul(pixels.factors.astype(np.float32), np.stack([tables.ring[row], tables.slope[row]]), out=term)
    term += 1
    total *= term
    total *= tables.irradiance[row]
    total *= pixels.sun.astype(np.float32)[:, np.newaxis]
    return total, slant


def _slant(slants: list[tuple[Doubles, Floats]], watched: dict[str, int], wavelength: Doubles) -> dict[str, Doubles]:
    """Mean column along the ways light took, for each gas."""
    light = np.sum([seen for _, seen in slants], axis=0)
    found = {}
    for place, gas in enumerate(watched):
        which = [k for k, name in enumerate(ABSORBERS) if name == gas or name.startswith(f"{gas}_")]
        which = which[:1] if gas == "o3" else which
        slant = sum(columns[:, which].sum(1) * seen[:, place] for columns, seen in slants) / light[:, place]
        near = wavelength[0] <= GASES[gas] <= wavelength[-1]
        found[gas] = slant if near else np.full(len(slant), np.nan)
    return found
