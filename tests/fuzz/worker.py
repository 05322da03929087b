"""One process that fuzzes one target under atheris: `python worker.py TARGET [libFuzzer's options and folders]`.

Started by `run.py`. Functions are instrumented one by one, after import: kernels that numba compiles stay as they are,
and are compiled with bounds checks, so that a bad index is an exception and no silent read of other memory.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

os.environ["NUMBA_BOUNDSCHECK"] = "1"
os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "adiabat-fuzz-numba")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ADIABAT_MODELS"] = str(Path(__file__).parents[2] / "spec" / "vectors" / "models")
sys.path.insert(0, str(Path(__file__).parents[1]))


def functions_of(module: ModuleType) -> list[FunctionType]:
    """Python functions that a module defines, its classes' methods among them."""
    found: list[object] = []
    for value in vars(module).values():
        members = vars(value).values() if isinstance(value, type) and value.__module__ == module.__name__ else [value]
        for member in members:
            match member:
                case staticmethod() | classmethod():
                    found.append(member.__func__)
                case property():
                    found.append(member.fget)
                case cached_property():
                    found.append(member.func)
                case _:
                    found.append(member)
    mine = [each for each in found if isinstance(each, FunctionType) and each.__module__ == module.__name__]
    return [each for each in mine if each.__code__.co_filename != "<string>"]  # but for what dataclasses write


def main() -> None:
    """Fuzz until libFuzzer's limits."""
    import atheris

    name = sys.argv[1]
    from fuzz.targets import TARGETS

    target = TARGETS[name]
    for seed in target.seeds():  # compile and load models before anything is timed
        with contextlib.suppress(Exception):  # libFuzzer will find it again
            target.run(seed)
    for each in target.modules:
        for function in functions_of(import_module(each)):
            atheris.instrument_func(function)
    mutator = {}
    if target.mutate is not None:
        mutate = target.mutate
        mutator = {"custom_mutator": lambda data, size, seed: mutate(data, size, seed, atheris.Mutate)}
    atheris.Setup(
        [f"{sys.executable} {__file__} {name}", *sys.argv[2:]], lambda data: target.check(data, timed=False), **mutator
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
