"""Write a Zarr store from a plan: metadata, then block by block, then one rename.

Stage: plan -> archive -> verify. What is asked for, what is done and what is left lie beside the destination
(`workspace`, `journal`), so that the same command goes on after a kill; blocks are done by this process, by several or
by a cluster (`engine`). Until the last rename nothing stands at the destination. Spec: `spec/archive.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from adiabat.formats.achieved import note_achieved, sweep
from adiabat.formats.blocks import Block, blocks_of, find_files, open_stored, path_of, read_digest
from adiabat.formats.bundles import Bundle, bundle_blocks
from adiabat.formats.checksums import update_checksums
from adiabat.formats.engine import Run, Workers, run_blocks
from adiabat.formats.journal import RECORDS, Journal, Record, digest_of, read_records, write_records
from adiabat.formats.metadata import REQUEST, Groups, configuration_of, consolidate, write_metadata
from adiabat.formats.plan import VariablePlan, make_plan
from adiabat.formats.policy import Bound
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.static import StaticField
from adiabat.formats.tasks import InMemory, Job, Openable
from adiabat.formats.workspace import Workspace, check_target

__all__ = ["Progress", "archive", "compress", "do_blocks", "write"]

Progress = Callable[[str, int, int], None]
"""Called with a variable's name, how many more of its values are written, and as how many bytes; often with 0."""


def compress(
    dataset: xr.Dataset,
    target: str | Path,
    *,
    bounds: Mapping[str, Bound] | None = None,
    default_bound: Bound | None = None,
    chunks: Mapping[str, int] | None = None,
    tune: str = "bytes",
    statics: Sequence[StaticField] = (),
    allow_generated: bool = False,
    overwrite: bool = False,
    command: str = "adiabat.formats.compress",
    progress: Progress | None = None,
) -> list[VariablePlan]:
    """Plan and write a store in one go.

    Parameters
    ----------
    dataset : xarray.Dataset
        From `open_source`, or made in memory with decoded data and undecoded times.
    target : path
        Of the Zarr store to make.
    bounds : mapping of variable to bound, optional
    default_bound : bound, optional
        For float variables of two or more dimensions without a bound of their own.
    chunks : mapping of dimension to size, optional
        See `choose_chunks` for the others.
    tune : {"bytes", "rmse"}
        What to save within the bounds.
    statics : sequence of StaticField
        From `open_static`; each is used by every compressed variable on its grid. They are kept in the store and in
        this machine's cache.
    allow_generated : bool
        Whether what a model generated may be stored; it keeps its marks.
    overwrite : bool
        Whether a Zarr store at `target` may be replaced.
    command : str
        For the ``history`` attribute.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    list of VariablePlan
        What was done.

    Raises
    ------
    RequestError
        If the request cannot be carried out; nothing is written then.
    """
    plan = make_plan(
        dataset, bounds=bounds or {}, default_bound=default_bound, chunks=chunks, tune=tune, statics=statics,
        allow_generated=allow_generated,
    )  # fmt: skip
    write(dataset, plan, target, overwrite=overwrite, command=command, progress=progress)
    return plan


def write(
    dataset: xr.Dataset,
    plan: Sequence[VariablePlan],
    target: str | Path,
    *,
    overwrite: bool = False,
    command: str = "adiabat.formats.write",
    progress: Progress | None = None,
) -> None:
    """Write `dataset` as `plan` says; see `compress`."""
    run = Run(Workers(count=1), overwrite=overwrite)
    archive(InMemory({"/": dataset}), {"/": (dataset, plan)}, target, run=run, command=command, progress=progress)


