"""Whether a file is all there: read to its end without an error is not enough.

A NetCDF-3 file that was cut off reads as zeros, a GRIB file as fewer messages, and HDF5 as "HDF error". Stage: below
series and source, before a file is trusted.

Source: *The NetCDF Classic Format Specification*, Unidata; *HDF5 File Format Specification*, III.A; eccodes for GRIB.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.cf import file_kind
from adiabat.formats.sources.grib import check_messages

__all__ = ["check_whole"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # bytes of the types nc_byte, ...


def check_whole(path: Path) -> None:
    """Refuse a local file that is no data file, or is cut off.

    Parameters
    ----------
    path : path

    Raises
    ------
    RequestError
    """
    kind = file_kind(path)
    if kind is None:
        other = _kind_of_other(path)
        raise RequestError(f"{path} is neither NetCDF, GRIB nor Zarr, which are what adiabat reads{other}")
    if kind == "GRIB":
        check_messages(path)
        return
    with path.open("rb") as file:
        start = file.read(48)
        file.seek(3)
        try:
            expected = _Header(file).length() if start[:3] == b"CDF" else _end_of_hdf5(start)
        except (struct.error, IndexError, KeyError) as error:
            raise RequestError(f"{path} cannot be read: it is truncated within its header") from error
    there = path.stat().st_size
    if there < expected:
        raise RequestError(f"{path} cannot be read: it is truncated; expected {expected} bytes, got {there}")


def _end_of_hdf5(start: bytes) -> int:
    """The end of the file as its superblock has it; 0 where addresses are of another width."""
    version = start[8]
    width, place = (start[13], 40 + 4 * version) if version < 2 else (start[9], 28)
    return int(struct.unpack_from("<Q", start, place)[0]) if width == 8 else 0


def _kind_of_other(path: Path) -> str:
    """What it is instead, where that helps."""
    with path.open("rb") as file:
        start = file.read(8)
    known = {b"PK\x03\x04": "a zip archive, to be unpacked first", b"\x1f\x8b": "gzipped", b"\x0e\x03\x13\x01": "HDF 4"}
    found = next((name for mark, name in known.items() if start.startswith(mark)), "") if start else "empty"
    return f": it is {found}" if found else ""


class _Header:
    """The header of a classic NetCDF file, as far as it says where values lie."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.version = file.read(1)[0]
        self.counts = ">q" if self.version == 5 else ">i"
        self.offsets = ">i" if self.version == 1 else ">q"

    def length(self) -> int:
        """Bytes up to the last value; 0 where the file does not say how many records it has."""
        records = self._count()
        if records < 0:
            return 0
        self._number(">i")
        sizes = [self._dimension() for _ in range(self._count())]
        self._attributes()
        self._number(">i")
        variables = [self._variable(sizes) for _ in range(self._count())]
        fixed = [begin + size for begin, size, along in variables if not along]
        rows = [(begin, size) for begin, size, along in variables if along]
        row = sum(size if len(rows) == 1 else -(-size // 4) * 4 for _, size in rows)
        last = [begin + (records - 1) * row + size for begin, size in rows if records]
        return max([*fixed, *last, self.file.tell()])

    def _number(self, code: str) -> int:
        return int(struct.unpack(code, self.file.read(struct.calcsize(code)))[0])

    def _count(self) -> int:
        return self._number(self.counts)

    def _name(self) -> None:
        self.file.seek(-(-self._count() // 4) * 4, 1)

    def _dimension(self) -> int:
        self._name()
        return self._count()

    def _attributes(self) -> None:
        self._number(">i")
        for _ in range(self._count()):
            self._name()
            size = _SIZES[self._number(">i")]
            self.file.seek(-(-self._count() * size // 4) * 4, 1)

    def _variable(self, sizes: list[int]) -> tuple[int, int, bool]:
        """Where it begins, its bytes (of one record), and whether it has records."""
        self._name()
        shape = [sizes[self._count()] for _ in range(self._count())]
        self._attributes()
        size = _SIZES[self._number(">i")]
        self._count()  # its size in the file, which overflows for large ones
        begin = self._number(self.offsets)
        along = bool(shape) and shape[0] == 0
        return begin, size * math.prod(shape[1:] if along else shape), along
