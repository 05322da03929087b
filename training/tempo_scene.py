"""What TEMPO looks at: geometry of a geostationary scan, and random fields of surface, clouds and trace gases.

Stage: seeds -> **tempo_scene** -> tempo_radiative. Fields are (steps, rows): mirror steps from east to west, rows of
the slit from north to south. Nothing here is data; see ``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Doubles = NDArray[np.float64]
Field = Callable[[float], Doubles]
"""Makes a random field, of the power of its spectrum."""

EARTH, ORBIT, LONGITUDE = 6371.0, 42164.0, -91.0  # km from the Earth's centre; degrees east
ROW_ANGLE, MIDDLE_ANGLE = 42.97e-6, 0.0967  # radians: one row, and the middle of the slit north of the equator
STEP_ANGLE = 130.3e-6  # radians westward
STEP_SECONDS = 3.02
KILOMETRES = (4.8, 2.1)  # of a pixel along step and row, for plumes
DU = 2.6867e16  # molecules cm-2
SURFACES = ("ocean", "vegetation", "soil", "urban", "snow")
_KNOTS = (280, 330, 370, 410, 450, 490, 540, 600, 670, 700, 750)  # nm
_ALBEDO = {
    "ocean": (0.060, 0.068, 0.075, 0.078, 0.068, 0.055, 0.040, 0.030, 0.024, 0.022, 0.020),
    "vegetation": (0.018, 0.020, 0.022, 0.026, 0.032, 0.045, 0.095, 0.065, 0.050, 0.160, 0.420),
    "soil": (0.030, 0.045, 0.060, 0.080, 0.105, 0.140, 0.185, 0.250, 0.290, 0.305, 0.330),
    "urban": (0.045, 0.055, 0.066, 0.078, 0.090, 0.102, 0.115, 0.130, 0.142, 0.150, 0.165),
    "snow": (0.820, 0.840, 0.850, 0.860, 0.870, 0.870, 0.870, 0.860, 0.850, 0.840, 0.830),
}


@dataclass(frozen=True)
class Geometry:
    """Where each pixel is and how light comes and goes; (steps, rows), degrees; azimuths clockwise from north."""

    latitude: Doubles
    longitude: Doubles
    solar_zenith: Doubles
    solar_azimuth: Doubles
    viewing_zenith: Doubles
    viewing_azimuth: Doubles
    time: datetime

    @property
    def scattering(self) -> Doubles:
        """Cosine of the angle between the sunlight's way down and the light's way up."""
        sun, view = np.deg2rad(self.solar_zenith), np.deg2rad(self.viewing_zenith)
        across = np.deg2rad(self.solar_azimuth - self.viewing_azimuth)
        return np.asarray(-np.cos(sun) * np.cos(view) - np.sin(sun) * np.sin(view) * np.cos(across))


@dataclass(frozen=True)
class Scene:
    """What is there, (steps, rows) each; columns in molecules cm-2.

    Attributes
    ----------
    o3, no2_stratosphere, no2_troposphere, hcho : NDArray[np.float64]
        Vertical columns.
    o3_temperature : NDArray[np.float64]
        Of the ozone, in units of O3_SPAN about O3_COLD.
    surface : NDArray[np.float64]
        (steps, rows, SURFACES) Shares, and `brightness` that multiplies their albedo.
    height, cloud_top : NDArray[np.float64]
        Pressure of the ground and of the cloud's top, of that at sea level.
    cloud_fraction, cloud_albedo, aerosol : NDArray[np.float64]
        Share of the pixel, albedo, and optical depth at 550 nm.
    ring : NDArray[np.float64]
        Share of Raman scattered light.
    """

    o3: Doubles
    o3_temperature: Doubles
    no2_stratosphere: Doubles
    no2_troposphere: Doubles
    hcho: Doubles
    surface: Doubles
    brightness: Doubles
    height: Doubles
    cloud_fraction: Doubles
    cloud_top: Doubles
    cloud_albedo: Doubles
    aerosol: Doubles
    ring: Doubles


def geometry(steps: Doubles, rows: Doubles, time: datetime) -> Geometry:
    """Look from 91 W at the Earth, a sphere.

    Parameters
    ----------
    steps : NDArray[np.float64]
        (steps,) Mirror steps west of the satellite's meridian.
    rows : NDArray[np.float64]
        (rows,) 0 in the north to 2047.
    time : datetime
        UTC, of the first step.

    Raises
    ------
    ValueError
        If a pixel misses the Earth.
    """
    north = MIDDLE_ANGLE + (1023.5 - np.asarray(rows)) * ROW_ANGLE
    west, up = np.meshgrid(np.asarray(steps) * STEP_ANGLE, north, indexing="ij")
    look = np.stack([-np.cos(up) * np.cos(west), -np.cos(up) * np.sin(west), np.sin(up)])  # to the Earth, east, north
    along = -ORBIT * look[0]
    inside = along**2 - (ORBIT**2 - EARTH**2)
    if (inside <= 0).any():
        raise ValueError(f"expected steps and rows that look at the Earth, got steps up to {np.abs(steps).max():g}")
    place = look * (along - np.sqrt(inside))
    place[0] += ORBIT
    up_here = place / EARTH
    latitude = np.rad2deg(np.arcsin(up_here[2]))
    longitude = LONGITUDE + np.rad2deg(np.arctan2(up_here[1], up_here[0]))
    seconds = STEP_SECONDS * np.arange(len(steps), dtype=np.float64)[:, np.newaxis]
    sun = _sun(time, seconds)
    frame = _frame(latitude, longitude)
    turned = np.deg2rad(LONGITUDE)
    back = np.stack([
        -look[0] * np.cos(turned) + look[1] * np.sin(turned), -look[0] * np.sin(turned) - look[1] * np.cos(turned),
        -look[2],
    ])  # fmt: skip
    return Geometry(latitude, longitude, *_angles(frame, sun), *_angles(frame, back), time)


def _sun(time: datetime, seconds: Doubles) -> Doubles:
    """Direction of the sun, Earth fixed, to about half a degree (Spencer 1971; equation of time included)."""
    when = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    day = 2 * np.pi * (when.timetuple().tm_yday - 1) / 365
    declination = (0.006918 - 0.399912 * np.cos(day) + 0.070257 * np.sin(day) - 0.006758 * np.cos(2 * day)
                   + 0.000907 * np.sin(2 * day))  # fmt: skip
    late = 229.18 * (0.000075 + 0.001868 * np.cos(day) - 0.032077 * np.sin(day) - 0.014615 * np.cos(2 * day)
                     - 0.040849 * np.sin(2 * day))  # fmt: skip
    hours = when.hour + when.minute / 60 + (when.second + seconds) / 3600 + late / 60
    under = np.deg2rad(15 * (12 - hours))  # longitude that has noon
    return np.stack([np.cos(declination) * np.cos(under), np.cos(declination) * np.sin(under),
                     np.full(np.shape(under), np.sin(declination))])  # fmt: skip


def _frame(latitude: Doubles, longitude: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """East, north and up of each pixel, Earth fixed."""
    la, lo = np.deg2rad(latitude), np.deg2rad(longitude)
    east = np.stack([-np.sin(lo), np.cos(lo), np.zeros_like(lo)])
    north = np.stack([-np.sin(la) * np.cos(lo), -np.sin(la) * np.sin(lo), np.cos(la)])
    return east, north, np.stack([np.cos(la) * np.cos(lo), np.cos(la) * np.sin(lo), np.sin(la)])


def _angles(frame: tuple[Doubles, Doubles, Doubles], direction: Doubles) -> tuple[Doubles, Doubles]:
    """Zenith angle and azimuth of a direction."""
    east, north, up = ((axis * direction).sum(0) for axis in frame)
    return np.rad2deg(np.arccos(up.clip(-1, 1))), np.rad2deg(np.arctan2(east, north)) % 360


def random_field(shape: tuple[int, int], power: float, rng: np.random.Generator) -> Doubles:
    """Gaussian field with a power spectrum of wavenumber to the -power in two dimensions; mean 0, variance 1.

    Made on twice the size, so that opposite edges have nothing to do with each other.
    """
    rows, columns = (2 * size for size in shape)
    along = np.fft.fftfreq(rows)[:, np.newaxis] / KILOMETRES[0]
    across = np.fft.rfftfreq(columns)[np.newaxis] / KILOMETRES[1]
    wavenumber = np.hypot(along, across)
    wavenumber[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((rows, columns))) * wavenumber ** (-power / 2)
    field = np.fft.irfft2(waves, s=(rows, columns))[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / (field.std() + 1e-300))


def random_scene(where: Geometry, rng: np.random.Generator) -> Scene:
    """Draw all fields of a scene."""
    shape = (where.latitude.shape[0], where.latitude.shape[1])

    def field(power: float) -> Doubles:
        return random_field(shape, power, rng)

    surface, brightness = _surface(field, rng, where)
    cloud, top, albedo = _clouds(field, rng)
    trop, hcho = _pollution(shape, field, rng, surface[..., 1])
    o3 = DU * (300 + 0.7 * (where.latitude - 35) + rng.normal(0, 20) + 8 * field(4.0))
    high = 1 - np.exp(-np.maximum(0, where.latitude) / 60)
    height = np.exp(-np.maximum(0, 0.5 * rng.random() * (1 + field(3.5)) * (surface[..., 0] < 0.5)) / 7.4)
    sun, view = (1 / np.cos(np.deg2rad(angle)) for angle in (where.solar_zenith, where.viewing_zenith))
    return Scene(
        o3=o3.clip(180 * DU),
        o3_temperature=0.5 * rng.standard_normal() + 0.4 * field(4.0),
        no2_stratosphere=2.2e15 * (1 + 0.4 * high + 0.04 * field(4.0)) * (1 + 0.1 * rng.standard_normal()),
        no2_troposphere=trop,
        hcho=hcho,
        surface=surface,
        brightness=brightness,
        height=height,
        cloud_fraction=cloud,
        cloud_top=np.minimum(top, 0.95 * height),
        cloud_albedo=albedo,
        aerosol=0.12 * np.exp(0.5 * rng.standard_normal() + 0.5 * field(3.0)) * (1 + 4e-17 * trop).clip(0, 2),
        ring=(0.022 + 0.004 * (sun + view)) * (1 - 0.45 * cloud) * (1 + 0.03 * field(3.0)),
    )


def _surface(field: Field, rng: np.random.Generator, where: Geometry) -> tuple[Doubles, Doubles]:
    """Shares of SURFACES, with coast lines, and a brightness that varies from pixel to pixel."""
    shore = (field(3.2) + rng.normal(0.3, 0.8)) * 8  # a pixel or two wide
    land = 1 / (1 + np.exp(-shore.clip(-30, 30)))
    kinds = np.stack([2.0 * rng.standard_normal() + 1.6 * field(2.9) for _ in range(3)], -1)
    kinds[..., 2] -= 2.5  # towns are rare
    kinds = np.exp(kinds - kinds.max(-1, keepdims=True))
    cold = 1 / (1 + np.exp(-(where.latitude - rng.normal(62, 6) + 4 * field(2.8)).clip(-30, 30)))
    dry = kinds / kinds.sum(-1, keepdims=True) * ((1 - cold) * land)[..., np.newaxis]
    surface = np.concatenate([(1 - land)[..., np.newaxis], dry, (cold * land)[..., np.newaxis]], -1)
    return surface, np.exp(0.14 * field(2.8))


def _clouds(field: Field, rng: np.random.Generator) -> tuple[Doubles, Doubles, Doubles]:
    """Share, top and albedo: patches of a fractal field above a threshold, which may be clear or overcast."""
    cover, softness = rng.normal(0.5, 1.0), rng.uniform(0.3, 1.2)
    patches = ((field(3.3) + 0.2 * field(2.7) - cover) / softness).clip(0, 1)
    top = (0.62 + 0.22 * rng.standard_normal() + 0.10 * field(3.4)).clip(0.2, 0.92)
    albedo = (0.72 + 0.06 * rng.standard_normal() + 0.06 * field(2.9)).clip(0.45, 0.92)
    return patches, top, albedo


def _pollution(
    shape: tuple[int, int], field: Field, rng: np.random.Generator, green: Doubles
) -> tuple[Doubles, Doubles]:
    """Tropospheric NO2 and HCHO: lognormal background, towns upwind of Gaussian plumes, forests' HCHO."""
    background = 6e14 * np.exp(0.4 * rng.standard_normal() + 0.35 * field(2.8))
    y, x = (size * np.arange(count, dtype=np.float64) for size, count in zip(KILOMETRES, shape, strict=True))
    wind = rng.uniform(0, 2 * np.pi)
    plumes = np.zeros(shape)
    for _ in range(rng.poisson(0.6 + 1.6 * shape[0] * shape[1] / 4096)):
        plumes += _plume(y, x, wind + rng.normal(0, 0.15), rng)
    no2 = background + plumes * np.exp(0.15 * field(2.8))
    forest = 9e15 * rng.random() * green * np.exp(0.3 * field(2.8))
    hcho = 5e15 * np.exp(0.25 * rng.standard_normal() + 0.25 * field(2.8)) + forest + rng.uniform(0.2, 0.8) * plumes
    return no2, hcho


