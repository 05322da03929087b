"""Write simulated radiances and irradiances in the layout of TEMPO_RAD_L1 and TEMPO_IRR_L1, version 3.

Stage: simulate_tempo -> **tempo_granule** -> NetCDF-4. Every file says that it is simulated, in ``title``,
``simulated``, ``summary`` and ``history``. What of the layout is known and what is a guess:
``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.training.tempo_instrument import MASKS, Detector
from adiabat.training.tempo_scene import STEP_SECONDS, SURFACES, Geometry, Scene

FILL = -1e30  # as in the level 2 granules
EPOCH = datetime(1980, 1, 6, tzinfo=UTC)
TIME_UNITS = "seconds since 1980-01-06T00:00:00Z"
RADIANCE_UNITS = "photons/s/cm^2/nm/sr"
IRRADIANCE_UNITS = "photons/s/cm^2/nm"
GROUND_FLAGS = {"shallow_ocean": 0, "land": 1, "shallow_inland_water": 2, "shoreline": 3, "intermittent_water": 4,
                "deep_inland_water": 5, "continental_shelf_ocean": 6, "deep_ocean": 7, "land_water_error": 15,
                "sun_glint_possibility": 16, "solar_eclipse_possibility": 32, "permanent_ice": 101 << 8,
                "snow": 103 << 8}  # fmt: skip
TRUTH = "simulated_truth"  # the one group that the product has not
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))  # NE, NW, SW, SE: steps west, rows south
_DIMS = ("mirror_step", "xtrack", "spectral_channel")
_CHUNK = 64  # rows


def describe(file: Any, *, product: str, start: datetime, steps: int, seed: int, command: str) -> None:
    """Write the root: attributes, and what is the same for all bands."""
    end = start + timedelta(seconds=STEP_SECONDS * steps)
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    file.setncatts({
        "Conventions": "CF-1.6, ACDD-1.3", "title": f"SIMULATED {product}, not an observation",
        "simulated": np.int32(1),
        "summary": "Simulated by adiabat: reference spectra, a simple atmosphere and random fields. Made to test and "
                   "train compression; no instrument measured this.",
        "project": "adiabat", "platform": "none (simulated Intelsat 40e)", "source": "simulation",
        "product_type": product[6:9], "processing_level": "1b", "processing_version": np.int32(3),
        "version_id": np.int32(3), "scan_num": np.int32(1), "granule_num": np.int32(1),
        "collection_shortname": product, "time_reference": EPOCH.strftime(stamp),
        "time_coverage_start": start.strftime(stamp), "time_coverage_end": end.strftime(stamp),
        "time_coverage_start_since_epoch": _seconds(start), "time_coverage_end_since_epoch": _seconds(end),
        "seed": np.int64(seed), "history": f"simulated: {command}",
    })  # fmt: skip
    file.createDimension("mirror_step", steps)
    _put(file, "mirror_step", np.arange(steps, dtype=np.int32), _DIMS[:1], {"long_name": "scan mirror position index"})
    times = _seconds(start) + STEP_SECONDS * np.arange(steps)
    _put(file, "time", times, _DIMS[:1], {"standard_name": "time", "long_name": "exposure start time",
                                          "units": TIME_UNITS, "calendar": "gregorian"})  # fmt: skip
    exposure = np.full(steps, 0.95 * STEP_SECONDS, np.float32)
    _put(file, "exposure_time", exposure, _DIMS[:1], {"long_name": "exposure time", "units": "s"})
    status = {"flag_values": np.arange(3, dtype=np.int32), "flag_meanings": "nominal first_granule last_granule"}
    _put(file, "granule_flag", np.int32(0), (), {"long_name": "granule status", **status})
    _put(file, "earth_sun_distance", np.float64(1.495978707e11), (), {"long_name": "Earth-Sun distance", "units": "m"})


def _seconds(when: datetime) -> float:
    return (when - EPOCH).total_seconds()


def open_band(file: Any, name: str, rows: int, channels: int, *, what: str = "radiance") -> Any:
    """Make the group of a band with its spectral variables, to be filled by `put_block`."""
    group = file.createGroup(name)
    group.createDimension("xtrack", rows)
    group.createDimension("spectral_channel", channels)
    _put(group, "xtrack", np.arange(rows, dtype=np.int32), _DIMS[1:2], {"long_name": "pixel index along slit"})
    units = RADIANCE_UNITS if what == "radiance" else IRRADIANCE_UNITS
    place = {"coordinates": "longitude latitude"} if what == "radiance" else {}
    beside = {"ancillary_variables": f"{what}_error pixel_quality_flag"}
    _spectral(group, what, np.float32, FILL, {"units": units, "long_name": what, **beside, **place})
    label = f"{what} error, one standard deviation"
    _spectral(group, f"{what}_error", np.float32, FILL, {"units": units, "long_name": label, **place})
    meanings = {"flag_masks": np.array(list(MASKS.values())), "flag_meanings": " ".join(MASKS)}
    _spectral(group, "pixel_quality_flag", np.uint16, 65535, {"comment": "Pixel quality flag", **meanings, **place})
    wave = group.createVariable("nominal_wavelength", np.float32, _DIMS[1:], fill_value=np.float32(FILL))
    wave.setncatts({"units": "nm", "long_name": "nominal wavelength, in vacuum"})
    group.setncatts({"simulated": np.int32(1)})
    return group


def _spectral(group: Any, name: str, dtype: type, fill: float, attributes: Mapping[str, Any]) -> None:
    steps, rows, channels = (len({**group.parent.dimensions, **group.dimensions}[dim]) for dim in _DIMS)
    packing: dict[str, Any] = {
        "zlib": True,
        "complevel": 1,
        "chunksizes": (min(steps, 32), min(rows, _CHUNK), channels),
    }
    variable = group.createVariable(name, dtype, _DIMS, fill_value=dtype(fill), **packing)
    variable.set_auto_maskandscale(False)
    variable.setncatts(attributes)


def put_block(group: Any, rows: slice, detector: Detector, values: NDArray[np.float32], error: NDArray[np.float32],
              flags: NDArray[np.uint16], *, what: str = "radiance") -> None:  # fmt: skip
    """Write some rows: (steps, rows, channels) each; flagged as missing, values become the fill value."""
    missing = flags & np.uint16(1) != 0
    for name, array in ((what, values), (f"{what}_error", error)):
        group[name][:, rows] = np.where(missing, np.float32(FILL), array)
    group["pixel_quality_flag"][:, rows] = flags
    group["nominal_wavelength"][rows] = detector.wavelength.astype(np.float32)


def put_geolocation(group: Any, where: Geometry, corners: list[Geometry], scene: Scene) -> None:
    """Write where each pixel is, how light comes and goes, and what the ground is."""
    plain = {
        "latitude": (where.latitude, "degrees_north", "pixel center latitude", {"bounds": "latitude_bounds"}),
        "longitude": (where.longitude, "degrees_east", "pixel center longitude", {"bounds": "longitude_bounds"}),
        "solar_zenith_angle": (where.solar_zenith, "degrees", "solar zenith angle at pixel center", {}),
        "solar_azimuth_angle": (_signed(where.solar_azimuth), "degrees", "solar azimuth angle at pixel center", {}),
        "viewing_zenith_angle": (where.viewing_zenith, "degrees", "viewing zenith angle at pixel center", {}),
        "viewing_azimuth_angle": (_signed(where.viewing_azimuth), "degrees", "viewing azimuth angle at pixel center",
                                  {}),
        "relative_azimuth_angle": (_signed(where.solar_azimuth - where.viewing_azimuth), "degrees",
                                   "relative azimuth angle, solar less viewing", {}),
        "terrain_height": (-7400.0 * np.log(scene.height), "m", "terrain height", {}),
        "snow_ice_fraction": (scene.surface[..., SURFACES.index("snow")], "1", "fraction covered by snow or ice", {}),
    }  # fmt: skip
    for name, (values, units, label, more) in plain.items():
        names = {"standard_name": name} if name in ("latitude", "longitude") else {"coordinates": "longitude latitude"}
        attributes = {"units": units, "long_name": label, **names, **more}
        _put(group, name, values.astype(np.float32), _DIMS[:2], attributes, fill=np.float32(FILL))
    group.createDimension("corner", len(corners))
    for name, units in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        bounds = np.stack([getattr(corner, name) for corner in corners], -1).astype(np.float32)
        attributes = {"units": units, "long_name": f"{name} bounds (NE,NW,SW,SE)"}
        _put(group, f"{name}_bounds", bounds, (*_DIMS[:2], "corner"), attributes, fill=np.float32(FILL))
    flags: dict[str, Any] = {
        "flag_values": np.array(list(GROUND_FLAGS.values()), np.uint32),
        "flag_meanings": " ".join(GROUND_FLAGS),
        "comment": "Ground pixel quality flag",
        "coordinates": "longitude latitude",
    }
    _put(group, "ground_pixel_quality_flag", ground_flags(scene), _DIMS[:2], flags, fill=np.uint32(4294967295))
    flags = {"comment": "Image navigation and registration quality flag; 0 is nominal",
             "coordinates": "longitude latitude"}  # fmt: skip
    nominal = np.zeros(where.latitude.shape, np.int32)
    _put(group, "inr_quality_flag", nominal, _DIMS[:2], flags, fill=np.int32(-2147483647))


def ground_flags(scene: Scene) -> NDArray[np.uint32]:
    """Land, shoreline or deep ocean, and snow."""
    ocean = scene.surface[..., 0]
    kind = np.where(ocean > 0.9, 7, np.where(ocean < 0.1, 1, 3)).astype(np.uint32)
    return np.asarray(kind + np.where(scene.surface[..., -1] > 0.5, np.uint32(103 << 8), np.uint32(0)), np.uint32)


def put_truth(file: Any, fields: Mapping[str, NDArray[np.float32]], rows: int) -> None:
    """Write what was simulated, in a group that the product has not."""
    group = file.createGroup(TRUTH)
    group.setncatts({"simulated": np.int32(1), "comment": "what the radiances were simulated from; not in the product"})
    group.createDimension("xtrack", rows)
    for name, values in fields.items():
        units = "1" if name == "cloud_fraction" else "molecules/cm^2"
        _put(group, name, values, _DIMS[:2], {"units": units, "long_name": name.replace("_", " ")})


def open_clean(file: Any, band: str, rows: int, channels: int) -> Any:
    """Make a variable for a band's radiances without noise."""
    group = file.createGroup(f"{TRUTH}/{band}")
    group.createDimension("xtrack", rows)
    group.createDimension("spectral_channel", channels)
    variable = group.createVariable("radiance_clean", np.float32, _DIMS)
    variable.setncatts({"units": RADIANCE_UNITS, "long_name": "radiance without noise"})
    return variable


def _signed(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return (angle + 180) % 360 - 180


def _put(
    group: Any, name: str, values: Any, dims: tuple[str, ...], attributes: Mapping[str, Any], fill: Any = None
) -> None:
    variable = group.createVariable(name, np.asarray(values).dtype, dims, fill_value=fill)
    variable.setncatts(attributes)
    variable[...] = values
