"""One file, store or URL as its product means it: cf, and then what era5 and merra2 know of their files.

Stage: between cf and series. The same dataset wherever it is opened.
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from adiabat.formats.sources import era5, merra2
from adiabat.formats.sources.cf import open_group, open_raw
from adiabat.formats.sources.urls import is_url

__all__ = ["open_product", "place_of", "raw_product"]


def place_of(path: str) -> str | Path:
    """A URL as it is, anything else as a path."""
    return path if is_url(path) else Path(path)


def open_product(path: str, group: str | None = None) -> xr.Dataset:
    """Open as `open_source` does, with what the product's users know and its files do not say."""
    dataset = open_group(place_of(path), group, refuse_empty=True)
    tidy = merra2.tidy(era5.tidy(dataset))
    if tidy is not dataset:
        tidy.set_close(dataset.close)
    return tidy


def raw_product(path: str, group: str | None = None) -> tuple[xr.Dataset, list[str]]:
    """The same dimensions, without masking and unpacking, to look at; and what a user should know of the difference."""
    raw = open_raw(place_of(path), group)
    looked_at = era5.without_versions(raw)
    looked_at.set_close(raw.close)
    return looked_at, era5.notes_on(raw)
