"""Bytes <-> arrays, under a bound, or at an error or a ratio that is asked for.

    array (any shape, float16/32/64, any order)
      | frames   -> (frame, y, x), native, C order
      | mask     -> special pixels apart (NaN, infinities, fill values, zeros under a relative bound)
      | bound    -> domain: field <-> integers in fine units
      | neural (volume, coarse_to_fine, integer_net, entropy, models) | spectral | classical | constant | raw
      | bound    -> the check; what lies outside is kept exactly
      | stream   -> bytes
    and back: `Pyramid`. At extreme ratios:

    array | frames | mask | latent_statics | holes
      | hyperprior: wavelet (g_a), subband_walk (h_s: integer networks), entropy, wavelet (g_s)
      | vq: vq_transform (g_a), vq_choice, vq_prior, vq_transform (g_s)
      | hvae, for spectra: hvae_transform (g_a), hvae_prior (integer network), hvae_transform (g_s)
      | latent_choice: latents alone, with a residual by Pyramid, or Pyramid: the smallest that keeps what was asked for
      | stream   -> bytes

Nothing here imports torch or xarray, and importing has no side effect: names load when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adiabat.codec.context import ChunkContext
    from adiabat.codec.description import describe
    from adiabat.codec.errors import (
        AdiabatError,
        BoundError,
        CorruptStreamError,
        ModelMismatchError,
        ModelNotFoundError,
        TruncatedStreamError,
        UnsupportedVersionError,
    )
    from adiabat.codec.hvae import HVAE
    from adiabat.codec.hyperprior import Hyperprior
    from adiabat.codec.pyramid import Pyramid
    from adiabat.codec.vq import VQ

__all__ = [
    "AdiabatError",
    "BoundError",
    "ChunkContext",
    "CorruptStreamError",
    "HVAE",
    "Hyperprior",
    "ModelMismatchError",
    "ModelNotFoundError",
    "Pyramid",
    "TruncatedStreamError",
    "UnsupportedVersionError",
    "VQ",
    "describe",
]

_HOMES = {
    "HVAE": "hvae",
    "Hyperprior": "hyperprior",
    "VQ": "vq",
    "ChunkContext": "context",
    "Pyramid": "pyramid",
    "describe": "description",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"adiabat.codec.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
