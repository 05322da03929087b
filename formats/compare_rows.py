"""Rows of a comparison: everybody under one bound, at one RMSE, or at the RMSE that peers reach at a ratio.

Stage: evaluation, between `compare` and what asks each codec (`compare_ours`, `peers.best`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.compare_errors import Errors
from adiabat.formats.compare_ours import CODECS, reach, whole
from adiabat.formats.comparison import ERROR, RMSE, Row
from adiabat.formats.errors import RequestError
from adiabat.formats.peers import Mode, Peer
from adiabat.formats.peers.best import TOLERANCE, Found, at_bound, at_ratio, at_rmse
from adiabat.formats.peers.domain import Domain, logarithmic, plain
from adiabat.formats.policy import Bound, format_bound

__all__ = ["Progress", "measured"]

Array = NDArray[np.float32]
Rows = Iterator[tuple[Row, NDArray[Any] | None]]


class Progress(Protocol):
    """Told of the codec at work and how many more values are done with; may raise to stop."""

    def __call__(self, name: str, values: int) -> None:
        """Take note."""


def measured(
    field: Array,
    bounds: Sequence[Bound],
    peers: Mapping[str, Peer],
    *,
    rmse: bool = False,
    codecs: Sequence[str] = CODECS,
    bounded: Sequence[str] = ("pyramid",),
    progress: Progress | None = None,
) -> Iterator[tuple[Row, NDArray[Any] | None]]:
    """Rows, each with the field it gives back.

    Parameters
    ----------
    field : NDArray[np.float32]
        As `as_field` gives it.
    bounds, rmse, codecs, progress
        As of `compare`.
    peers : mapping of str to Peer
        As `wanted_peers` gives them.
    bounded : sequence of str
        Which of adiabat's codecs are asked for bounds; the latent ones then add a residual.

    Yields
    ------
    Row
    array or None
        None where there is no result.
    """
    tell = progress or (lambda name, values: None)
    for bound in bounds:
        asked = format_bound(bound)
        if not isinstance(bound, str) and not {"abs", "rel", "rmse", "ratio"} & set(bound):
            raise RequestError(f"{asked} cannot be compared: write abs:X, rel:R, lossless, rmse:X or ratio:R")
        if isinstance(bound, str) or "abs" in bound or "rel" in bound:
            reached = math.inf
            for row, decoded in _bounded(field, bound, peers, [each for each in bounded if each in codecs], tell):
                reached = min(reached, row.rmse or math.inf) if row.ours else reached
                yield row, decoded
            if rmse and math.isfinite(reached):
                yield from _targeted(field, f"rmse:{reached:.4g}", reached, peers, codecs, tell)
        elif "rmse" in bound:
            yield from _targeted(field, asked, float(bound["rmse"]), peers, codecs, tell)
        else:
            yield from _fixed(field, float(bound["ratio"]), peers, codecs, tell)


def _bounded(field: Array, bound: Bound, peers: Mapping[str, Peer], codecs: Sequence[str], tell: Progress) -> Rows:
    """Everybody under one bound."""
    errors, asked = Errors(field, bound), format_bound(bound)
    for name in codecs:
        tell(f"{name} at {asked}", 0)
        found, problem = whole(name, field, {"bound": bound}, errors.of_bound)
        yield _row(Row(name, True, asked, ERROR), field, found, errors, problem)
        tell("", field.size)
    usual, own = _domains(field, bound)
    for name, peer in peers.items():
        modes, given = peer.lossless if isinstance(bound, str) else peer.bounded, usual
        if own is not None and peer.relative:
            modes, given = peer.relative, own
        tell(f"{name} at {asked}", 0)
        largest = _of_bound(errors, given)
        found, failed = at_bound(modes, given.field, given.bound, largest, _pause(tell))
        why = None if found else _why(modes, failed)
        yield _row(Row(name, False, asked, ERROR), field, _restored(found, given), errors, why, limit=TOLERANCE)
        tell("", field.size)


def _domains(field: Array, bound: Bound) -> tuple[Domain, Domain | None]:
    """What peers are given, and where the bound is relative, what those are that know of such bounds."""
    if isinstance(bound, str):
        return plain(field), None
    if "abs" in bound:
        return plain(field, float(bound["abs"])), None
    return logarithmic(field, float(bound["rel"])), plain(field, float(bound["rel"]))


def _of_bound(errors: Errors, given: Domain) -> Callable[[NDArray[Any]], float]:
    return lambda decoded: errors.of_bound(given.back(decoded))


def _targeted(
    field: Array, asked: str, target: float, peers: Mapping[str, Peer], codecs: Sequence[str], tell: Progress
) -> Rows:
    """Everybody at one RMSE."""
    yield from _ours_at(field, asked, target, codecs, tell)
    errors, domain = Errors(field), plain(field)
    for name, peer in peers.items():
        tell(f"{name} at {asked}", 0)
        found, failed = at_rmse(peer, domain.field, target, lambda back: errors.rmse(domain.back(back)), _pause(tell))
        why = None if found else _why(peer.rmse, failed)
        yield _row(Row(name, False, asked, RMSE), field, _restored(found, domain), errors, why, target=target)
        tell("", field.size)


def _fixed(field: Array, ratio: float, peers: Mapping[str, Peer], codecs: Sequence[str], tell: Progress) -> Rows:
    """Peers with a fixed rate set the RMSE; adiabat's codecs must meet it."""
    errors, domain, asked = Errors(field), plain(field), f"ratio:{ratio:.6g}"
    tries: list[tuple[str, Found | None, list[str]]] = []
    for name, peer in peers.items():
        if peer.fixed:
            tell(f"{name} at {asked}", 0)
            pair = at_ratio(peer, domain.field, ratio, lambda back: errors.rmse(domain.back(back)), _pause(tell))
            tries.append((name, *pair))
        tell("", field.size)
    target = min((found.error for _, found, _ in tries if found is not None), default=None)
    if target is None:
        raise RequestError(
            f"{asked} is compared at the RMSE that SPERR or JPEG 2000 reach there, and neither works here"
        )
    for name, found, failed in tries:
        why = None if found else _why(peers[name].fixed, failed)
        blank = Row(name, False, asked, RMSE)
        row, decoded = _row(blank, field, _restored(found, domain), errors, why, target=target)
        yield replace(row, kept=None if found is None else True), decoded  # at this ratio, whatever its RMSE
    yield from _ours_at(field, asked, target, codecs, tell)


