"""Sources that fail, in a module that the processes of a pool can import."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import xarray as xr


def dataset():
    rng = np.random.default_rng(0)
    return xr.Dataset({f"v{i}": (("t", "y", "x"), rng.normal(size=(2, 20, 30)).astype("f4")) for i in range(5)})


@dataclass(frozen=True)
class Flaky:
    """Opens, but fails to be read as often as files say; a process that opens it may be ended instead."""

    folder: str
    how: str = "error"

    def open(self):
        opened = dataset()
        left = [name for name in sorted(os.listdir(self.folder)) if name.startswith("fault")]
        if left:
            os.unlink(os.path.join(self.folder, left[0]))
            if self.how == "exit":
                os._exit(1)
            return {"/": opened.drop_vars("v3")}
        return {"/": opened}

    def identity(self):
        return {"flaky": 1}


@dataclass(frozen=True)
class Lacking:
    def open(self):
        return {"/": dataset().drop_vars("v3")}

    def identity(self):
        return {"lacking": 1}
