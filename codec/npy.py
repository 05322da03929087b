"""Arrays in NumPy's `.npy` format, from bytes that may be anything at all.

Used by `package` and `statics`. Spec: spec/model.md. `numpy.load` takes more than the specification does, such as
archives and headers of Python 2, and sets memory aside for what a header says; here the bytes have to be there.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_npy"]

MAGIC = b"\x93NUMPY\1\0"  # of format version 1.0
START = len(MAGIC) + 2  # of the header, after its length
HEADER = re.compile(
    rb"\{'descr': '([<>|=]\w{2,3})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,18}, ?)*\d{0,18})\), ?\} *\n?"
)


def read_npy(data: bytes, dtype: type[np.generic], axes: int) -> NDArray[Any]:
    """The array in a file's bytes: format version 1.0, little-endian, C order, nothing behind it.

    Parameters
    ----------
    data : bytes
    dtype : NumPy scalar type
        That it has to have.
    axes : int
        That it has to have.

    Returns
    -------
    NDArray

    Raises
    ------
    ValueError
        If it is another, or none.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> np.save(file, np.arange(3, dtype=np.int16))
    >>> read_npy(file.getvalue(), np.int16, 1)
    array([0, 1, 2], dtype=int16)
    """
    end = START + int.from_bytes(data[len(MAGIC) : START], "little")
    header = HEADER.fullmatch(data[START:end])
    if not data.startswith(MAGIC) or header is None:
        raise ValueError(f"expected an array in .npy format 1.0, got {data[:16]!r}")
    wanted = np.dtype(dtype).newbyteorder("<")
    found, shape = header[1].decode(), tuple(int(length) for length in header[3].split(b",") if length.strip())
    if found != wanted.str or len(shape) != axes:
        raise ValueError(f"expected {wanted.str} of {axes} axes, got {found} of {len(shape)}")
    if header[2] == b"True":
        raise ValueError("expected values in C order, got Fortran's")
    if math.prod(shape) * wanted.itemsize != len(data) - end:
        raise ValueError(f"expected the bytes of shape {shape} and no more, got {len(data) - end}")
    return np.frombuffer(bytearray(data[end:]), wanted).reshape(shape).astype(dtype, copy=False)
