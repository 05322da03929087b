"""The bound audit itself: cases are made again from their numbers, some hundred hold, and a codec that lies is seen."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import audit_checks
import bound_audit
from audit_cases import Case, draw, statics_in
from audit_checks import Fault, bits, check, run
from audit_fields import FAMILIES, values

from adiabat.codec import ChunkContext, Pyramid

FIELD = np.array([[1.0, -0.0, np.nan, 4.0]], np.float32)


@pytest.fixture(autouse=True)
def statics(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_MODELS", "")  # put back afterwards
    statics_in(tmp_path)


def test_cases_are_made_again_from_their_numbers():
    for number in range(40):
        one, other = draw(5, number), draw(5, number)
        assert one.array.tobytes() == other.array.tobytes()
        assert one.array.dtype.str == other.array.dtype.str
        assert repr(one.options) == repr(other.options)
        assert repr(one.told) == repr(other.told)


def test_cases_differ_in_all_that_they_should():
    cases = [draw(0, number) for number in range(1500)]
    assert {case.array.dtype.str for case in cases} == {"<f2", ">f2", "<f4", ">f4", "<f8", ">f8"}
    assert {case.array.ndim for case in cases} == {0, 1, 2, 3, 4, 5}
    assert {case.family for case in cases} >= set(FAMILIES)
    kinds = {audit_checks.kind_of(case) for case in cases}
    assert kinds >= {"abs", "rel", "lossless", "profile", "noise", "rmse"}
    assert {case.codec for case in cases} >= {"pyramid", "hyperprior", "vq"}
    flags = {(case.array.flags.c_contiguous, case.array.flags.f_contiguous) for case in cases}
    assert flags == {(True, True), (True, False), (False, True), (False, False)}
    assert any("static" in case.options for case in cases)
    assert any(case.array.size == 0 for case in cases)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_families_give_arrays_of_the_shape_and_dtype(family, kind):
    for shape in [(), (0, 3), (5,), (2, 3, 4)]:
        with np.errstate(all="ignore"):
            made = values(np.random.default_rng(0), family, shape, np.dtype(kind), 3.0, 0.01)
        assert (made.shape, made.dtype) == (shape, np.dtype(kind))


def test_two_hundred_cases_hold():
    tally = bound_audit.audit(7, range(200))
    assert tally.faults == []
    assert sum(count for (group, _), count in tally.counts.items() if group == "codec") == 200


def case(bound, array=FIELD, **options):
    return Case("pyramid", {"bound": bound} | options, array)


def changed(at, value, array=FIELD):
    out = array.copy()
    out[at] = value
    return out


@pytest.mark.parametrize(
    ("asked", "decoded", "problem"),
    [
        (case({"abs": 0.5}), changed((0, 0), 1.5000001), "1 outside"),
        (case({"abs": [1, 1, 1, 0.1], "axis": 1}), changed((0, 3), 4.5), "1 outside"),
        (case({"rel": 0.1}), changed((0, 3), 4.5), "1 outside"),
        (case({"rel": 0.1}), changed((0, 1), 0.0), "zero, or"),
        (case({"rel": 2.0}), changed((0, 0), -0.5), "1 outside"),
        (case("lossless"), changed((0, 1), 0.0), "bits changed"),
        (case({"abs": 1.0}), changed((0, 2), -np.nan), "special values changed"),
        (case({"abs": 1.0}, fill_value=4.0), changed((0, 3), 4.5), "special values changed"),
        (case({"abs": 1.0}), changed((0, 0), np.inf), "became none"),
        (case({"abs": 1.0}, valid_range=(0.0, 4.0)), changed((0, 3), 4.25), "left it"),
        (case({"abs": 1.0}), FIELD.astype("f8"), "in place of <f4"),
        (case({"abs": 1.0}), FIELD.reshape(2, 2), "in place of <f4"),
        (case({"abs": 1.0}, np.ones((3, 4))), np.ones((3, 4), order="F"), "memory order"),
        (Case("hyperprior", {"target": {"rmse": 0.1}}, FIELD), changed((0, 0), 1.2), "RMSE"),
        (
            Case("pyramid", {"bound": {"noise": 1.0}}, FIELD, {"noise": np.array([1, 1, 1, np.nan])}),
            changed((0, 3), 4.1),
            "unknown noise",
        ),
    ],
)
def test_every_broken_promise_is_seen(asked, decoded, problem):
    assert check(asked, asked.array.copy()) >= 0
    with pytest.raises(Fault, match=problem):
        check(asked, decoded)


def test_a_difference_that_float64_rounds_away_is_seen():
    array = np.array([-1e-30, 2.0])
    with pytest.raises(Fault, match="1 outside"):
        check(case({"abs": 1.0}, array), np.array([1.0, 1.0]))
    assert check(case({"abs": 1.0}, -array), np.array([1.0, -1.0])) == 1.0


def test_a_codec_that_lies_is_shown_with_a_case_that_can_be_made_again(monkeypatch, capsys):
    honest = Pyramid.decode
    monkeypatch.setattr(Pyramid, "decode", lambda self, data: honest(self, data) * 2)
    array = np.asfortranarray(np.arange(40.0).reshape(5, 8).astype(">f4"))
    lied = case({"abs": 0.5}, array, valid_range=(None, 100.0))
    with pytest.raises(Fault):
        run(lied)
    small = bound_audit.shrunk(lied)
    assert small.array.size == 1
    made = {"np": np, "Pyramid": Pyramid, "ChunkContext": ChunkContext}
    exec(bound_audit.literal(lied), made)
    assert (bits(made["array"]) == bits(array)).all()
    assert made["array"].flags.f_contiguous
    assert made["codec"].get_config() == lied.made().get_config()
    monkeypatch.setattr(sys, "argv", ["bound_audit.py", "--cases", "12"])
    with pytest.raises(SystemExit) as ended:
        bound_audit.main()
    assert ended.value.code == 1
    assert "np.frombuffer(bytes.fromhex(" in capsys.readouterr().out


def test_counts_are_printed_and_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["bound_audit.py", "--case", "3", "--json", str(tmp_path / "audit.json")])
    with pytest.raises(SystemExit) as ended:
        bound_audit.main()
    assert ended.value.code == 0
    assert "violations: 0" in capsys.readouterr().out
    assert '"faults": []' in (tmp_path / "audit.json").read_text()


def test_a_refusal_without_need_is_a_fault():
    asked = case({"abs": 0.1}, valid_range=(1.0000000001, 1.0000000002))
    with pytest.raises(Fault, match="refused without need"):
        run(asked)
    legitimate = Case("pyramid", asked.options, FIELD, legitimate="expected a valid_range that holds a float")
    assert run(legitimate)[0][0][0] == "refused"
