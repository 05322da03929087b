"""The generated view: the recipe beside a coarse array from which fine values come, and the marks that these bear.

Stage: cli_generate -> **generated** -> generated_write, generated_view -> xarray_backend. A generated value is never
passed off as data: whoever has one sees in its attributes that it is generated, by which model, of which seed, and
which bound holds, if any does. Spec: `spec/generated.md`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import xarray as xr

from adiabat.codec.errors import CorruptStreamError, UnsupportedVersionError
from adiabat.formats.errors import RequestError

__all__ = ["FROZEN", "KINDS", "MARK", "NO_BOUND", "RECIPE", "Recipe", "attributes_of", "coarse_name", "recipes_of"]
__all__ += ["refuse_generated", "stored_name"]

RECIPE = "adiabat_generated_recipe"  # attribute of a stored array that a view is opened beside
MARK = "adiabat_generated"  # attribute of every generated variable: 1
NO_BOUND = "no bound"
VERSION = 2
KINDS = ("samples", "mean", "texture")
FROZEN = "frozen"  # persistence of noise that is the same in all frames
SAMPLE = "sample"  # the dimension of the members of an ensemble
_LARGEST = 2**63 - 1
# What is said of the stored array and does not hold for generated values.
_NOT_KEPT = ("adiabat", RECIPE, "coordinates", "grid_mapping", "ancillary_variables", "cell_measures", "actual_range",
             "valid_range", "valid_min", "valid_max", "_FillValue", "missing_value")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What fine values are made of, beside the stored array and the model.

    Parameters
    ----------
    model : str
        SHA-256 of the package, in hexadecimal.
    factor : int
        Fine cells along a side of a coarse one.
    shape : tuple of two int
        Rows and columns of the stored array.
    scale : float
        Roughness of the stored array, in its units; above 0.
    kind : {"samples", "mean", "texture"}
        Members of an ensemble; the model's mean; or fine structure put back into an array that is stored fine, within
        a bound.
    seed : int
        From 0 to 2^63 - 1.
    samples : int
        Members; 1 but for "samples".
    steps : int
        Evaluations of the network for each.
    wrap : bool
        Whether the last axis goes round.
    non_negative : bool
        Whether values below zero are none.
    persistence : int or "frozen"
        Frames over which noise is correlated; 0: not at all; "frozen": it is the same in all of them.
    grain : tuple of two float, optional
        Of the variable on its fine grid, see `grain.grain`; None where nobody knows.
    gains : tuple of two float, optional
        Of what samples add to the mean, see `octave_gains`; with "samples" alone.
    bound : float or None
        Of the stored array, in its units; with "texture" alone.

    Raises
    ------
    ValueError
        If one of them cannot be.

    Examples
    --------
    >>> recipe = Recipe(model="ab" * 32, factor=4, shape=(40, 60), scale=0.5, samples=3, seed=7)
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    model: str
    factor: int
    shape: tuple[int, int]
    scale: float
    kind: str = "samples"
    seed: int = 0
    samples: int = 1
    steps: int = 20
    wrap: bool = False
    non_negative: bool = False
    persistence: int | str = 0
    grain: tuple[float, float] | None = None
    gains: tuple[float, float] | None = None
    bound: float | None = None

    def __post_init__(self) -> None:
        _expect(re.fullmatch(r"[0-9a-f]{64}", self.model), "model", "64 hexadecimal digits", self.model)
        _expect(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}", self.kind)
        whole = len(self.shape) == 2 and all(type(each) is int and each >= 1 for each in self.shape)
        _expect(whole, "shape", "two lengths above 0", self.shape)
        _expect(_finite(self.scale) and self.scale > 0, "scale", "a finite number above 0", self.scale)
        for name in ("wrap", "non_negative"):
            _expect(isinstance(getattr(self, name), bool), name, "true or false", getattr(self, name))
        for name, low, high in (
            ("factor", 2, 64), ("samples", 1, 2**31), ("steps", 1, 1000), ("seed", 0, _LARGEST),
        ):  # fmt: skip
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            _expect(whole and low <= value <= high, name, f"an integer from {low} to {high}", value)
        _expect(self.kind == "samples" or self.samples == 1, "samples", f"1 with {self.kind}", self.samples)
        some = isinstance(self.persistence, int) and not isinstance(self.persistence, bool) and self.persistence >= 0
        _expect(some or self.persistence == FROZEN, "persistence", "frames, 0 or more, or 'frozen'", self.persistence)
        known = self.grain is None or (len(self.grain) == 2 and all(map(_finite, self.grain)))
        _expect(known, "grain", "two finite numbers, or none", self.grain)
        right = self.gains is None or (len(self.gains) == 2 and all(_finite(gain) and gain > 0 for gain in self.gains))
        _expect(right, "gains", "two finite numbers above 0, or none", self.gains)
        _expect(self.gains is None or self.kind == "samples", "gains", f"none with {self.kind}", self.gains)
        bounded = self.bound is not None and _finite(2 * self.bound) and self.bound > 0
        if self.kind == "texture":
            _expect(bounded, "bound", "a finite number above 0 with texture", self.bound)
        else:
            _expect(self.bound is None, "bound", f"none with {self.kind}", self.bound)

    @property
    def fine_shape(self) -> tuple[int, int]:
        """Rows and columns of what is generated."""
        if self.kind == "texture":
            return self.shape
        return self.shape[0] * self.factor, self.shape[1] * self.factor

    @property
    def promised(self) -> str:
        """What holds for each value against the original, as `format_bound` writes it; or "no bound"."""
        return NO_BOUND if self.bound is None else f"abs:{2 * self.bound:.9g}"

    def to_json(self) -> str:
        """As the attribute has it."""
        return json.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Undo `to_json`.

        Raises
        ------
        UnsupportedVersionError
            If it is of another version.
        CorruptStreamError
            If it is no recipe.
        """
        try:
            note = json.loads(text)
            version = note.pop("version")
            if version == 1:  # of adiabat 0.7.0, which knew neither grain nor gains
                _expect(not {"grain", "gains"} & set(note), "keys", "those of version 1", sorted(note))
                note |= {"grain": None, "gains": None}
            if version in (1, VERSION):
                unknown = sorted(set(note) - {field.name for field in fields(cls)})
                _expect(not unknown, "keys", "known ones", unknown)
                pairs = {name: tuple(note[name]) for name in ("shape", "grain", "gains") if note[name] is not None}
                return cls(**note | pairs)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptStreamError(f"the attribute {RECIPE} is no recipe: {error}") from None
        raise UnsupportedVersionError(f"expected a recipe of version 1 or {VERSION}, got {version!r}: upgrade adiabat")


