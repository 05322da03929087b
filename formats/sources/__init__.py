"""adiabat.formats.sources: files as they are published -> xarray Datasets, CF kept."""

from adiabat.formats.sources.cf import open_source

__all__ = ["open_source"]
