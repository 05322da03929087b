"""What can go wrong with a stream, split by who must act.

Bad arguments are `ValueError` and `TypeError`, as everywhere in Python; the classes here are for streams and models.
Spec: `spec/stream.md`, "Errors".
"""

from __future__ import annotations

__all__ = [
    "AdiabatError",
    "BoundError",
    "CorruptStreamError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "TruncatedStreamError",
    "UnsupportedVersionError",
]


class AdiabatError(Exception):
    """The base of every error below.

    Examples
    --------
    >>> issubclass(CorruptStreamError, AdiabatError)
    True
    """


class CorruptStreamError(AdiabatError):
    """The bytes are not what an encoder wrote. Who holds the bytes must act: fetch or restore them again."""


class TruncatedStreamError(AdiabatError):
    """The bytes end too early. Who moved them must act: the copy or download stopped half-way; repeat it."""


class UnsupportedVersionError(AdiabatError):
    """The stream is newer than this program. The reader must act: upgrade `adiabat`."""


class ModelNotFoundError(AdiabatError):
    """The stream's model is not here. The reader must act: `adiabat models add FILE | STORE`."""


class ModelMismatchError(AdiabatError):
    """A model is not what its hash or manifest says. Who supplied the model must act: supply the right one."""


class BoundError(AdiabatError):
    """A bound that was promised does not hold. We must act: it is a defect of the encoder; report it with the data."""