def _plume(y: Doubles, x: Doubles, wind: float, rng: np.random.Generator) -> Doubles:
    """One town's column: Q / (sqrt(2 pi) sigma u) across the wind, decaying along it, and a dome over the town."""
    at_y, at_x = rng.uniform(0, y[-1] + 1), rng.uniform(0, x[-1] + 1)
    dy, dx = np.meshgrid(y - at_y, x - at_x, indexing="ij")
    along, across = dx * np.cos(wind) + dy * np.sin(wind), dy * np.cos(wind) - dx * np.sin(wind)
    size, length = rng.uniform(4, 12), rng.uniform(30, 120)  # km
    sigma = np.hypot(size, 0.22 * np.maximum(along, 0) ** 0.9)
    soft = 1 / (1 + np.exp(-(along / size).clip(-30, 30)))
    tail = soft * size / sigma * np.exp(-0.5 * (across / sigma) ** 2 - np.maximum(along, 0) / length)
    dome = np.exp(-0.5 * (dx**2 + dy**2) / size**2)
    return np.asarray(6e15 * np.exp(0.9 * rng.standard_normal()) * (0.6 * dome + 0.8 * tail))


def albedo_spectra(wavelength: Doubles) -> Doubles:
    """(SURFACES, wavelengths) of low order: soil and towns brighten, leaves have their green peak and red edge."""
    return np.stack([PchipInterpolator(_KNOTS, _ALBEDO[name])(wavelength) for name in SURFACES])


def random_view(size: int, rng: np.random.Generator) -> tuple[Geometry, NDArray[np.int64]]:
    """Some square of the field of regard at some hour of daylight: its geometry and the detector's rows."""
    while True:
        first = int(rng.integers(100, 2048 - size + 1))
        rows = np.arange(first, first + size)
        steps = rng.integers(-600, 600) + np.arange(size, dtype=float)
        if np.hypot(MIDDLE_ANGLE + (1023.5 - first) * ROW_ANGLE, np.abs(steps).max() * STEP_ANGLE) > 0.14:
            continue  # beyond the limb, which is at 0.152
        time = datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=float(rng.integers(366)), hours=rng.uniform(0, 12))
        where = geometry(steps, rows.astype(float), time)
        if where.solar_zenith.max() < 75 and where.viewing_zenith.max() < 75:
            return where, rows
