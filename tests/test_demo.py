"""The demo: the same field every time, labelled as simulated, and a picture of what was lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import zarr

from adiabat.formats.demo import READER, run_demo, simulate_field

COMMAND = str(Path(sys.executable).with_name("adiabat"))


def test_field_is_the_same_every_time_and_says_what_it_is():
    first, second = simulate_field((2, 19, 36)), simulate_field((2, 19, 36))
    assert first.identical(second)
    assert not np.array_equal(simulate_field((2, 19, 36), seed=1).temperature, first.temperature)
    assert "SIMULATED" in first.attrs["title"]
    assert "simulated" in first.temperature.attrs["comment"]
    assert first.temperature.dtype == np.float32
    assert 180 < float(first.temperature.min()) < float(first.temperature.max()) < 340


def test_field_is_smooth_across_the_date_line():
    field = simulate_field((1, 91, 180)).temperature.values[0]
    seam = np.abs(field[:, 0] - field[:, -1]).max()
    inside = np.abs(np.diff(field, axis=1)).max()
    assert seam <= 1.5 * inside


def test_reader_imports_only_xarray():
    assert "adiabat" not in READER
    assert READER.count("import") == 2  # sys and xarray


def test_demo_keeps_its_bound(tmp_path):
    result = run_demo(tmp_path / "demo.zarr", bound=0.2)
    assert result.errors.violations == 0
    assert 0 < result.errors.max_error <= 0.2
    assert result.ratio > 20
    assert result.stored.shape == result.source.shape
    assert [path.name for path in tmp_path.iterdir()] == ["demo.zarr"]


def test_command_prints_figures_and_draws(tmp_path):
    ran = subprocess.run([COMMAND, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    for word in ("ratio", "largest error", "encode", "decode", "MB/s", "adiabat-demo.png"):
        assert word in ran.stdout
    assert (tmp_path / "adiabat-demo.png").read_bytes()[:4] == b"\x89PNG"


def test_command_replaces_its_own_store_and_no_other(tmp_path):
    zarr.create_group(tmp_path / "adiabat-demo.zarr")
    zarr.create_group(tmp_path / "mine.zarr", attributes={"precious": True})
    assert subprocess.run([COMMAND, "demo"], cwd=tmp_path, capture_output=True, timeout=300).returncode == 0
    ran = subprocess.run([COMMAND, "demo", "mine.zarr"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 2
    assert "exists already; --overwrite" in ran.stderr
    assert zarr.open_group(tmp_path / "mine.zarr").attrs["precious"]


def test_without_matplotlib_the_picture_is_skipped_and_said(tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "matplotlib.py").write_text("raise ImportError('hidden')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "hidden")}
    ran = subprocess.run(
        [COMMAND, "demo", "d.zarr"], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert "matplotlib is missing (pip install 'adiabat[plot]')" in ran.stdout
    assert not (tmp_path / "d.png").exists()
