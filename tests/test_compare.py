"""`compare`: rows against closed forms and score.py's rules, errors, refusals, and what is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adiabat.codec import Pyramid
from adiabat.formats import compare as comparing
from adiabat.formats.compare import as_field, compare, count_steps, wanted_peers
from adiabat.formats.compare_errors import Errors
from adiabat.formats.compare_ours import reach, whole
from adiabat.formats.comparison import ERROR, RMSE
from adiabat.formats.errors import RequestError
from adiabat.formats.peers import Mode, Peer, available

PLAIN = ["bitround+zstd", "linear+zstd"]  # need nothing beside adiabat


def waves(*shape, noise=0.02):
    rng = np.random.default_rng(3)
    y, x = np.meshgrid(*(np.linspace(0, 7, size) for size in shape[-2:]), indexing="ij")
    return (280 + 10 * np.sin(y) * np.cos(x) + noise * rng.standard_normal(shape)).astype(np.float32)


def by_codec(found, equal=ERROR):
    return {row.codec: row for row in found.rows if row.equal == equal}


@pytest.mark.parametrize("bound", [{"abs": 0.05}, {"rel": 1e-4}, "lossless"])
def test_rows_are_what_the_codecs_give(bound):
    field = waves(3, 40, 60)
    found = compare(field, bounds=[bound], peers=PLAIN)
    row = by_codec(found)["pyramid"]
    codec = Pyramid(bound=bound)
    data = codec.encode(field)
    error = np.abs(codec.decode(data).astype("f8") - field)
    assert row.size == len(data)
    assert row.ratio == pytest.approx(field.nbytes / len(data))
    assert row.bits == pytest.approx(32 / row.ratio)
    assert row.max_error == error.max()
    assert row.rmse == pytest.approx(math.sqrt((error**2).mean()))
    limit = {"abs": 0.05, "rel": 1e-4 * np.abs(field.astype("f8"))}[next(iter(bound))] if bound != "lossless" else 1.0
    assert row.of_target == pytest.approx(float((error / limit).max()))
    assert row.kept
    peers = [by_codec(found)[name] for name in PLAIN]
    assert all(peer.kept for peer in peers if peer.size is not None)
    assert [peer.codec for peer in peers if peer.size is None] == (["linear+zstd"] if bound == "lossless" else [])


def test_rmse_follows_each_bound_at_what_pyramid_reached():
    field = waves(64, 96)
    found = compare(field, bounds=[{"abs": 0.1}], peers=PLAIN, rmse=True)
    reached = by_codec(found)["pyramid"].rmse
    rows = by_codec(found, RMSE)
    assert {row.asked for row in rows.values()} == {f"rmse:{reached:.4g}"}
    for name in ("hyperprior", "vq", "pyramid", *PLAIN):
        assert rows[name].kept, name
        assert rows[name].rmse <= reached
    assert "does not apply: for spectra whose last axis has 1028 channels, here 96" in rows["hvae"].problem


def test_ratio_is_compared_at_the_lower_of_the_peers_rmse():
    pytest.importorskip("imagecodecs")
    found = compare(waves(64, 96), bounds=[{"ratio": 20}], peers=["sperr", "jpeg2000", "sz3"], codecs=["hyperprior"])
    rows = by_codec(found, RMSE)
    assert set(rows) == {"sperr", "jpeg2000", "hyperprior"}
    target = min(rows[name].rmse for name in ("sperr", "jpeg2000"))
    assert rows["hyperprior"].rmse <= target
    assert rows["hyperprior"].of_target == pytest.approx(rows["hyperprior"].rmse / target)
    with pytest.raises(RequestError, match="SPERR or JPEG 2000"):
        compare(waves(8, 9), bounds=[{"ratio": 20}], peers="none")


def raw(name, encode, most=None):
    def decode(data, shape):
        return np.frombuffer(data, np.float32).reshape(shape)

    return Peer(name, (), "", bounded=(Mode("raw", encode, decode),), most=most)


def test_peers_that_break_their_bound_or_fail_are_shown_so(monkeypatch):
    def raises(part, bound):
        raise ValueError("out of luck\nmore")

    mocks = {
        "honest": raw("honest", lambda part, bound: part.tobytes()),
        "over": raw("over", lambda part, bound: (part + np.float32(2.5 * bound)).tobytes()),
        "nan": raw("nan", lambda part, bound: np.full_like(part, np.nan).tobytes()),
        "raises": raw("raises", raises),
        "slow": raw("slow", raises, most=10),
    }
    monkeypatch.setattr(comparing, "available", lambda: mocks)
    monkeypatch.setattr(comparing, "absent", lambda: {"gone": "gone needs x: pip install x"})
    found = compare(waves(20, 30), bounds=[{"abs": 0.5}])
    rows = by_codec(found)
    assert rows["honest"].kept
    assert (rows["over"].kept, round(rows["over"].of_target, 2)) == (False, 2.5)
    assert (rows["nan"].kept, rows["nan"].of_target) == (False, math.inf)
    assert rows["raises"].size is None
    assert rows["raises"].problem == "raw, frames: out of luck"
    assert found.absent["gone"] == "gone needs x: pip install x"
    assert "slow" not in rows
    assert "more than 10 values" in found.absent["slow"]
    assert "slow" in wanted_peers(["slow"], 600)[0]


def test_holes_are_kept_and_their_bytes_counted():
    field = waves(2, 40, 60)
    field[:, 5:20, 10:30], field[0, 0, 0] = np.nan, np.inf
    found = compare(field, bounds=[{"abs": 0.05}, {"rel": 1e-3}], peers=PLAIN)
    assert all(row.kept for row in found.rows)
    plain = compare(np.where(np.isfinite(field), field, np.float32(280)), bounds=[{"abs": 0.05}], peers=PLAIN)
    assert all(by_codec(found)[name].max_error <= 0.05 + 1e-6 or "rel" in by_codec(found)[name].asked for name in PLAIN)
    assert len(plain.rows) == 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 1, 1), (1, 4, 5)])
def test_tiny_and_constant_fields(shape):
    for field in (np.full(shape, 5, "f4"), np.zeros(shape, "f4"), waves(*shape)):
        found = compare(field, bounds=[{"abs": 0.01}], peers=sorted(set(available()) - {"ebcc", "tthresh"}))
        assert by_codec(found)["pyramid"].kept
        assert all(row.kept for row in found.rows if row.size is not None)


def test_what_cannot_be_compared_is_refused():
    field = waves(4, 5)
    with pytest.raises(RequestError, match="every value is missing"):
        compare(np.full((4, 5), np.nan), bounds=[{"abs": 1}])
    with pytest.raises(RequestError, match="at least two dimensions"):
        compare(np.zeros(4), bounds=[{"abs": 1}])
    with pytest.raises(RequestError, match=r"noise:0\.5 cannot be compared"):
        compare(field, bounds=[{"noise": 0.5}], peers="none")
    with pytest.raises(RequestError, match="there is no peer 'szz': write all, none, or some of"):
        compare(field, bounds=[{"abs": 1}], peers=["szz"])


def test_fields_are_given_as_score_gives_them():
    assert as_field(np.zeros((1, 4, 1, 5), "f8")).shape == (4, 5)
    assert as_field(np.zeros((1, 1, 1), "f4")).shape == (1, 1)
    assert as_field(np.zeros((3, 4, 5), ">f4")).dtype == np.dtype("f4")


def test_progress_is_told_of_every_step():
    field, told = waves(20, 30), []
    bounds = [{"abs": 0.5}, {"rmse": 0.2}]
    compare(field, bounds=bounds, peers=PLAIN, rmse=True, progress=lambda name, values: told.append(values))
    peers, _ = wanted_peers(PLAIN, field.size)
    assert sum(told) == field.size * count_steps(bounds, peers, rmse=True)


def test_progress_stops_a_comparison():
    class StoppedError(Exception):
        pass

    def stop(name, values):
        if name.startswith("linear"):
            raise StoppedError

    with pytest.raises(StoppedError):
        compare(waves(20, 30), bounds=[{"abs": 0.5}], peers=PLAIN, progress=stop)


def test_errors_over_what_is_known():
    source = np.array([[0.0, -2.0, np.nan, 4.0]], "f4")
    errors = Errors(source, {"rel": 0.5})
    back = np.array([[0.0, -1.0, np.nan, 4.0]])
    assert errors.largest(back) == 1.0
    assert errors.rmse(back) == pytest.approx(math.sqrt(1 / 3))
    assert errors.of_bound(back) == 1.0
    assert errors.of_bound(np.array([[0.1, -2, np.nan, 4]])) == math.inf
    assert Errors(source, {"abs": 2.0}).of_bound(back) == 0.5
    assert Errors(source, {"abs": 2.0}).of_bound(np.full((1, 4), np.nan)) == math.inf
    assert Errors(source).of_bound(back) == math.inf
    assert Errors(source).of_bound(source) == 0.0


def test_our_codecs_say_why_they_have_nothing():
    field = waves(20, 30)
    found, problem = whole("pyramid", field, {"bound": {"abs": -1.0}}, lambda back: 0.0)
    assert found is None
    assert problem
    found, problem = reach("pyramid", field, 0.3, Errors(field).rmse, lambda: None)
    assert problem is None
    assert found.error <= 0.3