def _finite(number: object) -> bool:
    """Whether it is a number that a float can be; JSON has larger ones."""
    real = isinstance(number, int | float) and not isinstance(number, bool)
    return real and abs(number) <= sys.float_info.max  # type: ignore[arg-type]


def _expect(right: object, name: str, expected: str, got: object) -> None:
    if not right:
        raise ValueError(f"expected {name} to be {expected}, got {got!r}")


def coarse_name(name: str) -> str:
    """What a dimension of a stored array is called where the fine one has its name."""
    return f"{name}_coarse"


def stored_name(name: str, recipe: Recipe) -> str:
    """What a stored array is called where the generated one has its name."""
    return f"{name}_stored" if recipe.kind == "texture" else coarse_name(name)


def recipes_of(variables: Mapping[Any, Any]) -> dict[str, Recipe]:
    """Recipes by the names of the stored arrays that bear one.

    Raises
    ------
    RequestError
        If an array no longer has the shape that its recipe is for, or recipes do not go together.
    """
    found = {str(name): each for name, each in variables.items() if RECIPE in each.attrs and MARK not in each.attrs}
    recipes = {name: Recipe.from_json(str(each.attrs[RECIPE])) for name, each in found.items()}
    for name, recipe in recipes.items():
        if found[name].shape[-2:] != recipe.shape:
            raise RequestError(
                f"{name} has frames of {found[name].shape[-2:]}, but its recipe is for {recipe.shape}: make the view "
                "again with adiabat generate, or read what is stored with xr.open_zarr"
            )
    if len({(each.kind, each.factor, each.samples) for each in recipes.values()}) > 1:
        raise RequestError(f"expected recipes of one kind, factor and number of samples, got others: {sorted(recipes)}")
    return recipes


def attributes_of(name: str, stored: Mapping[Any, Any], recipe: Recipe) -> dict[str, Any]:
    """Attributes of a generated variable: those of the stored array that still hold, and what marks it.

    Parameters
    ----------
    name : str
        Of the variable.
    stored : mapping
        Attributes of the stored array.
    recipe : Recipe

    Examples
    --------
    >>> recipe = Recipe(model="ab" * 32, factor=4, shape=(40, 60), scale=0.5, seed=7)
    >>> marked = attributes_of("t", {"units": "K", "adiabat": "{}"}, recipe)
    >>> marked["units"], marked["adiabat_generated"], marked["adiabat_seed"], marked["adiabat_bound"]
    ('K', 1, 7, 'no bound')
    """
    kept = {str(key): value for key, value in stored.items() if key not in _NOT_KEPT}
    said = kept.get("comment")
    kept["long_name"] = f"{kept.get('long_name', name)} (generated)"
    kept["comment"] = _comment(name, recipe) + (f" {said}" if said else "")
    return kept | {
        MARK: 1,
        "adiabat_kind": recipe.kind,
        "adiabat_seed": recipe.seed,
        "adiabat_steps": recipe.steps,
        "adiabat_model": recipe.model,
        "adiabat_bound": recipe.promised,
        "adiabat_recipe": recipe.to_json(),
    }


def _comment(name: str, recipe: Recipe) -> str:
    side, stored = recipe.factor, stored_name(name, recipe)
    if recipe.kind == "texture":
        return (
            f"Not data: texture was put back by a generative model, within the bound of {stored}. No value differs "
            f"from the original by more than {2 * (recipe.bound or 0):.9g}."
        )
    what = "fine structure was estimated" if recipe.kind == "mean" else "fine structure was invented"
    return (
        f"Not data: {what} by a generative model. Means over blocks of {side} x {side} cells equal {stored}; for "
        "single values there is no bound."
    )


def refuse_generated(variables: Iterable[xr.DataArray], *, allowed: bool = False) -> None:
    """Refuse to store generated values as if they were data.

    Parameters
    ----------
    variables : iterable of xarray.DataArray
    allowed : bool
        Whether somebody said that they may be stored, with their marks.

    Raises
    ------
    RequestError
        Naming the first.
    """
    for each in variables:
        if MARK in each.attrs and not allowed:
            raise RequestError(
                f"{each.name} was generated by a model and is no data: store it only with --allow-generated "
                "(allow_generated=True), which keeps its marks, or store the coarse array it was made from"
            )
