"""The bound as a contract: what was asked for, the domain that keeps it, and the check that nothing lies outside.

First stage of encoding after the mask, and its last. Spec: `spec/bounds.md`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.bound_profile import Profile, ProfileDomain
from adiabat.codec.domain import (
    TARGET_LIMIT,
    AbsDomain,
    Domain,
    LatticeDomain,
    OrderedDomain,
)
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.exact_error import exceeds, exceeds_share
from adiabat.codec.frames import slabs
from adiabat.codec.loglinear import LogDomain
from adiabat.codec.packing import find_spacing, fit_phase, half_ulp

__all__ = ["Bound", "choose_domain", "domain_from", "violations"]

WORTH = 1.03  # a lattice is used where its step is this much longer than that of the plain domain


@dataclass(frozen=True)
class Bound:
    """What the user asked for.

    Parameters
    ----------
    kind : str
        "lossless", "abs", "rel", "profile" or "noise".
    size : float
        The bound: in the field's units (abs), a fraction of each value (rel), or standard deviations of its noise
        (noise); 0.0 if lossless, and of a profile the smallest.
    profile : Profile or None
        An absolute bound for each index along one axis.

    Examples
    --------
    >>> Bound.parse({"abs": 0.1})
    Bound(kind='abs', size=0.1, profile=None)
    >>> Bound.parse({"abs": [0.1, 0.2], "axis": -1}).config()
    {'abs': [0.1, 0.2], 'axis': -1}
    >>> Bound.parse("lossless").config()
    'lossless'
    """

    kind: str
    size: float = 0.0
    profile: Profile | None = None

    @classmethod
    def parse(cls, bound: object) -> Bound:
        """Read `{"abs": x}`, `{"abs": [x, ...], "axis": k}`, `{"rel": r}`, `{"noise": k}` or `"lossless"`.

        Raises
        ------
        TypeError, ValueError
            Saying what was expected and what was got.
        """
        expected = 'expected bound={"abs": x}, {"abs": [x, ...], "axis": k}, {"rel": r}, {"noise": k} or "lossless"'
        if isinstance(bound, str):
            if bound != "lossless":
                raise ValueError(f"{expected}, got {bound!r}")
            return cls("lossless")
        if not isinstance(bound, dict):
            raise TypeError(f"{expected}, got {bound!r}")
        if set(bound) not in ({"abs"}, {"rel"}, {"noise"}, {"abs", "axis"}):
            raise ValueError(f"{expected}, got {bound!r}")
        kind, size = next(item for item in bound.items() if item[0] != "axis")
        if kind == "abs" and isinstance(size, list | tuple | np.ndarray):
            return cls.along(Profile.parse(size, bound.get("axis")))
        if "axis" in bound:
            raise ValueError(f"expected a list of bounds along 'axis', got {bound!r}")
        if isinstance(size, bool) or not isinstance(size, int | float | np.integer | np.floating):
            raise TypeError(f"expected a number for {kind!r}, got {size!r}")
        number = size if isinstance(size, int) else float(size)
        if not 0 < number <= sys.float_info.max:  # an integer may be larger than any float
            raise ValueError(f"expected a positive finite number for {kind!r}, got {size!r}")
        return cls(kind, float(size))

    @classmethod
    def along(cls, profile: Profile) -> Bound:
        """Make the bound of a profile."""
        return cls("profile", float(profile.sizes.min()), profile)

    def config(self) -> str | dict[str, object]:
        """Return it as JSON, as `parse` reads it."""
        if self.profile is not None:
            return self.profile.config()
        return self.kind if self.kind == "lossless" else {self.kind: self.size}

    def stated(self) -> tuple[str, float]:
        """Return it as it stands in a stream's header."""
        return self.kind, self.size if self.profile is None else self.profile.axis or 0

    def on(self, shape: tuple[int, ...]) -> Bound:
        """Return what it is for a chunk of this shape: a profile finds its axis, and one that is flat is no profile.

        Raises
        ------
        ValueError
            If a profile does not fit.
        """
        if self.profile is None:
            return self
        profile = self.profile.on(shape)
        return Bound.along(profile) if (profile.sizes > self.size).any() else self.least

    @property
    def least(self) -> Bound:
        """One bound for all values: of a profile the smallest."""
        return self if self.profile is None else Bound("abs", self.size)

    def middle(self, low: float, high: float) -> float:
        """Find the value between two that is equally far from both, in the bound's measure."""
        if self.kind == "rel" and low * high > 0:
            return 2 / (1 / low + 1 / high) if min(abs(low), abs(high)) > 1e-300 else low
        return low / 2 + high / 2


