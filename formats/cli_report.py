"""The verb ``adiabat report``: a page that says what was lost, with pictures, of a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import progress_bar
from adiabat.formats.errors import RequestError


def report(
    paths: Annotated[list[str], typer.Argument(metavar="SRC... DST", help="What was compressed, and the store.")],
    page: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PAGE", help="The page to write; DST.html if not given.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The group inside SRC that holds the variables.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
) -> None:
    """Look at a sample of SRC and of the store DST, and write one page with errors, pictures and scores.

    The page needs no network and no other file. Exit 1 where a value of the sample breaks its bound.
    """
    from adiabat.formats.report.collect import collect_facts
    from adiabat.formats.report.page import check_page, write_report
    from adiabat.formats.report.tables import verdict_of
    from adiabat.formats.sources import find_source
    from adiabat.formats.sources.cf import is_zarr

    *sources, store = paths
    if not sources:
        raise RequestError(f"expected SRC and DST, got {store} alone: a report holds a store against its source")
    if not is_zarr(Path(store)):
        raise RequestError(f"{store} is not a Zarr store")
    target = page or Path(store).absolute().with_suffix(".html")
    check_page(target, overwrite=overwrite)
    source, notes = find_source(sources, group=group)
    for note in notes:
        err.print(f"note: {note}")
    total = 0
    for dataset in source.open().values():
        with dataset:
            total += len(dataset.variables)
    with progress_bar(err, "looking at", 2 * total) as advance:
        facts = collect_facts(source, store, progress=advance)
        size = write_report(facts, target, overwrite=overwrite, progress=advance)
    state, verdict = verdict_of(facts)
    out.print(verdict)
    out.print(f"looked at {facts.sampled} of {facts.values} values; {target}: {size / 1e6:.2f} MB")
    if state == "broken":
        for name, problem in facts.problems.items():
            err.print(f"{name}: {problem}")
        raise typer.Exit(1)
