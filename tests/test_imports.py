"""Importing is quick and brings in neither torch nor, for the codec, xarray."""

from __future__ import annotations

import json

SCRIPT = """
import json, sys, time
start = time.process_time()
import {module}
print(json.dumps([time.process_time() - start, sorted(sys.modules)]))
"""


def imported(python, module):
    ran = python(SCRIPT.format(module=module))
    assert ran.returncode == 0, ran.stderr
    seconds, modules = json.loads(ran.stdout)
    return seconds, set(modules)


def test_codec_imports_within_half_a_second(python):
    assert min(imported(python, "adiabat.codec")[0] for _ in range(3)) < 0.5


def test_codec_imports_neither_torch_nor_xarray(python):
    _, modules = imported(python, "adiabat.codec")
    assert not {"torch", "xarray", "dask", "pandas", "onnx", "matplotlib"} & modules


def test_formats_imports_no_torch(python):
    for module in ("adiabat.formats", "adiabat.formats.cli"):
        _, modules = imported(python, module)
        assert not {"torch", "onnx", "matplotlib"} & modules


def test_every_module_has_one_name(python):
    for module in ("adiabat.codec", "adiabat.codec.zarr_plugin", "adiabat.formats.cli", "adiabat.training"):
        _, modules = imported(python, module)
        roots = {name.partition(".")[0] for name in modules}
        assert not {"codec", "formats", "training"} & roots


def test_import_prints_nothing(python):
    ran = python("import adiabat.codec, adiabat.formats.cli, adiabat.codec.zarr_plugin")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


READ = """
import json, sys
import xarray as xr
xr.open_dataset(sys.argv[1]).t[3].values
print(json.dumps([0, sorted(sys.modules)]))
"""


def test_reading_factors_needs_no_solver_and_no_network(python, tmp_path):
    import numpy as np
    import xarray as xr

    from adiabat.formats import low_rank

    cube = np.add.outer(np.arange(9.0), np.arange(20.0).reshape(4, 5))
    low_rank.write(xr.DataArray(cube, dims=("time", "lat", "lon"), name="t"), tmp_path / "t.cp.zarr", rank=1)
    ran = python(READ, tmp_path / "t.cp.zarr")
    assert ran.returncode == 0, ran.stderr
    modules = set(json.loads(ran.stdout)[1])
    assert not {"torch", "onnxruntime", "adiabat.training.cp_als", "adiabat.formats.cli"} & modules
