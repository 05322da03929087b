"""What the bound audit checks of a case, without the codec's own code.

Beside `bound_audit`.
"""

from __future__ import annotations

import re
import traceback
from fractions import Fraction

import numpy as np
from audit_cases import Case

from adiabat.codec import describe

__all__ = ["Fault", "check", "kind_of", "run"]

FLOAT_DECODERS = ("vq", "hvae")  # the number of threads may change the last bits of what these decode


class Fault(Exception):
    """A promise that is not kept."""


def kind_of(case: Case) -> str:
    """What was asked for, in a word or two."""
    bound = case.options.get("bound")
    kinds = list(case.options.get("target", {}))
    if bound is not None:
        profiled = "bound" in case.told or (isinstance(bound, dict) and np.ndim(bound.get("abs", 0)))
        kinds.append("profile" if profiled else bound if isinstance(bound, str) else next(iter(bound)))
    return " and ".join(kinds)


def run(case: Case, *, again: bool = False) -> tuple[list[tuple[str, str]], float]:
    """What is counted of a case, and the largest share of its bound that an error takes; or Fault."""
    before = bits(case.array).copy()
    try:
        data = case.encoded()
        decoded = case.made().decode(data)
        twice = case.made(threads=2).decode(data)
        same = not again or case.encoded() == data
    except (TypeError, ValueError) as error:
        if case.legitimate and case.legitimate in str(error):
            return [("refused", re.sub(r"[-+.\d]+(e[-+]\d+)?", "#", str(error)))], 0.0
        raise Fault(f"refused without need: {error!r}, {traceback.format_exc(limit=-2)}") from error
    except Exception as error:
        raise Fault(f"{type(error).__name__}: {error}, {traceback.format_exc(limit=-3)}") from error
    if not same:
        raise Fault("the same array gave other bytes")
    if (bits(case.array) != before).any():
        raise Fault("the array was changed")
    share = check(case, decoded)
    if case.codec in FLOAT_DECODERS:
        check(case, twice)
    elif (bits(twice) != bits(decoded)).any():
        raise Fault("two threads decoded other bits")
    stream = describe(data)
    path = stream["path"] if stream["path"] != "latent" else stream["codec"]
    return [("path", str(path)), ("domain", str((stream["domain"] or ["-"])[0]))], share


def check(case: Case, decoded: np.ndarray) -> float:
    """The largest share of the bound that an error takes; Fault where a promise is not kept."""
    array = case.array
    if decoded.dtype.str != array.dtype.str or decoded.shape != array.shape:
        raise Fault(f"{decoded.dtype.str} {decoded.shape} in place of {array.dtype.str} {array.shape}")
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    if not (decoded.flags.f_contiguous if fortran else decoded.flags.c_contiguous):
        raise Fault("another memory order")
    special = ~np.isfinite(array)
    if case.options.get("fill_value") is not None:
        with np.errstate(over="ignore"):
            special |= array == np.float64(case.options["fill_value"]).astype(array.dtype)
    if (bits(array) != bits(decoded))[special].any():
        raise Fault("special values changed")
    if not np.isfinite(decoded[~special]).all():
        raise Fault("a number became none")
    x, x_hat = array[~special].astype(np.float64), decoded[~special].astype(np.float64)
    share = 0.0
    if case.options.get("bound") == "lossless" and (bits(array) != bits(decoded)).any():
        raise Fault("bits changed")
    if case.options.get("bound") not in (None, "lossless"):
        share = _within(case, x, x_hat, ~special)
    _in_range(case, x, x_hat)
    if "rmse" in case.options.get("target", {}) and x.size:
        share = max(share, _rmse(x, x_hat, case.options["target"]["rmse"]))
    return share


def _within(case: Case, x: np.ndarray, x_hat: np.ndarray, ordinary: np.ndarray) -> float:
    """The largest share of the bound that an error takes."""
    factor, of = _room(case, x, ordinary)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        error, room = np.abs(x_hat - x), np.asarray(factor * of, np.float64)
    exact = of <= 0  # zeros, and noise that nobody knows
    if (x[exact].view("u8") != x_hat[exact].view("u8")).any():
        raise Fault("zero, or a value of unknown noise, changed")
    outside = (error > room) & ~exact
    for at in np.flatnonzero(((error == room) & ~exact) | ~np.isfinite(error) | ~np.isfinite(room)):
        off = abs(Fraction(float(x_hat[at])) - Fraction(float(x[at])))
        outside[at] = off > Fraction(factor) * Fraction(float(of[at]))
    if case.options["bound"].get("rel"):
        outside |= (np.signbit(x) != np.signbit(x_hat)) | ((x_hat == 0) != (x == 0))
    if outside.any():
        at = int(outside.argmax())
        raise Fault(
            f"{int(outside.sum())} outside: {x[at]!r} decoded as {x_hat[at]!r}, off by {error[at]!r}, room {room[at]!r}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.max(error[~exact] / room[~exact], initial=0.0))


def _room(case: Case, x: np.ndarray, ordinary: np.ndarray) -> tuple[float, np.ndarray]:
    """How far off each value may be, as a product."""
    bound, shape = case.options["bound"], case.array.shape
    if "rel" in bound:
        return bound["rel"], np.abs(x)
    if "noise" in bound:
        sigma, axis = case.told["noise"], case.options.get("channels", -1)
        if sigma.shape != shape:
            sigma = np.moveaxis(np.broadcast_to(sigma, np.moveaxis(case.array, axis, -1).shape), -1, axis)
        sigma = sigma[ordinary].astype(np.float64)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            room = bound["noise"] * sigma  # rounded, as the specification says
        return 1.0, np.where(np.isfinite(room) & (room > 0), room, 0.0)
    sizes = np.asarray(case.told.get("bound", bound["abs"]), np.float64)
    if sizes.ndim:
        axis = case.told.get("bound_axis", bound.get("axis"))
        sizes = np.moveaxis(np.broadcast_to(sizes, np.moveaxis(case.array, axis, -1).shape), -1, axis)
    return 1.0, np.broadcast_to(sizes, shape)[ordinary]


def _in_range(case: Case, x: np.ndarray, x_hat: np.ndarray) -> None:
    """Decoded values stay in the valid range where theirs were."""
    for end, beyond in zip(case.options.get("valid_range", (None, None)), (np.less, np.greater), strict=True):
        if end is not None and (beyond(x_hat, end) & ~beyond(x, end)).any():
            raise Fault(f"a value inside the valid range left it beyond {end!r}")


def _rmse(x: np.ndarray, x_hat: np.ndarray, target: float) -> float:
    """The root mean square error over the target."""
    error = (x_hat.astype(np.longdouble) - x) / np.longdouble(target)
    share = float(np.sqrt(np.mean(error * error)))
    if not share <= 1 + 1e-12:
        raise Fault(f"RMSE {share!r} times the target")
    return share


def bits(array: np.ndarray) -> np.ndarray:
    """The values' bit patterns in native byte order and C order."""
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return native.reshape(array.shape).view(f"u{array.dtype.itemsize}")
