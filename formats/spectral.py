"""Which variables are spectra, and where the noise of a measurement stands: what a plan tells the codec of them.

Stage: planning and writing. A bound ``{"noise": k}`` counts in standard deviations that a variable beside it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError

__all__ = ["channels_of", "noise_of", "write_chunk"]

CHANNELS = ("spectral_channel", "channel", "channels", "wavelength", "wavenumber", "spectral", "wl")
FEWEST = 32  # channels, from which on principal spectra may pay
SUFFIXES = ("_error", "_uncertainty", "_precision", "_noise", "_std", "_stdev", "_standard_error")


def channels_of(array: xr.DataArray) -> int | None:
    """The axis along which a pixel's channels lie, negative from the end; None where there is none.

    Examples
    --------
    >>> channels_of(xr.DataArray(np.zeros((2, 3, 64)), dims=("mirror_step", "xtrack", "spectral_channel")))
    -1
    """
    for axis, dim in enumerate(array.dims):
        if str(dim).lower() in CHANNELS and array.sizes[dim] >= FEWEST:
            return axis - array.ndim
    return None


def noise_of(dataset: xr.Dataset, name: str) -> str:
    """The variable that holds the noise of another: one of its shape, named by CF's attribute or after it.

    Raises
    ------
    RequestError
        If there is none.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    >>> noise_of(xr.Dataset({"radiance": field, "radiance_error": field}), "radiance")
    'radiance_error'
    """
    named = str(dataset[name].attrs.get("ancillary_variables", "")).split()
    for other in (*named, *(name + suffix for suffix in SUFFIXES)):
        if (
            other in dataset.variables
            and dataset[other].dims == dataset[name].dims
            and dataset[other].dtype.kind == "f"
        ):
            return other
    raise RequestError(
        f"{name} cannot be bound by its noise: expected a variable of its dimensions {dataset[name].dims} that holds "
        f"it, such as {name}_error, or one named by the attribute ancillary_variables; got none"
    )


def write_chunk(
    stored: zarr.Array[Any],
    index: Sequence[int],
    values: NDArray[np.floating],
    noise: NDArray[np.floating],
    configuration: Mapping[str, object],
) -> None:
    """Encode one chunk with what Zarr cannot tell the codec, the noise of its values, and put it into the store.

    Parameters
    ----------
    stored : zarr.Array
        Made with the codec and this configuration, without shards or other codecs.
    index : sequence of int
        Of the chunk.
    values, noise : arrays of one shape
        At an edge less than a chunk; what is left is NaN, as Zarr pads it.
    """
    from adiabat.codec import ChunkContext, Pyramid

    room = [(0, chunk - size) for chunk, size in zip(stored.chunks, values.shape, strict=True)]
    whole, sigma = (np.pad(each, room, constant_values=np.nan) for each in (values, noise))
    data = Pyramid.from_config(dict(configuration)).encode(whole, context=ChunkContext(noise=sigma))
    key = stored.metadata.encode_chunk_key(tuple(index))
    folder = stored.store_path
    zarr.core.sync.sync((folder / key).set(zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(data)))
