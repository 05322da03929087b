"""Where an archive is being made: a folder beside its destination that outlives a kill, and becomes it by one rename.

Stage: around the engine. ``DST.partial`` holds the store, the journal, what was asked for, and a lock for each writer.

    begin     metadata under another name -> DST.partial/store; DST.partial/job.json
    (blocks)  DST.partial/store/..., then DST.partial/journal/...
    finish    records and achieved errors -> store; store -> DST; DST.partial is removed
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from adiabat.formats.errors import RequestError
from adiabat.formats.journal import Journal, replace_file
from adiabat.formats.sources.cf import is_zarr

__all__ = ["Workspace", "check_target", "in_place_of"]

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Workspace:
    """Names of what lies beside a destination while it is being written.

    Parameters
    ----------
    target : path
        The destination.
    """

    target: Path

    @property
    def folder(self) -> Path:
        """All of it."""
        return self.target.absolute().with_name(f"{self.target.name}.partial")

    @property
    def store(self) -> Path:
        """What becomes the destination."""
        return self.folder / "store"

    @property
    def journal(self) -> Journal:
        """Records of blocks."""
        return Journal(self.folder / "journal")

    @property
    def job_file(self) -> Path:
        """What was asked for."""
        return self.folder / "job.json"

    def read_job(self) -> Job | None:
        """What was asked for, if a store was begun."""
        try:
            job = json.loads(self.job_file.read_text())
        except (OSError, ValueError, RecursionError):
            return None
        return job if isinstance(job, dict) and is_zarr(self.store) else None

    @contextmanager
    def lock(self, part: str = "") -> Iterator[None]:
        """Be the only writer, or the only one of a part.

        Raises
        ------
        RequestError
            Naming the other.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise RequestError(f"{self.folder} cannot be made: {error.strerror}") from None
        path = self.folder / f"writer{part}.lock"
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RequestError(
                f"{self.target} is being written by {self.writer(part)}: wait, or stop that one"
            ) from None
        try:
            (self.folder / f"writer{part}.txt").write_text(f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            lock.release()

    def writer(self, part: str = "") -> str:
        """Who holds the lock, in words."""
        try:
            return (self.folder / f"writer{part}.txt").read_text()
        except OSError:
            return "another process"

    def writers(self) -> list[str]:
        """All that hold a lock now."""
        busy = []
        for file in sorted(self.folder.glob("writer*.lock")):
            lock = FileLock(file, timeout=0)
            try:
                lock.acquire()
                lock.release()
            except Timeout:
                busy.append(self.writer(file.stem.removeprefix("writer")))
        return busy

    def begin(self, job: Job, make: Callable[[Path], None], part: str = "") -> None:
        """Make the store without values, unless it is there for the same job.

        Raises
        ------
        RequestError
            If it is there for another, or nothing tells for which.
        """
        if self.read_job() is not None or self.store.exists():
            self._check_same(job)
            return
        making = self.folder / f"making{part}"
        remove(making)  # of one that was killed
        try:
            make(making)
            replace_file(self.job_file, json.dumps(job, indent=1))  # first: so no store is there without it
            try:
                making.rename(self.store)
            except OSError:  # another part was faster, and made the same
                self._check_same(job)
        finally:
            remove(making)

    def _check_same(self, job: Job) -> None:
        """Refuse to go on with what was begun for another job."""
        begun = self.read_job()
        if begun is None:
            raise RequestError(f"{self.folder} is damaged (its job.json or its store): --restart throws it away")
        difference = _difference(begun, job)
        if difference:
            raise RequestError(
                f"{self.folder} was begun otherwise ({difference}): finish it with the command it was begun with, "
                "or --restart throws it away"
            )

    def put_in_place(self, *, overwrite: bool) -> None:
        """Make the store the destination.

        Raises
        ------
        RequestError
            If the place was taken meanwhile.
        """
        _exchange(self.store, self.target, self.folder / "old", overwrite=overwrite)

    def clear(self) -> None:
        """Throw away what was begun, but for locks."""
        self.job_file.unlink(missing_ok=True)
        for each in (self.store, self.journal.folder):
            remove(each)

    def discard(self) -> None:
        """Remove what there is."""
        remove(self.folder)


def _difference(begun: Job, job: Job) -> str:
    """In what two jobs differ, in words; nothing if they do not."""
    for key in {**begun, **job}:
        there, here = begun.get(key), json.loads(json.dumps(job.get(key)))
        if there != here:
            if isinstance(there, Mapping) and isinstance(here, Mapping):
                name = next(name for name in {**there, **here} if there.get(name) != here.get(name))
                return f"{key} of {name}"
            return f"another {key}"
    return ""


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a destination that is taken, or that has no folder to stand in.

    Raises
    ------
    RequestError
    """
    if "://" in str(target):
        raise RequestError(f"{target}: stores are written to local folders only")
    if not target.absolute().parent.is_dir():
        raise RequestError(f"there is no folder {target.absolute().parent} to write into")
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise RequestError(f"{target} exists already; --overwrite replaces it")
    if target.is_symlink() or not is_zarr(target):
        raise RequestError(f"{target} is not a Zarr store, so it is not overwritten")


def remove(folder: Path) -> None:
    """Remove a folder into which an interrupted thread may still be writing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


@contextmanager
def in_place_of(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary sibling of `target` that takes its place if the block succeeds, and is gone if not."""
    check_target(target, overwrite=overwrite)
    temporary = target.absolute().parent / f".{target.name}.{uuid.uuid4().hex[:8]}.writing"
    try:
        yield temporary
        old = temporary.with_suffix(".old")
        _exchange(temporary, target, old, overwrite=overwrite)
        if old.exists():
            shutil.rmtree(old)
    finally:
        remove(temporary)


def _exchange(made: Path, target: Path, old: Path, *, overwrite: bool) -> None:
    """Put what was made in its place, and what stood there into another, unless it was taken meanwhile."""
    check_target(target, overwrite=overwrite)
    if target.exists():
        os.rename(target, old)
    os.rename(made, target)
