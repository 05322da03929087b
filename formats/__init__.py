"""adiabat.formats: what lies on disk and how people meet it.

::

    find_source -> Source -> plan_groups -> [VariablePlan] -> archive -> Zarr store -> verify, status, take_inventory
     (sources)      (plan, of policies, chunks, static)          |                     (verify, status, inventory)
                                                                 v
         workspace: metadata -> bundles of blocks -> engine: tasks on processes or a cluster -> journal -> achieved

    Zarr store -> open_archive -> Dataset              Zarr store -> export -> NetCDF, plain Zarr
                  (reading, of xarray_backend, store_models)         (export, of rounding, export_targets)

    array with holes -> rank_selection -> low_rank.write -> low-rank store -> xarray_backend
                                          (low_rank_candidates, low_rank_layout)

    coarse array -> generated_source -> Recipe -> generated_write -> generated view -> xarray_backend
                       (fine_grid)    (generated)   (generated_view, of downscaling)

`compress` plans and writes one dataset in one call; the command ``adiabat`` (``cli``) is a thin layer over
these. `adiabat.formats.low_rank` keeps arrays as CP factors. xarray and Zarr do the input and
output; torch is never imported here.
"""

from typing import TYPE_CHECKING, Any

from adiabat.formats.archive import compress, write
from adiabat.formats.errors import RequestError
from adiabat.formats.inventory import take_inventory
from adiabat.formats.plan import VariablePlan, make_plan
from adiabat.formats.policy import parse_bound
from adiabat.formats.sources import Source, find_source, open_source
from adiabat.formats.static import open_static
from adiabat.formats.verify import VariableCheck, verify

if TYPE_CHECKING:
    from adiabat.formats.reading import open_archive

__all__ = [
    "RequestError",
    "Source",
    "VariableCheck",
    "VariablePlan",
    "compress",
    "find_source",
    "make_plan",
    "open_archive",
    "open_source",
    "open_static",
    "parse_bound",
    "take_inventory",
    "verify",
    "write",
]


def __getattr__(name: str) -> Any:
    """Import what registers an accessor of xarray only for those who ask for it."""
    if name == "open_archive":
        from adiabat.formats.reading import open_archive

        return open_archive
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