def choose_domain(
    field: NDArray[np.floating], valid: NDArray[np.bool_] | None, bound: Bound, *, tune: str = "bytes"
) -> Domain:
    """Choose the integer domain a chunk is coded in.

    Parameters
    ----------
    field : NDArray[np.floating], shape (frame, y, x)
        In native byte order.
    valid : NDArray[np.bool_] or None, shape (frame, y, x)
        Ordinary pixels; None for all.
    bound : Bound
    tune : str
        "rmse": a lattice of packed values is used only where it loses nothing, since its steps cannot be made finer.

    Returns
    -------
    Domain
        `OrderedDomain`, which keeps every bit, where nothing else can hold the bound.

    Examples
    --------
    >>> choose_domain(np.full((1, 1, 2), 0.7), None, Bound("abs", 0.5)).parameters()[0]
    'abs'
    """
    values = field.reshape(-1) if valid is None else field[valid]
    if not values.size:
        return OrderedDomain()
    if bound.kind == "rel":
        log = LogDomain.fit(bound.size, field.dtype)
        if log is not None:
            return log
    plain: AbsDomain | ProfileDomain | None = None
    if bound.profile is not None:
        plain = ProfileDomain.fit(field, valid, bound.profile)
    elif bound.kind == "abs":
        largest = max(float(values.max()), -float(values.min()))
        plain = AbsDomain.fit(largest, bound.size, field.dtype)
    step = plain.unit * plain.step if plain else 0.0
    packed = _lattice(values, bound.least, step)
    if packed and packed.steps and plain and tune == "rmse":
        packed = None
    return packed or plain or OrderedDomain()


def _lattice(values: NDArray[np.floating], bound: Bound, step: float) -> LatticeDomain | None:
    """Find a lattice that all values lie on, where coding its integers saves over a plain step."""
    if step and bound.size < half_ulp(values):
        return None
    spacing = find_spacing(values)
    if spacing is None:
        return None
    room = bound.size if bound.kind == "abs" else 0.0
    if not room / spacing < TARGET_LIMIT:  # it may be infinite; a lattice so fine never pays
        return None
    # A spacing that is found is right to about 1e-6: no more is needed to see whether it may pay.
    steps = math.floor(room / spacing * (1 + 1e-6))
    if not _pays(steps, spacing, step):
        return None
    fitted = fit_phase(values, spacing, exact=bool(step) and not steps)
    if fitted is None:
        return None
    spacing, phase = fitted
    ulp = 2 * half_ulp(values)
    rounding = 0.0 if not spacing % ulp and not phase % ulp else ulp
    steps = max(0, math.floor((room - rounding) / spacing))
    largest = float(np.abs(values).max()) / spacing * LatticeDomain.snap
    good = _pays(steps, spacing, step) and largest < TARGET_LIMIT
    return LatticeDomain(spacing, phase, steps) if good else None


def _pays(steps: int, spacing: float, step: float) -> bool:
    """Whether a lattice's step is longer than the plain one, or as long and without any error."""
    longer = (2 * steps + 1) * spacing
    return longer > WORTH * step or (not steps and longer > 0.99 * step)


def domain_from(parameters: tuple[str | float | int, ...], profile: Profile | None = None) -> Domain:
    """Make the domain that a stream's header names, of the profile that a section holds.

    Raises
    ------
    CorruptStreamError
        If it names none.

    Examples
    --------
    >>> domain_from(("abs", 0.5))
    AbsDomain(unit=0.5)
    """
    name, *numbers = parameters
    if name == "abs":
        return AbsDomain(float(numbers[0]))
    if name == "lattice":
        return LatticeDomain(float(numbers[0]), float(numbers[1]), int(numbers[2]))
    if name == "ordered":
        return OrderedDomain()
    if name == "log":
        return LogDomain(int(numbers[0]))
    if name == "profile" and profile is not None:
        return ProfileDomain(profile, int(numbers[0]))
    raise CorruptStreamError(f"expected a domain of integers, got {name!r}")


def violations(
    field: NDArray[np.floating],
    decoded: NDArray[np.floating],
    valid: NDArray[np.bool_] | None,
    bound: Bound,
) -> NDArray[np.bool_]:
    """Find ordinary pixels whose decoded value is not within the bound, for real numbers.

    Parameters
    ----------
    field, decoded : NDArray[np.floating], shape (frame, y, x)
        Original and decoded values, of one native dtype.
    valid : NDArray[np.bool_] or None, shape (frame, y, x)
        Ordinary pixels; None for all.

    Returns
    -------
    NDArray[np.bool_], of the same shape
        A lossless bound compares bit patterns; a relative one keeps signs, and nothing becomes zero.

    Examples
    --------
    >>> one = np.array([[[1.0, 2.0]]], np.float32)
    >>> violations(one, one + np.float32(0.25), None, Bound("rel", 0.2)).tolist()
    [[[True, False]]]
    """
    outside = np.empty(field.shape, np.bool_)
    for part in [slice(None)] if bound.profile is not None or field.ndim != 3 else slabs(field.shape):
        outside[part] = _outside(field[part], decoded[part], bound)
    if valid is not None:
        outside &= valid
    return outside


def _outside(field: NDArray[np.floating], decoded: NDArray[np.floating], bound: Bound) -> NDArray[np.bool_]:
    """Where decoded values are not within the bound."""
    if bound.kind == "lossless":
        bits = f"u{field.dtype.itemsize}"
        return np.asarray(field.view(bits) != decoded.view(bits))
    if bound.profile is not None:
        decoded, values = bound.profile.view(decoded), bound.profile.view(field)
        return exceeds(decoded, values, bound.profile.sizes[:, None]).reshape(field.shape)
    if bound.kind == "abs":
        return exceeds(decoded, field, bound.size)
    outside = exceeds_share(decoded, field, bound.size)
    outside |= np.signbit(field) != np.signbit(decoded)  # of zeros; and of others under a bound of 1 or more
    if bound.size >= 1:
        outside |= (decoded == 0) & (field != 0)
    return outside
