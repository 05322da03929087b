"""Whether two sets of fields are alike enough for an encoder that learnt on one to serve the other.

Beside downscale: 1-Wasserstein distances of what the encoder sees of coarse fields, without units: details in local
scales, their differences between neighbours, and the local scales; each over the standard deviation of what it is to
serve, and the same of the tails. The largest counts. Equal distributions do not prove that what one cell says of
another is alike: the check warns of what it can see. Source: arXiv 2512.05139, section 2.5.1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.value_scores import tail_wasserstein, wasserstein
from adiabat.training.data import Fields
from adiabat.training.downscale_data import pairs

__all__ = ["Verdict", "compare"]

BATCHES = 24  # of each, at random
TAIL = 0.99  # quantile of magnitudes beyond which values are the tail
WARN, REFUSE = 0.1, 0.4  # standard deviations; measured: see spec/guide/downscaling.md

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """How far apart: `distance` and `tail` in standard deviations of what is to be served."""

    distance: float
    tail: float

    @property
    def says(self) -> str:
        """How alike they are: similar, different, or too different."""
        if max(self.distance, self.tail / 4) < WARN:
            return "similar"
        return "different" if max(self.distance, self.tail / 4) < REFUSE else "too different"

    def __str__(self) -> str:
        return f"domains are {self.says}: W1 {self.distance:.3f}, of the tail {self.tail:.3f} standard deviations"

    def check(self, *, force: bool = False) -> None:
        """Warn where they differ; ValueError where they differ too much, unless forced."""
        if self.says == "too different" and not force:
            raise ValueError(f"{self}; expected W1 below {REFUSE}: train from scratch, or force it")
        if self.says != "similar":
            log.warning("%s: the encoder may not help", self)


def compare(source: Sequence[Fields], target: Sequence[Fields], *, factors: Sequence[int], seed: int = 0) -> Verdict:
    """Compare what an encoder sees of two sets of fields.

    Parameters
    ----------
    source, target : sequence of Fields
        What it learns on, and what it is to serve.
    factors : sequence of int
    seed : int
        Of the places that are looked at.
    """
    if source is target:
        return Verdict(0.0, 0.0)
    pairs_of = [
        (np.concatenate(theirs), np.concatenate(ours))
        for theirs, ours in zip(_seen(source, factors, seed), _seen(target, factors, seed), strict=True)
    ]
    return Verdict(
        max(wasserstein(ours, theirs) for theirs, ours in pairs_of),
        max(tail_wasserstein(np.abs(ours), np.abs(theirs), quantile=TAIL) for theirs, ours in pairs_of),
    )


def _seen(fields: Sequence[Fields], factors: Sequence[int], seed: int) -> list[list[NDArray[np.float32]]]:
    """Details, their differences, and local scales, of each batch."""
    stream = pairs(fields, np.random.default_rng(seed), batch=12, factors=factors)
    inputs = [next(stream).conditions.coarse_inputs for _ in range(BATCHES)]
    return [
        [each[:, 0].ravel() for each in inputs],
        [np.diff(each[:, 0]).ravel() for each in inputs],
        [each[:, 1].ravel() for each in inputs],
    ]
