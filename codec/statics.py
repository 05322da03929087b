"""Static fields, such as orography, that encoder and decoder both know: found by hash, scaled to a chunk's fine units.

Stage of `pyramid` beside the frames: **statics** -> side. Spec: spec/stream.md, "Static fields".

A static field is one file in NumPy's `.npy` format: little-endian float32, C order, (y, x). Its name is the SHA-256
of the file. It is looked for where models are. A chunk says which fields it uses, where its own first pixel lies in
them, and how many fine units a unit of the field is worth.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.domain import TARGET_LIMIT
from adiabat.codec.errors import CorruptStreamError, ModelMismatchError, ModelNotFoundError
from adiabat.codec.npy import read_npy
from adiabat.codec.octets import Reader, write_varint

SUFFIX = ".npy"
LIMIT = 2 * TARGET_LIMIT  # magnitude of any value in fine units
SIZE_LIMIT = 256 << 20  # bytes of a file
MAX_STATICS = 4  # of one chunk


@dataclass(frozen=True)
class Static:
    """One static field as a chunk uses it.

    Attributes
    ----------
    sha256 : str
        Of the file, in hexadecimal.
    y, x : int
        Where the chunk's first row and column lie in the field.
    gain : float
        Fine units for a unit of the field.
    """

    sha256: str
    y: int = 0
    x: int = 0
    gain: float = 0.0

    def crop(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """The chunk's part of the field, shape (y, x).

        Raises
        ------
        ModelNotFoundError
            If there is no such field here.
        CorruptStreamError
            If the chunk reaches beyond the field.
        """
        field = find_static(self.sha256)
        if self.y + shape[0] > field.shape[0] or self.x + shape[1] > field.shape[1]:
            raise CorruptStreamError(
                f"expected a chunk inside the static field {field.shape}, got {shape} at {(self.y, self.x)}"
            )
        return field[self.y : self.y + shape[0], self.x : self.x + shape[1]]


def scale(fields: NDArray[np.floating], gains: NDArray[np.float64]) -> NDArray[np.int64]:
    """Static fields (statics, y, x) in fine units."""
    with np.errstate(over="ignore"):
        fine = np.rint(fields.astype(np.float64) * gains[:, None, None])
    return np.clip(fine, -LIMIT, LIMIT).astype(np.int64)


def fine_statics(statics: tuple[Static, ...], shape: tuple[int, int]) -> NDArray[np.int64] | None:
    """The chunk's parts of its static fields in fine units; None without any."""
    if not statics:
        return None
    fields = np.stack([static.crop(shape) for static in statics])
    return scale(fields, np.array([static.gain for static in statics]))


def write_statics(statics: tuple[Static, ...]) -> bytes:
    """Number, then hash, row, column and gain of each."""
    parts = [
        bytes.fromhex(each.sha256) + write_varint(each.y) + write_varint(each.x) + np.float64(each.gain).tobytes()
        for each in statics
    ]
    return bytes([len(parts)]) + b"".join(parts)


def read_statics(data: bytes | None) -> tuple[Static, ...]:
    """Undo `write_statics`; none without a section.

    Raises
    ------
    CorruptStreamError
        If the bytes are no such list.
    """
    if data is None:
        return ()
    reader = Reader(data)
    count = reader.u8()
    if not 1 <= count <= MAX_STATICS:
        raise CorruptStreamError(f"expected 1 to {MAX_STATICS} static fields, got {count}")
    out = tuple(
        Static(reader.take(32).hex(), reader.varint(1 << 31), reader.varint(1 << 31), reader.f64())
        for _ in range(count)
    )
    reader.end()
    return out


_loaded: dict[str, NDArray[np.float32]] = {}


def find_static(sha256: str) -> NDArray[np.float32]:
    """The static field of this hash, shape (y, x).

    Raises
    ------
    ModelNotFoundError
        If it is in none of the folders; says where it was looked for and how to add it.
    ModelMismatchError
        If the file of that name holds something else.
    """
    from adiabat.codec.models import folders

    if sha256 not in _loaded:
        for path in (folder / f"{sha256}{SUFFIX}" for folder in folders()):
            if path.is_file():
                _loaded[sha256] = _read(path.read_bytes(), sha256)
                break
        else:
            places = ", ".join(str(folder) for folder in folders())
            raise ModelNotFoundError(
                f"static field {sha256} is needed but was not found in {places}; "
                f"ask whoever made the data for the file and run: adiabat models add FILE, or STORE"
            )
    return _loaded[sha256]


def take_static(data: bytes, sha256: str) -> None:
    """Let this process find a static field by its hash, from the bytes of its file.

    Raises
    ------
    ModelMismatchError
        If they are another's, or those of none.
    """
    _loaded.setdefault(sha256, _read(data, sha256))


def is_loaded(sha256: str) -> bool:
    """Whether this process has a static field already, so that no file is needed."""
    return sha256 in _loaded


def _read(data: bytes, sha256: str | None = None) -> NDArray[np.float32]:
    """The field in a file's bytes, checked."""
    digest = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, digest) or len(data) > SIZE_LIMIT:
        raise ModelMismatchError(f"expected the static field {sha256}, got {len(data)} bytes of SHA-256 {digest}")
    try:
        field = read_npy(data, np.float32, 2)
        if not field.size or not np.isfinite(field).all():
            raise ValueError(f"expected finite values (y, x), got shape {field.shape}")
    except ValueError as error:
        raise ModelMismatchError(f"not a static field: {error}") from error
    return field


def static_file(field: NDArray[np.floating]) -> bytes:
    """The bytes of a static field's file: the same field gives the same bytes.

    Raises
    ------
    ValueError
        If the field is not a finite array of two axes.
    """
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(field, "<f4")
    if field.ndim != 2 or not np.isfinite(stored).all():
        raise ValueError(f"expected a finite static field of two axes, got shape {field.shape}")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, stored, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def add_static(data: bytes) -> str:
    """Keep a static field's file in the cache folder, after checking it; returns its SHA-256."""
    from adiabat.codec.models import cache_folder, keep

    _read(data)
    digest = hashlib.sha256(data).hexdigest()
    name = f"{digest}{SUFFIX}"
    if not (cache_folder() / name).exists():
        keep(name, data)
    return digest
