"""adiabat.formats.peers: compressors of other projects, as far as they are installed, to be compared with.

Importing imports none of them.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from adiabat.formats.peers.bitround import BITROUND
from adiabat.formats.peers.jpeg2000 import JPEG2000
from adiabat.formats.peers.peer import Mode, Peer
from adiabat.formats.peers.quantised import JPEG_XL, LINEAR_ZSTD, PCODEC
from adiabat.formats.peers.sperr import SPERR
from adiabat.formats.peers.sz3 import SZ3
from adiabat.formats.peers.wasm import EBCC, TTHRESH
from adiabat.formats.peers.zfp import ZFP

__all__ = ["KNOWN", "Mode", "Peer", "absent", "available", "versions"]

KNOWN = {peer.name: peer for peer in (SZ3, SPERR, JPEG_XL, JPEG2000, ZFP, PCODEC, BITROUND, LINEAR_ZSTD, EBCC, TTHRESH)}


def available() -> dict[str, Peer]:
    """Those that are installed, by name.

    Examples
    --------
    >>> "bitround+zstd" in available()  # of what adiabat itself needs
    True
    """
    return {name: peer for name, peer in KNOWN.items() if peer.missing() is None}


def absent() -> dict[str, str]:
    """Why the others cannot be used, a sentence each, by name."""
    return {name: why for name, peer in KNOWN.items() if (why := peer.missing()) is not None}


def versions(peers: dict[str, Peer]) -> dict[str, str]:
    """Versions of what is compared, by distribution."""
    out = {}
    for package in ("adiabat", *sorted({package for peer in peers.values() for package in peer.packages})):
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            continue
    return out
