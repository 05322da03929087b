"""xarray's engine ``adiabat``: low-rank stores and generated views, lazily, and ordinary stores with their models.

Stage: outermost, for readers. xarray finds `AdiabatBackend` through the entry point ``xarray.backends``. Coordinates
and every variable that is not low-rank are read by xarray's own Zarr engine. Loading this module adds the accessor
``.adiabat`` to arrays: means and sums in factor space, exact or refused.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr
import zarr
from xarray.backends.common import BackendEntrypoint, _normalize_path
from xarray.core import indexing

from adiabat.formats import factor_accessor  # noqa: F401  # registers .adiabat
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import RECIPE
from adiabat.formats.lazy_array import FormedBackendArray
from adiabat.formats.low_rank_layout import MARKER, SUFFIX, low_rank_names
from adiabat.formats.low_rank_store import StoredArray

OBSERVED = "_observed"  # after a variable's name: its mask


class AdiabatBackend(BackendEntrypoint):
    """Open stores of adiabat.

    Of a generated view, the variable has the fine grid, and is computed where it is read; what is stored is beside it
    as ``<name>_coarse``.

    ``xr.open_dataset(path)`` takes this engine by itself for names that end in ``.cp.zarr``; for others say
    ``engine="adiabat"``. Options beside xarray's own:

    view : {"filled", "corrected", "source"}
        ``filled``: values of the factors, also where nothing was observed. ``corrected``: with the residual, so that
        observed cells hold the bound. ``source``: the same, and NaN where nothing was observed. By default what the
        writer chose. Whichever it is, the variable ``<name>_observed`` tells which cells were observed.
    group : str
        Inside the store.
    models : False, True or "store"
        Whether models and static fields that the store carries may be used: ``"store"`` by this process, and by those
        that the dataset is sent to; ``True`` by all, from this machine's cache, into which they are copied. They decide
        what values you see: whom do you have the store from?
    damaged : None or "nan"
        What to do where a chunk cannot be decoded: raise its error, or give NaN there and a `DamageWarning` that names
        it. Floats that are no coordinates of a dimension, and no low-rank variables or generated views.
    """

    description = "adiabat: low-rank stores (.cp.zarr), and stores compressed by adiabat"
    supports_groups = True
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj", "mask_and_scale", "decode_times", "concat_characters", "decode_coords", "drop_variables",
        "use_cftime", "decode_timedelta", "group", "view", "models", "damaged",
    )  # fmt: skip

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name is one of a low-rank store; nothing is read."""
        return isinstance(filename_or_obj, str | os.PathLike) and str(filename_or_obj).rstrip("/").endswith(SUFFIX)

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        view: str | None = None,
        models: bool | str = False,
        damaged: str | None = None,
    ) -> xr.Dataset:
        """Open one group of a store; see the class."""
        place = _place(filename_or_obj, models)
        root = zarr.open_group(place, mode="r", path=group or "", use_consolidated=False)
        names = low_rank_names(root)
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        options: dict[str, Any] = {
            "mask_and_scale": mask_and_scale, "decode_times": decode_times, "concat_characters": concat_characters,
            "decode_coords": decode_coords, "use_cftime": use_cftime, "decode_timedelta": decode_timedelta,
        }  # fmt: skip
        with quiet():
            dataset = xr.open_dataset(
                place, engine="zarr", chunks=None, cache=False, group=group, drop_variables=sorted(dropped),
                consolidated=_is_consolidated(place, root), **options,
            )  # fmt: skip
        _prefer_shards(dataset)
        generated = any(RECIPE in variable.attrs for variable in dataset.variables.values())
        dataset = _tolerant(dataset, damaged, generated=generated)
        if generated:
            decoded = dataset if mask_and_scale is True else _decoded(place, group)
            dataset = _generated(dataset, decoded).drop_vars(dropped, errors="ignore")
        found = {name: _variables(root, name, view) for name in names if name not in dropped}
        dataset.attrs.pop(MARKER, None)
        opened = {key: each for pair in found.values() for key, each in pair.items() if key not in dropped}
        dataset = dataset.assign(opened)
        outer = {name for each in opened.values() for name in str(each.attrs.get("coordinates", "")).split()}
        if decode_coords:
            for name in opened:
                if "coordinates" in dataset[name].attrs:
                    dataset[name].encoding["coordinates"] = dataset[name].attrs.pop("coordinates")
            dataset = dataset.set_coords([name for name in outer if name in dataset.variables])
        return dataset

    def open_groups_as_dict(
        self, filename_or_obj: Any, *, models: bool | str = False, **options: Any
    ) -> dict[str, xr.Dataset]:
        """Open every group that is no low-rank variable itself; see the class."""
        place = _place(filename_or_obj, models)
        top = "/" + (options.pop("group", None) or "").strip("/")
        paths = list(_groups(zarr.open_group(place, mode="r", path=top.strip("/"), use_consolidated=False)))
        return {
            f"/{path}": self.open_dataset(place, group=f"{top}/{path}".strip("/") or None, **options) for path in paths
        }

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open all groups as a tree; see the class."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))


