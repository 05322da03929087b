"""Units of measure as numbers: how many of one make one of another, for bounds and limits.

Stage: planning, used by `policies`. Only what stands in the unit attributes of atmospheric data: powers of a few base
units, and no offsets, since a difference of 1 degree Celsius is one of 1 K. Anything else is no unit, and no rule is
applied to it.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["factor"]

Dimensions = tuple[tuple[str, int], ...]

# In metres, kilograms, seconds, kelvins and moles.
_BASE: dict[str, tuple[float, dict[str, int]]] = {
    "m": (1.0, {"m": 1}),
    "kg": (1.0, {"kg": 1}),
    "g": (1e-3, {"kg": 1}),
    "s": (1.0, {"s": 1}),
    "h": (3600.0, {"s": 1}),
    "day": (86400.0, {"s": 1}),
    "K": (1.0, {"K": 1}),
    "mol": (1.0, {"mol": 1}),
    "Pa": (1.0, {"kg": 1, "m": -1, "s": -2}),
    "bar": (1e5, {"kg": 1, "m": -1, "s": -2}),
    "N": (1.0, {"kg": 1, "m": 1, "s": -2}),
    "J": (1.0, {"kg": 1, "m": 2, "s": -2}),
    "W": (1.0, {"kg": 1, "m": 2, "s": -3}),
    "%": (1e-2, {}),
    "DU": (2.1415e-5, {"kg": 1, "m": -2}),  # of ozone: 2.6867e20 molecules of 48 g/mol on a square metre
}
_ALIASES = {
    "meter": "m", "metre": "m", "gpm": "m", "second": "s", "sec": "s", "hour": "h", "hr": "h", "d": "day",
    "kelvin": "K", "degC": "K", "C": "K", "celsius": "K", "degree_Celsius": "K", "degrees_Celsius": "K", "degK": "K",
    "degree_C": "K", "°C": "K", "pascal": "Pa", "millibar": "mbar", "mb": "mbar", "percent": "%", "gram": "g",
    "kilogram": "kg", "mole": "mol", "joule": "J", "watt": "W", "dobson": "DU", "Dobson": "DU",
}  # fmt: skip
_PREFIXES = {"h": 1e2, "k": 1e3, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}
_PREFIXED = ("m", "g", "Pa", "bar", "J", "W", "mol")
_NONE = ("1", "(0 - 1)", "0-1", "dimensionless", "~", "numeric", "fraction", "unitless", "proportion")
_REMARKS = ("of", "water", "equivalent", "dry", "air", "lwe")  # "m of water equivalent": a metre all the same
_TERM = re.compile(r"^([A-Za-z°µ%_]+)(?:\*\*|\^)?([+-]?\d+)?$")


def factor(units: str, wanted: str) -> float | None:
    """How many of the wanted units make one of these; None where they measure different things, or are no units.

    Parameters
    ----------
    units, wanted : str
        As in attributes: ``m2 s-2``, ``m**2 s**-2``, ``m^2/s^2``, ``kg/kg``, ``(0 - 1)``, ``%``.

    Returns
    -------
    float or None

    Examples
    --------
    >>> factor("hPa", "Pa"), factor("degC", "K"), factor("m+2 s-2", "m**2/s**2")
    (100.0, 1.0, 1.0)
    >>> print(factor("m", "m2 s-2"))
    None
    """
    one, other = _read(units), _read(wanted)
    if one is None or other is None or one[1] != other[1]:
        return None
    ratio = one[0] / other[0]
    return float(f"{ratio:.12g}")  # 1e-3 / 1e-5 is 100


def _read(text: str) -> tuple[float, Dimensions] | None:
    """A number of base units and their powers; None for what cannot be read."""
    text = text.strip()
    if text.lower() in _NONE:
        return 1.0, ()
    size, powers, sign = 1.0, dict[str, int](), 1
    words = re.split(r"\s+|(/)", text.replace("(", " ").replace(")", " ").replace("·", " ").replace(".", " "))
    for word in (each for each in words if each):
        if word == "/":
            sign = -1
            continue
        if word in _REMARKS:
            continue
        if word == "1":
            continue
        found = _TERM.match(word)
        base = None if found is None else _base(found[1])
        if found is None or base is None:
            return None
        power = sign * int(found[2] or 1)
        size *= float(Fraction(base[0]) ** power)
        for name, each in base[1].items():
            powers[name] = powers.get(name, 0) + each * power
        sign = 1
    if not text:
        return None
    return size, tuple(sorted((name, power) for name, power in powers.items() if power))


def _base(name: str) -> tuple[float, dict[str, int]] | None:
    """A named unit, with its prefix if it has one; plurals count."""
    for word in (name, name.removesuffix("s") if len(name) > 2 else name):
        word = _ALIASES.get(word, _ALIASES.get(word.lower(), word) if len(word) > 2 else word)
        if word in _BASE:
            return _BASE[word]
        prefix, rest = word[:1], word[1:]
        if prefix in _PREFIXES and rest in _PREFIXED:
            size, powers = _BASE[rest]
            return size * _PREFIXES[prefix], powers
    return None
