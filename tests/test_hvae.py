"""`HVAE`: targets, bounds, holes, shapes, bad bytes, and the same latents whatever runs the networks."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checks import bits, check_config

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from hvae_models import CHANNELS, LATENTS, model, package, spectra

from adiabat.codec import float_graph, hvae_model, hvae_prior, hvae_transform
from adiabat.codec import hvae as hvae_codec
from adiabat.codec.description import describe
from adiabat.codec.errors import AdiabatError, CorruptStreamError, ModelMismatchError, ModelNotFoundError
from adiabat.codec.hvae import HVAE
from adiabat.codec.integer_net import numpy_runner
from adiabat.codec.pyramid import Pyramid
from adiabat.codec.stream import Stream


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The small model's package, found by name and by hash."""
    folder = tmp_path_factory.mktemp("models")
    file = folder / f"{hashlib.sha256(package()).hexdigest()}.zip"
    file.write_bytes(package())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADIABAT_MODELS", str(folder))
        yield str(file)


@pytest.fixture(scope="module")
def field():
    return spectra(seed=20)


@pytest.fixture(scope="module")
def stream(field, path):
    data = HVAE(target={"ratio": 150}, model=path).encode(field)
    said = describe(data)
    assert (said["codec"], said["path"], said["bound"]) == ("adiabat.hvae", "latent", None)
    return data


def error(x, x_hat):
    good = np.isfinite(x)
    return float(np.sqrt(np.mean((x[good].astype("f8") - x_hat[good]) ** 2)))


@pytest.mark.parametrize("ratio", [200, 400, 1000])
def test_a_ratio_is_met_closely(field, path, ratio):
    data = HVAE(target={"ratio": ratio}, model=path).encode(field)
    assert 0.8 * field.nbytes / ratio <= len(data) <= field.nbytes / ratio


@pytest.mark.parametrize("share", [0.07, 0.15, 0.3])
def test_an_error_is_met_closely(field, path, share):
    wanted = share * float(field.std())
    codec = HVAE(target={"rmse": wanted}, model=path)
    data = codec.encode(field)
    assert describe(data)["codec"] == "adiabat.hvae"
    assert 0.85 * wanted <= error(field, codec.decode(data)) <= wanted


def test_an_error_beyond_the_model_is_pyramids(field, path):
    wanted = 1e-5 * float(field.std())
    codec = HVAE(target={"rmse": wanted}, model=path)
    data = codec.encode(field[:16, :16])
    assert describe(data)["codec"] == "adiabat.pyramid"
    assert error(field[:16, :16], codec.decode(data)) <= wanted


@pytest.mark.parametrize("shape", [(7, 13), (1, 70), (65, 4), (130, 66), (2, 3, 20, 24), (9,)])
def test_any_shape_of_images(path, shape):
    image = spectra((1, *shape)[-2:], seed=3)
    array = np.broadcast_to(image.reshape(*shape[-2:], CHANNELS), (*shape, CHANNELS)).copy()
    codec = HVAE(target={"rmse": 0.2 * float(array.std())}, model=path)
    decoded = codec.decode(codec.encode(array))
    assert decoded.shape == array.shape
    assert error(array, decoded) <= 0.2 * float(array.std())


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_layouts_survive(field, path, dtype):
    codec = HVAE(target={"ratio": 100}, model=path)
    for array in (field.astype(dtype), np.asfortranarray(field.astype(dtype)[:32]), field.astype(dtype)[::2, 1::2]):
        decoded = codec.decode(codec.encode(array))
        assert (decoded.dtype.str, decoded.shape) == (array.dtype.str, array.shape)
        assert decoded.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
        assert error(array, decoded) < 0.3 * field.std()


@pytest.mark.parametrize("kind", ["ratio", "rmse", "bound"])
def test_holes_come_back_exactly(path, kind):
    array = spectra((40, 50), seed=4)
    rng = np.random.default_rng(0)
    array[rng.random(array.shape[:2]) < 0.1] = np.nan
    array[10:20, 20:30] = np.nan
    array[3, 3, 2], array[4, 4, 5] = np.inf, -np.inf
    bound = 0.01 * float(np.nanstd(array[np.isfinite(array)]))
    options = {
        "ratio": {"target": {"ratio": 50}},
        "rmse": {"target": {"rmse": 20 * bound}},
        "bound": {"bound": {"abs": bound}},
    }
    codec = HVAE(model=path, **options[kind])
    decoded = codec.decode(codec.encode(array))
    good = np.isfinite(array)
    assert (bits(array)[~good] == bits(decoded)[~good]).all()
    if kind == "rmse":
        assert error(array, decoded) <= 20 * bound
    if kind == "bound":
        assert (np.abs(array[good].astype("f8") - decoded[good]) <= bound).all()