def _tolerant(dataset: xr.Dataset, damaged: str | None, *, generated: bool) -> xr.Dataset:
    """The dataset, or one that gives NaN for damaged chunks if that was asked for."""
    if damaged is None:
        return dataset
    from adiabat.formats.damaged import with_nan

    if damaged != "nan":
        raise RequestError(f'expected damaged=None or "nan", got {damaged!r}')
    if generated:
        raise RequestError("damaged='nan' is not for generated views: fine values come from all of a field")
    return with_nan(dataset)


def _generated(dataset: xr.Dataset, decoded: xr.Dataset) -> xr.Dataset:
    """The dataset with its generated views, which are of decoded values, whatever was asked for."""
    from adiabat.formats.generated import recipes_of
    from adiabat.formats.generated_view import with_generated

    recipes = recipes_of(dataset.variables)
    return with_generated(dataset, {name: decoded[name].variable for name in recipes}, recipes)


def _decoded(place: Any, group: str | None) -> xr.Dataset:
    """Fields without what fills holes and packs them."""
    with quiet():
        return xr.open_dataset(
            place, engine="zarr", chunks=None, cache=False, group=group, decode_times=False, consolidated=False
        )


def _variables(root: zarr.Group, name: str, view: str | None) -> dict[str, xr.Variable]:
    """A variable and its mask."""
    group = root[name]
    if not isinstance(group, zarr.Group):
        raise RequestError(f"expected a group {name}, got an array")
    stored, mask = StoredArray(group, view or ""), StoredArray(group, "observed")
    attributes = stored.attributes
    if stored.view == "filled":
        attributes.pop("adiabat", None)  # it tells of a bound
    about = {"long_name": f"whether {attributes.get('long_name', name)} was observed"}
    attributes["ancillary_variables"] = f"{attributes.get('ancillary_variables', '')} {name}{OBSERVED}".strip()
    return {name: _variable(stored, attributes), f"{name}{OBSERVED}": _variable(mask, about)}


def _variable(stored: StoredArray, attributes: Mapping[str, Any]) -> xr.Variable:
    lazy = indexing.LazilyIndexedArray(FormedBackendArray(stored))
    chunks = dict(zip(stored.dims, stored.chunks, strict=True))
    return xr.Variable(stored.dims, lazy, attributes, {"preferred_chunks": chunks}, fastpath=True)


def _prefer_shards(dataset: xr.Dataset) -> None:
    """Let ``chunks={}`` take whole shards, so that no two tasks read one file."""
    for variable in dataset.variables.values():
        if variable.encoding.get("shards"):
            variable.encoding["preferred_chunks"] = dict(zip(variable.dims, variable.encoding["shards"], strict=True))


def _is_consolidated(place: Any, group: zarr.Group) -> bool:
    """Whether all metadata lie in one file of the root, where xarray looks, and warns if they do not."""
    if MARKER in group.attrs:
        return False
    try:
        return zarr.open_group(place, mode="r").metadata.consolidated_metadata is not None
    except zarr.errors.GroupNotFoundError:  # groups without one above them
        return False


def _groups(group: zarr.Group, path: str = "") -> Iterable[str]:
    """A group and those below it, but for low-rank variables and the folder of models."""
    from adiabat.codec.models import STORE_FOLDER

    yield path
    own = {*low_rank_names(group), STORE_FOLDER}
    for name, member in groups_in(group).items():
        if name not in own:
            yield from _groups(member, f"{path}/{name}".strip("/"))


def groups_in(group: zarr.Group) -> dict[str, zarr.Group]:
    """The groups right below this one, by name."""
    with quiet():
        return dict(sorted(group.groups()))


@contextmanager
def quiet() -> Iterator[None]:
    """Without Zarr's warning of files that it does not know, such as README.txt."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Object at .* is not recognized")
        yield


def _place(filename_or_obj: Any, models: bool | str) -> Any:
    """Where the store is; its models are lent or taken over if that was asked for."""
    place = _normalize_path(filename_or_obj)
    if isinstance(place, str) and "://" not in place and not Path(place).exists():
        raise FileNotFoundError(f"there is no store at {place}")
    if models == "store":
        from adiabat.formats.store_models import lending, open_store

        return lending(open_store(place))
    if not isinstance(models, bool):
        raise RequestError(f'expected models=False, True or "store", got {models!r}')
    if models:
        from adiabat.codec.models import add_store

        if not isinstance(place, str) or "://" in place:
            raise RequestError(f"models=True takes models from a folder on this machine, got {place!r}")
        add_store(place)
    return place
