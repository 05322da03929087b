"""ClimateBenchPress's variables, its three bounds for each, and fields scored in its terms.

Stage: evaluation, on top of `compare`. Its bounds come from the spread of ERA5's ten-member ensemble (of biomass: from
its data set's own standard deviation): 100, 99 and 95 % of all places have a larger spread. The figures are those it
publishes; there is no ensemble here to take others from. What it has none for gets 0.01, 0.1 and 1 % of the range, as
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.benchmark_scores import BenchmarkScores, score_benchmark
from adiabat.formats.compare_rows import Progress, measured
from adiabat.formats.comparison import Row
from adiabat.formats.peers import Peer
from adiabat.formats.policies.quantity import matches
from adiabat.formats.policy import Bound

__all__ = ["CODECS", "PUBLISHED", "SOURCE", "Published", "Scored", "bounds_of", "find_published", "score_field"]

SOURCE = "ClimateBenchPress, compressor repository, datasets-error-bounds (egusphere-2026-60)"
CODECS = ("pyramid", "hyperprior", "vq")  # that take a bound on any field
SHARES = (1e-4, 1e-3, 1e-2)  # of the range


@dataclass(frozen=True)
class Published:
    """Bounds of one of its variables.

    Parameters
    ----------
    name : str
        There.
    quantity : str
        Its key in adiabat's table of quantities; "" where that has none, and the name alone says it.
    kind : {"abs", "rel"}
    sizes : tuple of float
        At 100, 99 and 95 % of places; absolute ones in the quantity's units.
    dataset : str
        In whose folder they stand there.
    """

    name: str
    quantity: str
    kind: str
    sizes: tuple[float, float, float]
    dataset: str


PUBLISHED = (
    Published(
        "10m_u_component_of_wind", "10u", "abs",
        (0.0056038834154605865, 0.061566758900880814, 0.10284513235092163), "era5-tiny",
    ),
    Published(
        "10m_v_component_of_wind", "10v", "abs",
        (0.0039223432540893555, 0.06113355606794357, 0.1022997573018074), "era5-tiny",
    ),
    Published(
        "mean_sea_level_pressure", "msl", "abs", (1.46685791015625, 6.038266181945801, 7.935125350952148), "era5-tiny"
    ),
    Published("ta", "t", "abs", (0.0119, 0.074, 0.10375), "cmip6-access-ta"),
    Published(
        "tos", "sst", "abs", (6.103515625e-05, 9.765622962731868e-05, 0.00018269808788318187), "cmip6-canesm5-tos"
    ),
    Published("q", "q", "rel", (0.001725, 0.009475, 0.014275), "ifs-humidity"),
    Published(
        "pr", "tprate", "rel", (0.010989011265337467, 0.1071428582072258, 0.17516696453094482), "nextgems-icon-tiny"
    ),
    Published(
        "rlut", "avg_tnlwrf", "abs",
        (0.027889762073755264, 0.20604801177978516, 0.48742997646331787), "nextgems-icon-tiny",
    ),
    Published("no2", "", "rel", (0.000244140625, 0.03125, 0.125), "cams-nitrogen-dioxide"),
    Published(
        "agb", "", "rel", (0.1428571492433548, 0.3076923191547394, 0.3333333432674408), "esa-biomass-cci"
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """One codec at one bound, in the benchmark's terms.

    Parameters
    ----------
    file, variable : str
    bounds_from : str
        Where the bound comes from.
    row : Row
    scores : BenchmarkScores or None
        None where there is no result.
    """

    file: str
    variable: str
    bounds_from: str
    row: Row
    scores: BenchmarkScores | None

    def as_dict(self) -> dict[str, Any]:
        """Flat, for JSON and CSV."""
        row = {key: each for key, each in asdict(self.row).items() if key not in ("equal", "max_error", "rmse", "kept")}
        scores = {} if self.scores is None else self.scores.as_dict()
        return {"file": self.file, "variable": self.variable, "bounds_from": self.bounds_from, **row, **scores}


def find_published(array: xr.DataArray) -> tuple[Published, float] | None:
    """Which of the benchmark's variables this is, and how many of the quantity's units make one of the array's.

    Examples
    --------
    >>> found = find_published(xr.DataArray([[1e5]], dims=("lat", "lon"), name="msl", attrs={"units": "hPa"}))
    >>> found[0].name, found[1]
    ('mean_sea_level_pressure', 100.0)
    """
    by_quantity = {each.quantity: each for each in PUBLISHED if each.quantity}
    for match in matches(array)[0]:
        if match.quantity.key in by_quantity:
            return by_quantity[match.quantity.key], match.factor
    name = str(array.name).rpartition("/")[2]
    return next(((each, 1.0) for each in PUBLISHED if each.name == name and not each.quantity), None)


def bounds_of(array: xr.DataArray, x: NDArray[np.float32]) -> tuple[list[Bound], str]:
    """The three bounds of a field, the strictest first, and where they come from.

    Parameters
    ----------
    array : xarray.DataArray
        Its name, units and coordinates count.
    x : NDArray[np.float32]
        Its values.

    Examples
    --------
    >>> field = xr.DataArray([[0.0, 50.0]], dims=("y", "x"), name="ozone")
    >>> bounds_of(field, field.values.astype("f4"))[0]
    [{'abs': 0.005}, {'abs': 0.05}, {'abs': 0.5}]
    """
    found = find_published(array)
    if found is not None:
        published, size = found
        scale = size if published.kind == "abs" else 1.0
        told = f"{SOURCE}: {published.name} of {published.dataset}"
        return [{published.kind: each / scale} for each in published.sizes], told
    known = x[np.isfinite(x)]
    span = float(np.float64(known.max()) - known.min())
    told = "0.01, 0.1 and 1 % of the range, as there for what it has no ensemble of"
    return ([{"abs": share * span} for share in SHARES], told) if span else (["lossless"], "constant: no bound to set")


def score_field(
    array: xr.DataArray,
    x: NDArray[np.float32],
    peers: Mapping[str, Peer],
    *,
    file: str = "",
    codecs: Sequence[str] = CODECS,
    progress: Progress | None = None,
) -> Iterator[Scored]:
    """Every codec at each of the field's bounds.

    Parameters
    ----------
    array : xarray.DataArray
    x : NDArray[np.float32]
        Its values, as `compare.as_field` gives them.
    peers : mapping of str to Peer
    file : str
        Where it is from.
    codecs : sequence of str
        Of adiabat; the latent ones keep the bound by a residual.
    progress : callable, optional

    Yields
    ------
    Scored
    """
    bounds, told = bounds_of(array, x)
    for bound in bounds:
        for row, decoded in measured(x, [bound], peers, codecs=codecs, bounded=codecs, progress=progress):
            scores = None if decoded is None else score_benchmark(x, decoded, bound=bound)
            yield Scored(file, str(array.name), told, row, scores)
