"""What every model package is: kind, data, size, hash, licence, measured gain, place; from its manifest and its card.

Stage: behind `adiabat models list` and `show`. Cards lie beside the shipped packages (`codec/models/*.md`): each begins
with a table of facts, which is read here strictly. What somebody adds has no card, and its manifest says what it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adiabat.codec import models
from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.package import HEX, Package, check

__all__ = ["CARD_ROWS", "ZooEntry", "card_of", "entries", "read_card"]

CARD_ROWS = ("SHA-256", "size", "data", "gain", "made", "recipe", "licence")  # of every card; "codec" or "used by" too
FIELD = "static field"
NONE = "-"


@dataclass(frozen=True)
class ZooEntry:
    """One package, or one static field, that is found.

    Parameters
    ----------
    name : str
        By which `adiabat models show` and ``model=`` know it.
    kind : str
        The codec, or what else it is for; "static field"; "broken".
    data : str
        What it was trained on.
    bytes : int
        Of the file.
    sha256 : str
    licence : str
    gain : str
        What was measured, and against what.
    place : str
        "shipped", "added" (the user's cache) or "ADIABAT_MODELS".
    file : str
    problem : str or None
        What is wrong with a file that is no package.
    """

    name: str
    kind: str
    data: str
    bytes: int
    sha256: str
    licence: str
    gain: str
    place: str
    file: str
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not known is null."""
        return {key: None if value == NONE else value for key, value in asdict(self).items()}


def entries() -> list[ZooEntry]:
    """Every package and static field that is found, in the order of the search.

    Examples
    --------
    >>> [entry.kind for entry in entries() if entry.name == "hyperprior_healpix" and entry.place == "shipped"]
    ['hyperprior']
    """
    return [*map(_entry, models.packages()), *_fields()]


def card_of(sha256: str) -> str | None:
    """The card, in Markdown, of a shipped package; None for others."""
    return next((text for text in _cards() if f"`{sha256}`" in text), None)


def read_card(text: str) -> dict[str, str]:
    r"""The table of facts that a card begins with.

    Parameters
    ----------
    text : str
        Markdown.

    Raises
    ------
    ValueError
        If the table is not there, or lacks a row.

    Examples
    --------
    >>> rows = "".join(f"| {name} | x |\n" for name in CARD_ROWS)
    >>> read_card("# Model card: `a.zip`\n\n| | |\n|---|---|\n" + rows)["gain"]
    'x'
    """
    title = text.partition("\n")[0]
    if not re.fullmatch(r"# Model card: `[\w.-]+`", title):
        raise ValueError(f"expected a first line like # Model card: `pyramid.zip`, got {title!r}")
    lines = text.splitlines()
    try:
        start = lines.index("|---|---|") + 1
    except ValueError as error:
        raise ValueError(f"{title}: expected a table of two columns") from error
    facts: dict[str, str] = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split(" | ", 1)]
        if len(cells) != 2 or not all(cells) or cells[0] in facts:
            raise ValueError(f"{title}: expected a row | name | fact | with a new name, got {line!r}")
        facts[cells[0]] = cells[1]
    missing = [name for name in CARD_ROWS if name not in facts]
    if missing:
        raise ValueError(f"{title}: expected rows {list(CARD_ROWS)}, got none called {missing[0]!r}")
    return facts


def _cards() -> Iterator[str]:
    for path in sorted(_shipped().glob("*.md")):
        yield path.read_text(encoding="utf-8")


def _shipped() -> Path:
    return Path(models.__file__).parent


def _place(path: Path) -> str:
    if path.parent == _shipped():
        return "shipped"
    return "added" if path.parent == models.cache_folder() else "ADIABAT_MODELS"


def _entry(path: Path) -> ZooEntry:
    """What is known of one package; a broken file hides no other."""
    data, place = path.read_bytes(), _place(path)
    try:
        package = check(data)
    except ModelMismatchError as error:
        return ZooEntry(path.stem, "broken", NONE, len(data), NONE, NONE, NONE, place, str(path), str(error))
    card = card_of(package.sha256)
    facts = {} if card is None else read_card(card)
    return ZooEntry(
        name=_name(path, package),
        kind=package.kind,
        data=(facts.get("data") or _data(package.manifest)).replace("`", ""),
        bytes=len(data),
        sha256=package.sha256,
        licence=(facts.get("licence") or str(package.manifest.get("licence", NONE))).partition(",")[0],
        gain=facts.get("gain", NONE).replace("`", ""),
        place=place,
        file=str(path),
    )


def _name(path: Path, package: Package) -> str:
    """The file's, unless that is its hash, as in the cache: then what the manifest says."""
    hashed = len(path.stem) == 64 and HEX.issuperset(path.stem)
    return str(package.manifest.get("name", "?")) if hashed else path.stem


def _data(manifest: dict[str, Any]) -> str:
    """What a manifest says of the data."""
    variables = manifest.get("variables")
    count = len(variables) if isinstance(variables, list) else variables
    said = f"{count} variables" if isinstance(count, int) else NONE
    if isinstance(manifest.get("tiles"), int):
        said = f"{manifest['tiles']} tiles of spectra"
    left_out = manifest.get("left_out")
    return f"{said}, without {', '.join(map(str, left_out))}" if isinstance(left_out, list) and left_out else said


def _fields() -> Iterator[ZooEntry]:
    for folder in models.folders():
        for path in sorted(folder.glob("*.npy")):
            size = path.stat().st_size
            yield ZooEntry(FIELD, FIELD, NONE, size, path.stem, NONE, NONE, _place(path), str(path))