def test_a_fill_value_and_limits(path):
    array = spectra((20, 20), seed=5)
    array[4:9, 3] = -1e30
    codec = HVAE(target={"ratio": 40}, fill_value=-1e30, valid_range=(0, 2e13), model=path)
    decoded = codec.decode(codec.encode(array))
    assert (decoded[4:9, 3] == np.float32(-1e30)).all()
    assert decoded[array > 0].max() <= 2e13


def test_other_channels_than_the_models(path):
    array = spectra((12, 12), channels=CHANNELS + 1)
    with pytest.raises(
        ValueError, match=r"expected spectra of 24 channels along the last axis.*got shape \(12, 12, 25\)"
    ):
        HVAE(target={"ratio": 50}, model=path).encode(array)
    bound = {"abs": 0.01 * float(array.std())}
    codec = HVAE(bound=bound, model=path)
    data = codec.encode(array)
    assert describe(data)["codec"] == "adiabat.pyramid"
    assert (np.abs(codec.decode(data).astype("f8") - array) <= bound["abs"]).all()


HARD = {
    "constant": np.full((8, 8, CHANNELS), 7.25, "f4"),
    "zeros and negative": np.where(np.arange(CHANNELS) % 2, -1e12, 0).astype("f4") * np.ones((8, 8, 1), "f4"),
    "noise": np.random.default_rng(0).standard_normal((9, 11, CHANNELS)).astype("f4"),
    "spike": np.where(np.arange(16 * CHANNELS).reshape(4, 4, CHANNELS) == 77, np.float32(1e30), np.float32(0)),
    "tiny": np.full((5, 5, CHANNELS), 1e-40, "f4") * np.arange(CHANNELS, dtype="f4"),
    "missing": np.full((5, 5, CHANNELS), np.nan, "f4"),
    "empty": np.zeros((0, 5, CHANNELS), "f4"),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize(
    "options", [{"target": {"ratio": 100}}, {"target": {"rmse": 0.1}}, {"bound": {"abs": 0.5}}], ids=str
)
def test_hard_fields_never_fail(name, options, path):
    array = HARD[name]
    codec = HVAE(model=path, **options)
    decoded = codec.decode(codec.encode(array))
    assert (decoded.shape, decoded.dtype) == (array.shape, array.dtype)
    good = np.isfinite(array)
    if "bound" in options:
        assert (np.abs(decoded.astype("f8") - array)[good] <= 0.5).all()
    if "rmse" in options.get("target", {}) and good.any():
        assert error(array, decoded) <= 0.1


def test_a_residual_holds_the_bound_where_it_is_taken(field, path, monkeypatch):
    """Pyramid alone is made to look large, so that the latent path with a residual is kept."""
    from adiabat.codec import latent_choice

    bound = 0.1 * float(field.std())
    monkeypatch.setattr(latent_choice, "min", lambda tries, key: min(tries[1:], key=key), raising=False)
    data = HVAE(bound={"abs": bound}, model=path).encode(field)
    monkeypatch.undo()
    said = describe(data)
    assert (said["codec"], said["path"], said["bound"]) == ("adiabat.hvae", "latent", {"abs": bound})
    assert (np.abs(HVAE(bound={"abs": 9.0}).decode(data).astype("f8") - field) <= bound).all()


def test_a_bounded_stream_is_never_larger_than_pyramid_alone(field, path):
    for share in (0.01, 0.3):
        bound = {"abs": share * float(field.std())}
        assert len(HVAE(bound=bound, model=path).encode(field)) <= len(Pyramid(bound=bound).encode(field))


def test_configuration(path):
    check_config(HVAE(target={"ratio": 100}))
    check_config(HVAE(target={"rmse": 0.5}, bound={"abs": 3.0}, valid_range=(0, None), model=path))


def test_bad_bytes_are_refused_by_name(stream):
    codec, rng = HVAE(target={"ratio": 40}), np.random.default_rng(0)
    for length in rng.integers(0, len(stream), 40):
        with pytest.raises(AdiabatError):
            codec.decode(stream[:length])
    for at in rng.integers(0, 8 * len(stream), 60):
        bad = bytearray(stream)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(AdiabatError):
            codec.decode(bytes(bad))


def test_bad_payloads_with_a_good_checksum_never_crash(stream):
    good, rng = Stream.read(stream), np.random.default_rng(0)
    payload = good.sections["payload"]
    for _ in range(25):
        bad = bytearray(payload)
        for at in rng.integers(0, len(bad), 3):
            bad[at] ^= int(rng.integers(1, 256))
        with suppress(AdiabatError):
            assert _decode(good, bytes(bad[: int(rng.integers(1, len(bad) + 1))])).shape == good.shape
    with pytest.raises(CorruptStreamError):
        _decode(good, payload + b"\1\0\0\0")
    for domain in (("latent", 0.0, 1e-9), ("latent", 1.0, 1.0), ("latent", 0.0, 1e9)):
        with pytest.raises(CorruptStreamError, match="expected 24 channels"):
            HVAE(target={"ratio": 9}).decode(replace(good, domain=domain).write())


def _decode(good, payload):
    return HVAE(target={"ratio": 9}).decode(replace(good, sections={**good.sections, "payload": payload}).write())


def test_a_wrong_or_missing_model_is_named(stream, tmp_path, field):
    lost = replace(Stream.read(stream), model=bytes(range(8))).write()
    with pytest.raises(ModelNotFoundError, match="0001020304050607 is needed"):
        HVAE(target={"ratio": 9}).decode(lost)
    with pytest.raises(ModelMismatchError, match="kind hvae"):
        HVAE(target={"ratio": 9}, model="pyramid").encode(field)
    (tmp_path / "bad.zip").write_bytes(b"not a model")
    with pytest.raises(ModelMismatchError, match="not a model package"):
        HVAE(target={"ratio": 9}, model=str(tmp_path / "bad.zip")).encode(field)


def test_same_latents_and_nearly_same_values_whatever_runs_the_networks(stream, field, monkeypatch):
    seen, real = [], hvae_codec.read_latents
    monkeypatch.setattr(hvae_codec, "read_latents", lambda *a: seen.append(real(*a)) or seen[-1])
    decoded = [HVAE(target={"ratio": 9}, threads=threads).decode(stream) for threads in (1, 2, 3)]
    monkeypatch.setattr(hvae_prior.Prior, "run", lambda self: numpy_runner(self.layers))
    graphs = {}

    def plain(self, name, threads):
        graphs[name] = float_graph.runner(self.graphs[name], optimise=False)
        return graphs[name]

    monkeypatch.setattr(hvae_model.HVAEModel, "_graph", plain)
    decoded.append(HVAE(target={"ratio": 9}).decode(stream))
    assert set(graphs) == {"g_s.onnx"}
    assert all((other == seen[0]).all() for other in seen[1:])
    for other in decoded[1:]:
        assert np.abs(other / decoded[0] - 1).max() < 0.1 * hvae_codec.DRIFT
    assert np.abs(field / decoded[0] - 1).max() > hvae_codec.DRIFT


def test_what_the_encoder_saw_is_what_is_decoded(field, path):
    codec = HVAE(target={"ratio": 150}, model=path)
    assert codec.encode(field) == codec.encode(field.copy())


def test_normalisation_is_its_own_way_back():
    normal, x = model().normal, spectra(seed=9).astype("f8")
    assert np.allclose(normal.back(normal.forth(x)), x, rtol=1e-6)
    assert np.abs(normal.forth(np.array([-1.0, 0.0, 1e300])[:, None] * np.ones(CHANNELS))).max() <= normal.clip
    with pytest.raises(ValueError, match="above zero"):
        hvae_transform.Normalisation(normal.mean, 0 * normal.spread, 1.0, 10.0)


def test_tiles_cover_an_image():
    seen = np.zeros((130, 65), int)
    for rows, columns in hvae_transform.tiles(130, 65):
        seen[rows, columns] += 1
    assert (seen == 1).all()


class TestPackage:
    """What is refused."""

    def test_graphs_are_as_they_must_be(self):
        hvae_model.check_graphs(model())
        assert model().prior.channels == LATENTS

    @pytest.mark.parametrize("name", ["latents.npy", "scales.npy", "normalisation.npy", "g_s.onnx", "linear.npy"])
    def test_a_part_that_is_missing(self, name):
        from adiabat.codec.package import unpack
        from adiabat.training.export import zipped

        parts = {key: value for key, value in unpack(package()).parts.items() if key != name}
        with pytest.raises(ModelMismatchError, match="not a model package"):
            hvae_model.load(zipped(parts))

    def test_a_package_of_another_kind(self):
        with pytest.raises(ModelMismatchError, match="expected a model of kind hvae"):
            hvae_model.load((Path(hvae_model.__file__).parent / "models" / "pyramid.zip").read_bytes())

    def test_the_shipped_one_is_the_card_s(self):
        folder = Path(hvae_model.__file__).parent / "models"
        data = (folder / "hvae.zip").read_bytes()
        shipped = hvae_model.load(data)
        assert shipped.channels == 1028
        assert len(data) <= 3 << 20
        assert shipped.sha256 in (folder / "hvae.md").read_text()
        hvae_model.check_graphs(shipped)


def test_a_zarr_array_of_spectra(field, path):
    zarr = pytest.importorskip("zarr")
    from zarr.registry import register_codec

    from adiabat.codec.zarr_plugin import HVAECodec

    register_codec("adiabat.hvae", HVAECodec)
    serializer = {"name": "adiabat.hvae", "configuration": {"target": {"ratio": 100}, "model": path}}
    array = zarr.create_array(
        {}, shape=field.shape, chunks=(32, 64, CHANNELS), dtype="f4", compressors=None, serializer=serializer
    )
    array[:] = field
    codec = HVAE(target={"ratio": 100}, model=path)
    assert (bits(array[:32]) == bits(codec.decode(codec.encode(field[:32])))).all()
    assert array.nbytes_stored() < field.nbytes / 80
