"""Blocks that are read together, since the source keeps their values in the same chunks or messages.

Stage: archive -> bundles -> engine. An hour of ARCO-ERA5 with all its levels is one chunk of 154 MB: read for one level
at a time it would be read 37 times.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import xarray as xr

from adiabat.formats.blocks import Block, hull

__all__ = ["Bundle", "bundle_blocks", "reads_of"]

Bundle = tuple[Block, ...]


def bundle_blocks(blocks: Sequence[Block], datasets: Mapping[str, xr.Dataset], *, most: int) -> list[Bundle]:
    """Put blocks together that share chunks of the source, as many as memory allows.

    Parameters
    ----------
    blocks : sequence of Block
    datasets : mapping of str to xarray.Dataset
        The source, by the paths of its groups.
    most : int
        Values of a bundle; a block may be more.

    Returns
    -------
    list of tuple of Block
        In the order of blocks.

    Examples
    --------
    >>> field = xr.DataArray(0.0).expand_dims(time=2, level=6, x=5).rename("t")
    >>> field.encoding["preferred_chunks"] = {"time": 1, "level": 6}
    >>> blocks = [Block("/", "t", (0, i, 0), (2, i + 1, 5)) for i in range(6)]
    >>> [len(bundle) for bundle in bundle_blocks(blocks, {"/": field.to_dataset()}, most=40)]
    [4, 2]
    """
    together: dict[object, list[Bundle]] = defaultdict(list)
    for block in blocks:
        chunks = _chunks_of(datasets[block.group][block.name])
        axes = [
            axis for axis, chunk in enumerate(chunks) if chunk > max(1, block.stop[axis] - block.start[axis])
        ]  # along which the source's chunks are longer
        key = (
            block.array,
            tuple(block.start[i] // chunks[i] if i in axes else block.start[i] for i in range(len(chunks))),
        )
        some = together[key]
        room = some and axes and sum(each.values for each in some[-1]) + block.values <= most
        if room:
            some[-1] = (*some[-1], block)
        else:
            some.append((block,))
    return [bundle for some in together.values() for bundle in some]


def reads_of(bundles: Sequence[Bundle], datasets: Mapping[str, xr.Dataset]) -> float:
    """How often each value of the source is read, on average: 1 where nothing is read in vain."""
    read, wanted = 0, 0
    for bundle in bundles:
        chunks, whole = _chunks_of(datasets[bundle[0].group][bundle[0].name]), hull(bundle)
        region = [(part.start, part.stop) for part in whole.source_region]
        read += math.prod(-(-b // n) * n - a // n * n for (a, b), n in zip(region, chunks, strict=True))
        wanted += sum(block.values for block in bundle)
    return read / wanted if wanted else 1.0


def _chunks_of(array: xr.DataArray) -> list[int]:
    """Of the source, by axis; 1 where it is not cut, or says nothing."""
    preferred = array.encoding.get("preferred_chunks") or {}
    return [min(int(preferred.get(dim, 1)), max(1, array.sizes[dim])) for dim in array.dims]
