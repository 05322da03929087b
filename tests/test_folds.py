"""Folds by source folder: each case is scored by a model that never saw its folder."""

from __future__ import annotations

import json
import sys

import pytest

from adiabat.training import folds

# As a yardstick: writes rows of all cases, exits 1 as where a bound is broken, and notes what it was asked.
SCORE = """
import json, sys
what, cases, only, name, to, target, options, given = sys.argv[1:]
assert (what, only, to, options) == ("bound", "--only", "--json", "--options"), sys.argv
model = json.loads(given).get("model")
with open("asked.jsonl", "a") as asked:
    asked.write(json.dumps([name, model]) + "\\n")
rows = []
for case in json.load(open(cases)):
    for bound in (0.1, 1.0):
        gain = {"x1": 1.0, "x2": 2.0, "y1": 4.0}.get(case["name"], 99.0) * (1.0 if model else 2.0)
        rows.append({"case": case["name"], "bound": bound, "ratio": 9.0, "peers": {"sz3": 5.0, "sperr": 6.0},
                     "gain": gain, "max_error": 1.0, "rmse": 0.5, "holds": case["name"] != "y1"})
json.dump(rows, open(target, "w"))
sys.exit(1)
"""


@pytest.fixture
def yardstick(tmp_path, monkeypatch):
    """Two sources with cases, one without, a case from elsewhere; run in the folder `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench").mkdir()
    for name in ("x", "y", "z"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "bench" / "score.py").write_text(SCORE)
    files = {"x1": "x/1.nc", "y1": "y/1.nc", "x2": "x/2.nc", "other": "elsewhere/1.nc"}
    cases = [{"name": name, "file": f"../data/{file}"} for name, file in files.items()]
    (tmp_path / "bench" / "cases.json").write_text(json.dumps(cases))
    return tmp_path


def run(monkeypatch, *options):
    command = ["folds", "--data", "data/x", "data/y", "data/z", "--score", "bench/score.py"]
    monkeypatch.setattr(sys, "argv", [*command, "--cases", "bench/cases.json", "--out", "out", *options])
    folds.main()


def test_cases_are_scored_without_their_folder(yardstick, monkeypatch, capsys):
    trained = []

    def train_without(source, folders, out):
        trained.append((source.name, [folder.name for folder in folders]))
        return out / f"without-{source.name}.zip"

    monkeypatch.setattr(folds, "train_without", train_without)
    run(monkeypatch, "--jobs", "1")
    assert trained == [("x", ["x", "y", "z"]), ("y", ["x", "y", "z"])], "no case lies in z"
    asked = [json.loads(line) for line in (yardstick / "asked.jsonl").read_text().splitlines()]
    models = {"x1": "without-x.zip", "x2": "without-x.zip", "y1": "without-y.zip"}
    held_out = [[name, str(yardstick / "out" / model)] for name, model in models.items()]
    assert asked == held_out + [[name, None] for name in models]
    text = capsys.readouterr().out
    assert "geometric means: x1 1.000  x2 2.000  y1 4.000\n" in text
    assert "of all 6 rows 2.000; worst row 1.000; bounds broken 2\n" in text
    assert "geometric means: x1 2.000  x2 4.000  y1 8.000\n" in text
    assert "held out / in training: 0.500\n" in text
    assert text.count("BOUND BROKEN") == 4
    assert "other" not in text


def test_picture(yardstick, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(folds, "train_without", lambda source, folders, out: out / source.name)
    run(monkeypatch, "--plot", "pictures/folds.png")
    assert (yardstick / "pictures" / "folds.png").read_bytes().startswith(b"\x89PNG")


def test_a_fold_is_trained_once_on_all_other_folders(tmp_path, monkeypatch):
    commands = []

    def command(arguments, **options):
        assert options["check"]
        commands.append(arguments)
        if len(commands) == 1:
            raise RuntimeError("stopped")
        (tmp_path / "without-b.zip").write_bytes(b"a model")

    monkeypatch.setattr(folds.subprocess, "run", command)
    sources = [tmp_path / name for name in "abc"]
    with pytest.raises(RuntimeError, match="stopped"):
        folds.train_without(sources[1], sources, tmp_path)
    for _ in range(2):
        assert folds.train_without(sources[1], sources, tmp_path) == tmp_path / "without-b.zip"
    assert len(commands) == 2, "again where it was stopped, not where the model is there"
    assert commands[0] == commands[1]
    assert commands[1][0] == sys.executable
    train = ["train", "pyramid", "--out", str(tmp_path / "without-b.zip")]
    assert commands[1][4:] == ["adiabat.formats.cli", *train, "--data", str(sources[0]), "--data", str(sources[2])]
