"""The page: facts, tables and pictures through one template, to one file that needs no other.

Stage: facts, figures, tables -> **page**.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from adiabat.formats.errors import RequestError
from adiabat.formats.journal import file_in_place_of
from adiabat.formats.report.facts import ReportFacts, VariableFacts
from adiabat.formats.report.figures import Picture, draw, draw_few
from adiabat.formats.report.tables import (
    Table,
    downstream_table,
    exact_table,
    state_of,
    summary_table,
    tables_of,
    verdict_of,
)
from adiabat.formats.report.words import bytes_words, count, number, percent

__all__ = ["MOST_BYTES", "check_page", "render_page", "write_report"]

MOST_BYTES = 4_600_000  # of the page, with what stands beside the pictures
FULL, FEW, TEXT = 300_000, 75_000, 9_000  # bytes that a variable may need: all pictures, two, none
BASE = 40_000  # of the page without variables

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Section:
    """One variable on the page."""

    anchor: str
    name: str
    long_name: str
    state: str
    word: str
    problem: str
    pictures: list[Picture]
    left_out: str
    tables: list[Table]


def render_page(facts: ReportFacts, *, progress: Progress | None = None) -> str:
    """Make the page.

    Parameters
    ----------
    facts : ReportFacts
    progress : callable, optional
        Called with a variable's name and 1, when it is drawn.

    Returns
    -------
    str
        HTML, under 5 MB: where there are many variables, the later ones have fewer pictures, and the page says so.

    Raises
    ------
    RuntimeError
        If matplotlib or jinja2 is missing.
    """
    jinja2 = _needed()
    shown = [each for each in facts.variables if (each.pair.is_field and each.sampled) or each.problem]
    anchors = {each.name: f"v{place}" for place, each in enumerate(shown, 1)}
    state, verdict = verdict_of(facts)
    told = {
        "facts": facts, "name": Path(facts.target).name, "state": state, "verdict": verdict, "looked": _looked(facts),
        "about": _about(facts), "coordinates": _coordinates(facts), "style": _read("page.css"),
        "sections": _sections(shown, anchors, progress), "summary": summary_table(facts, anchors),
        "exact": exact_table(facts), "downstream": downstream_table(facts),
    }  # fmt: skip
    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=strict)
    return str(environment.from_string(_read("page.html.j2")).render(**told))


def _read(name: str) -> str:
    return (files("adiabat.formats.report") / name).read_text("utf-8")


def _sections(shown: Sequence[VariableFacts], anchors: Mapping[str, str], progress: Progress | None) -> list[Section]:
    """One for each variable, while there is room on the page."""
    sections, spent = [], BASE
    for more, each in zip(range(len(shown) - 1, -1, -1), shown, strict=True):
        section = _section(each, anchors[each.name], MOST_BYTES - spent - more * TEXT, more)
        spent += TEXT + sum(len(picture.svg) for picture in section.pictures)
        sections.append(section)
        if progress is not None:
            progress(each.name, 1)
    return sections


def write_report(
    facts: ReportFacts, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Write the page, whole or not at all.

    Returns
    -------
    int
        Its bytes.

    Raises
    ------
    RequestError
        If the place is taken, or there is no folder for it.
    RuntimeError
        If matplotlib or jinja2 is missing.
    """
    target = Path(path)
    check_page(target, overwrite=overwrite)
    text = render_page(facts, progress=progress).encode()
    with file_in_place_of(target) as temporary:
        temporary.write_bytes(text)
        check_page(target, overwrite=overwrite)
    return len(text)


def check_page(target: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken, or that has no folder to stand in, and say what is missing to make a page.

    Raises
    ------
    RequestError
    RuntimeError
    """
    _needed()
    if not target.absolute().parent.is_dir():
        raise RequestError(f"there is no folder {target.absolute().parent} to write into")
    if target.is_dir():
        raise RequestError(f"expected the name of a page to write, got the folder {target}")
    if target.exists() and not overwrite:
        raise RequestError(f"{target} exists already; --overwrite replaces it")


def _needed() -> Any:
    try:
        import jinja2
        import matplotlib.figure  # noqa: F401
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise RuntimeError(f"a report needs {error.name}: pip install 'adiabat[plot]'") from error
    return jinja2


def _section(facts: VariableFacts, anchor: str, room: int, more: int) -> Section:
    """One variable, with as many pictures as there is room for if the others are to have two each."""
    state, word = state_of(facts)
    full = room >= FULL + more * FEW
    pictures, left_out = [], ""
    if facts.sampled and facts.pair.is_field:
        if full:
            pictures = draw(facts, anchor)
        elif room >= FEW:
            pictures, left_out = draw_few(facts, anchor), "Fewer pictures are drawn, to keep the page under 5 MB."
        else:
            left_out = "No pictures are drawn, to keep the page under 5 MB."
    tables = tables_of(facts)
    long_name = str(facts.pair.source.attrs.get("long_name", facts.pair.source.attrs.get("standard_name", "")))
    return Section(anchor, facts.name, long_name, state, word, facts.problem or "", pictures, left_out, tables)


def _about(facts: ReportFacts) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return [
        ("source", facts.source),
        ("store", facts.target),
        ("size", f"{bytes_words(facts.written_bytes)}, {number(facts.ratio)} times less than as float32"),
        ("made", f"{facts.made:%Y-%m-%d %H:%M} UTC with {versions}"),
    ]


def _looked(facts: ReportFacts) -> str:
    if facts.sampled == facts.values:
        return f"all {count(facts.values)} values"
    return f"{count(facts.sampled)} of {count(facts.values)} values ({percent(facts.sampled / facts.values)})"


def _coordinates(facts: ReportFacts) -> str:
    """One sentence."""
    wrong = [f"{each.name} {each.problem}" for each in facts.coordinates if each.problem]
    if not facts.coordinates:
        return "There are no coordinates."
    if wrong:
        return f"{len(wrong)} of {len(facts.coordinates)} coordinates are not as they were: {'; '.join(wrong)}."
    seen, there = (sum(getattr(each, key) for each in facts.coordinates) for key in ("sampled", "values"))
    every = "all their values" if seen == there else f"{count(seen)} of their {count(there)} values"
    names = ", ".join(each.name for each in facts.coordinates)
    return f"Coordinates are kept exactly ({names}): {every} were looked at, and are equal."
