"""adiabat.formats.sources: files as they are published -> xarray, CF kept; swaths -> pixels, or a cube of days."""

from adiabat.formats.sources.cf import open_source
from adiabat.formats.sources.source import Source, find_source

__all__ = ["Source", "find_source", "open_source"]
