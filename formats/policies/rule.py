"""What a policy asks of one variable: a bound, a valid range, a mean error.

Stage: planning, used by `policies`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from adiabat.formats.policy import Bound

__all__ = ["MEAN_SHARE", "Range", "Rule"]

Range = tuple[float | None, float | None]

MEAN_SHARE = 0.55
"""A mean absolute error is kept by a largest error of ``mean / MEAN_SHARE``.

Errors that are spread evenly between both ends of a bound have a mean of half of it. Measured over 20 fields and six
bounds, from a thousandth of the standard deviation to all of it, the mean was 0.22 to 0.52 of the bound, and 0.54 where
the bound was as fine as the packing of the source. It is no law, so it is verified on what was written."""


@dataclass(frozen=True)
class Rule:
    """What is asked of one variable, in that variable's own units.

    Parameters
    ----------
    bound : dict or str or None
        As `adiabat.formats.policy.parse_bound` gives it; None: the rule says nothing of errors.
    valid_range : (lowest, highest) or None
        What a decoded value may be, each end a number or None.
    mean : float or None
        The mean absolute error promised, which is verified afterwards: in the units of the variable, or, where the
        bound is ``{"rel": r}``, as a share of the mean magnitude.
    name : str
        Where the rule is from, for people: the policy and its key.
    source : str
        Who recommends it, for the record.
    remark : str
        What was converted or derived, if anything was.

    Examples
    --------
    >>> Rule(bound={"abs": 0.05}, name="recommended: t").bound
    {'abs': 0.05}
    """

    bound: Bound | None = None
    valid_range: Range | None = None
    mean: float | None = None
    name: str = ""
    source: str = ""
    remark: str = ""

    def within(self, factor: float) -> Rule:
        """The same in other units, of which `factor` of the rule's make one.

        Examples
        --------
        >>> Rule(bound={"abs": 1.0}, valid_range=(0.0, None)).within(100.0)  # Pa -> hPa
        Rule(bound={'abs': 0.01}, valid_range=(0.0, None), mean=None, name='', source='', remark='')
        """
        if factor == 1:
            return self
        bound, mean, limits = self.bound, self.mean, self.valid_range
        if isinstance(bound, dict) and "abs" in bound:
            bound = {**bound, "abs": _divide(bound["abs"], factor)}
            mean = None if mean is None else _divide(mean, factor)
        if limits is not None:
            low, high = limits
            limits = (_divide(low, factor), _divide(high, factor))
        return replace(self, bound=bound, mean=mean, valid_range=limits)


def _divide(size: Any, factor: float) -> Any:
    if size is None:
        return None
    if isinstance(size, list | tuple):
        return [_divide(each, factor) for each in size]
    return float(f"{float(size) / factor:.12g}")