def archive(
    source: Openable,
    groups: Groups,
    target: str | Path,
    *,
    run: Run | None = None,
    command: str = "adiabat.formats.archive",
    progress: Progress | None = None,
) -> bool:
    """Write what plans say, or what an earlier run of the same left to do.

    Parameters
    ----------
    source : Openable
        Opened again by every process.
    groups : mapping of str to (Dataset, plan)
        What it holds, by the paths of groups.
    target : path
    run : Run, optional
    command : str
        For the ``history`` attribute.
    progress : callable, optional
        See `Progress`; told of finished blocks of earlier runs, too.

    Returns
    -------
    bool
        Whether the store stands; False if other parts have blocks left.

    Raises
    ------
    RequestError
        If the destination is taken, by a store or by another writer, or was begun otherwise.
    BlockError
        If a block fails again and again.
    """
    run, space = run or Run(), Workspace(Path(target))
    asked = _describe(source, groups)
    blocks = [block for place, (_, plan) in sorted(groups.items()) for each in plan for block in blocks_of(place, each)]
    opened = {place: dataset for place, (dataset, _) in groups.items()}
    if run.workers.alone(blocks):
        source = InMemory(opened)
    told = progress or (lambda *_: None)
    if not run.overwrite and asked["source"] is not None and _stands(space.target, asked):
        _repair(source, blocks, space, run, told)
        return True
    check_target(space.target, overwrite=run.overwrite)
    with space.lock(run.name):
        try:
            if run.restart or asked["source"] is None:
                space.clear()
            made = partial(write_metadata, groups, command=command, request=digest_of(asked))
            space.begin(asked, made, run.name)
            job = Job(source, space.store, space.journal.folder, run.workers.threads(blocks))
            bundles = bundle_blocks(blocks, opened, most=run.workers.memory // 4)
            do_blocks(job, bundles[run.part[0] - 1 :: run.part[1]], run.workers, told)
            if not _finish(space, blocks, asked, overwrite=run.overwrite):
                return False
        except BaseException:
            if asked["source"] is None or (run.part == (1, 1) and not space.journal.folder.is_dir()):
                space.discard()  # there is nothing to go on from
            raise
        space.discard()
    return True


def _describe(source: Openable, groups: Groups) -> dict[str, Any]:
    """What is asked for: the same twice if it may go on where it stopped."""
    arrays: dict[str, Any] = {
        path_of(place, each): {
            "shape": list(each.shape), "chunks": list(each.chunks), "shards": each.shards and list(each.shards),
            "dtype": each.dtype.str, "child": each.child, "noise": each.noise, "bound": each.bound,
            "blocks": len(blocks_of(place, each)),
            "configuration": None if each.bound is None else configuration_of(each),
        }
        for place, (_, plan) in sorted(groups.items())
        for each in plan
    }  # fmt: skip
    asked = {"adiabat": version("adiabat"), "source": source.identity(), "arrays": arrays}
    plain: dict[str, Any] = json.loads(json.dumps(asked))
    return plain


def do_blocks(job: Job, bundles: Sequence[Bundle], workers: Workers, told: Progress) -> None:
    """Do those blocks whose files are not as a record says."""
    names = {block.key: block.name for bundle in bundles for block in bundle}

    def seen(record: Record | None) -> None:
        told(*("", 0, 0) if record is None else (names[record.block], record.values, record.written_bytes))

    journal, is_as = Journal(job.journal), _matching(job.store)
    records = journal.read()

    def is_done(block: Block) -> bool:
        record = records.get(block.key)
        if record is None:
            return False
        if is_as(record, block):
            seen(record)
            return True
        journal.forget(record)
        return False

    waiting = (tuple(block for block in bundle if not is_done(block)) for bundle in bundles)
    run_blocks(job, [bundle for bundle in waiting if bundle], workers, seen)


def _matching(store: Path) -> Callable[[Record, Block], bool]:
    """Tell whether the files of a block are as its record says, opening each array once."""
    opened = cache(partial(open_stored, store))

    def is_as(record: Record, block: Block) -> bool:
        files = find_files(store, opened(block.array), block)
        return record.stop == block.stop and read_digest(files) == (record.written_bytes, record.digest)

    return is_as


def _finish(space: Workspace, blocks: Sequence[Block], asked: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Complete the store and put it in its place, unless blocks are missing; begun twice it does no harm."""
    with space.lock("-finish"):
        if space.read_job() is None:  # another part was faster
            return _stands(space.target, asked)
        records = space.journal.read()
        if any(block.key not in records for block in blocks):
            return False
        kept = [records[block.key] for block in blocks]
        sweep(space.store, blocks)
        note_achieved(space.store, kept)
        write_records(space.store, kept)
        consolidate(space.store)
        space.put_in_place(overwrite=overwrite)
    return True


def _stands(target: Path, asked: Mapping[str, Any]) -> bool:
    """Whether the destination is what this very request came to."""
    return is_zarr(target) and zarr.open_group(target, mode="r").attrs.get(REQUEST) == digest_of(asked)


def _repair(source: Openable, blocks: Sequence[Block], space: Workspace, run: Run, told: Progress) -> None:
    """Write again what is damaged in a finished store."""
    records, is_as = read_records(space.target, {block.array for block in blocks}), _matching(space.target)
    broken = []
    for block in blocks:
        record = records.get(block.key)
        if record is not None and is_as(record, block):
            told(block.name, record.values, record.written_bytes)
        else:
            broken.append(block)
    if not broken:
        space.discard()  # what a run that was killed after its last rename left
        return
    with space.lock(run.name):
        try:
            job = Job(source, space.target, space.journal.folder, run.workers.threads(broken))
            do_blocks(job, [(block,) for block in broken], run.workers, told)
            write_records(space.target, [*(records | space.journal.read()).values()])
            update_checksums(space.target, {space.target / block.array / RECORDS for block in broken})
        finally:
            space.discard()
