"""adiabat.formats: what lies on disk and how people meet it.

::

    open_source -> Dataset -> make_plan -> [VariablePlan] -> write -> Zarr store -> verify, take_inventory
     (sources)                 (plan, of policy, chunks, static)    (archive)        (verify, inventory)

    array with holes -> rank_selection -> low_rank.write -> low-rank store -> xarray_backend
                                          (low_rank_candidates, low_rank_layout)

`compress` is plan and write in one call; the command ``adiabat`` (``cli``) is a thin layer over
these. `adiabat.formats.low_rank` keeps arrays as CP factors. xarray and Zarr do the input and
output; torch is never imported here.
"""

from adiabat.formats.archive import compress, write
from adiabat.formats.errors import RequestError
from adiabat.formats.inventory import take_inventory
from adiabat.formats.plan import VariablePlan, make_plan
from adiabat.formats.policy import parse_bound
from adiabat.formats.sources import open_source
from adiabat.formats.static import open_static
from adiabat.formats.verify import VariableCheck, verify

__all__ = [
    "RequestError",
    "VariableCheck",
    "VariablePlan",
    "compress",
    "make_plan",
    "open_source",
    "open_static",
    "parse_bound",
    "take_inventory",
    "verify",
    "write",
]
