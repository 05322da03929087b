"""The table of versions: its rows, what is printed of them, and the job that runs them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMMAND = "tests/benchmarks/versions.py"


def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


versions, version_check = load(COMMAND), load("tests/benchmarks/version_check.py")


def test_the_oldest_row_has_the_lower_bounds_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    lowest = {re.split(r">=", each)[0]: re.search(r">=([\d.]+)", each)[1] for each in needed}
    pins = dict(pin.split("==") for pin in versions.OLDEST)
    assert {name for name, bound in lowest.items() if not pins.get(name, "").startswith(bound)} == set()
    (row,) = (row for row in versions.ROWS if row.name == "oldest")
    assert project["requires-python"] == f">={row.python}"


def test_every_python_since_the_oldest_has_a_row():
    newest = [row for row in versions.ROWS if not row.pins and row.extras == "[cpu]"]
    assert [row.python for row in newest] == ["3.11", "3.12", "3.13", "3.14"]
    assert len({row.name for row in versions.ROWS}) == len(versions.ROWS)


def test_an_interpreter_that_is_not_at_hand_is_not_run(tmp_path):
    assert versions.interpreter("2.4") is None
    result = versions.result_of(versions.Row("old", "2.4"), tmp_path / "none.whl")
    assert result == {"state": "not run", "why": "no python2.4 at hand"}
    assert "| old |" in versions.table({"old": result}, "")
    assert versions.table({"old": result}, "").endswith("- `old`: no python2.4 at hand\n")


def test_this_interpreter_is_found():
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert versions.interpreter(here) is not None


def test_what_the_table_says():
    libraries = dict.fromkeys(versions.LIBRARIES, "1.0")
    passed = {"valid": 7, "invalid": 8, "encode": "ab", "stores": 3}
    good = {"state": "passed", "python": "3.12.1", "libraries": libraries, "results": passed, "failed": {}}
    bad = good | {"state": "failed", "results": passed | {"encode": "cd"}, "failed": {"write": "ValueError: no"}}
    lines = versions.table({"good": good, "bad": bad}, "ab").splitlines()
    assert lines[2] == "| good | 3.12.1 | " + "1.0 | " * 7 + "7 + 8 | 3 | yes | passed |"
    assert lines[3].endswith("| 7 + 8 | 3 | no | failed |")
    assert lines[-1] == "- `bad`, write: ValueError: no"


def test_a_failed_installation_is_told_by_its_error():
    told = "import sys; print('WARNING: slow\\nERROR: no such version\\nhint', file=sys.stderr); sys.exit(1)"
    with pytest.raises(RuntimeError, match=r"^ERROR: no such version$"):
        versions.run([sys.executable, "-c", told])


def test_arrays_that_differ_are_told_apart():
    import numpy as np

    one = np.array([1.0, np.nan], "<f4")
    assert version_check.same(one.copy(), one)
    assert not version_check.same(one.astype(">f4"), one)
    assert not version_check.same(np.nextafter(one, np.float32(2)), one)
    assert version_check.same(np.nextafter(one, np.float32(2)), one, relative=1e-6)
    assert not version_check.same(-np.zeros(2), np.zeros(2))


def test_the_job_runs_every_row():
    """Read by a YAML parser: where it runs, nobody has tried it."""
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "versions.yml").read_text())
    assert set(job[True]) == {"schedule", "push", "workflow_dispatch"}  # YAML 1.1 reads the key "on" so
    assert set(job["jobs"]) == {"rows", "row"}
    steps = [step.get("run", "") for each in job["jobs"].values() for step in each["steps"]]
    assert any(f"python {COMMAND} --list" in step for step in steps)
    assert any(f'python {COMMAND} --row "${{{{ matrix.row }}}}"' in step for step in steps)
    listed = subprocess.run([sys.executable, ROOT / COMMAND, "--list"], capture_output=True, text=True, check=True)
    assert json.loads(listed.stdout) == [{"row": row.name, "python": row.python} for row in versions.ROWS]
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    assert tests["jobs"]["tests"]["steps"][-1] == {"run": "bash .ci/run"}