def _ours_at(field: Array, asked: str, target: float, codecs: Sequence[str], tell: Progress) -> Rows:
    errors = Errors(field)
    for name in codecs:
        tell(f"{name} at {asked}", 0)
        found, problem = reach(name, field, target, errors.rmse, _pause(tell))
        yield _row(Row(name, True, asked, RMSE), field, found, errors, problem, target=target)
        tell("", field.size)


def _pause(tell: Progress) -> Callable[[], None]:
    return lambda: tell("", 0)


def _why(modes: Sequence[Mode], failed: Sequence[str]) -> str:
    """Why there is no result."""
    return failed[0] if failed else "never reached it" if modes else "has no way of being asked for it"


def _restored(found: Found | None, domain: Domain) -> Found | None:
    """As the user would have it back, with the bytes of what is kept beside."""
    if found is None:
        return None
    return replace(found, decoded=domain.back(found.decoded), size=found.size + domain.side)


def _row(
    blank: Row,
    field: Array,
    found: Found | None,
    errors: Errors,
    problem: str | None,
    *,
    target: float | None = None,
    limit: float = 1.0,
) -> tuple[Row, NDArray[Any] | None]:
    """Fill in what was found: against a target RMSE where there is one, else in units of the bound."""
    if found is None:
        return replace(blank, problem=problem or "failed"), None
    reached = errors.rmse(found.decoded)
    of_target = reached / target if target else errors.of_bound(found.decoded)
    row = replace(
        blank,
        size=found.size,
        ratio=4 * field.size / found.size,
        bits=8 * found.size / field.size,
        max_error=errors.largest(found.decoded),
        rmse=reached,
        of_target=of_target,
        kept=of_target <= limit,
        layout=found.layout,
        mode=found.mode,
        encode_mb_s=4 * field.size / 1e6 / max(found.encode_s, 1e-9),
        decode_mb_s=4 * field.size / 1e6 / max(found.decode_s, 1e-9),
        problem=problem,
    )
    return row, found.decoded
