"""adiabat.formats.sources: files as they are published -> xarray, CF kept; swaths -> pixels, or a cube of days."""

from adiabat.formats.sources.cf import open_source

__all__ = ["open_source"]
