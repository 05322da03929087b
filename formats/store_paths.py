"""Paths within a store: of groups, of their child groups, and of arrays.

Stage: beside all that reads or writes stores.
"""

from __future__ import annotations

__all__ = ["join_path"]


def join_path(*parts: str | None) -> str:
    """One path of several, without slashes at its ends; parts that are empty, None or the root are left out.

    Examples
    --------
    >>> join_path("/", "compressed", "t2m"), join_path("/tropomi/", "", "no2"), join_path(None, "")
    ('compressed/t2m', 'tropomi/no2', '')
    """
    stripped = ((part or "").strip("/") for part in parts)
    return "/".join(part for part in stripped if part)
