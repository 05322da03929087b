"""Packages and static fields lent to this process: checked, found last, by hash alone, and never written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from adiabat.codec import ModelMismatchError, ModelNotFoundError, lending, models, package, statics

SHIPPED = (Path(models.__file__).parent / "pyramid.zip").read_bytes()
SHA256 = hashlib.sha256(SHIPPED).hexdigest()


@pytest.fixture(autouse=True)
def nowhere_else(cache, monkeypatch):
    """No package is in any folder."""
    monkeypatch.setattr(package, "packages", list)
    monkeypatch.setattr(package, "_packages", {})
    monkeypatch.setattr(models, "_loaded", {})
    lending.LENT.clear()
    yield
    lending.LENT.clear()
    assert not cache.exists()


def test_found_by_hash_alone():
    assert not lending.is_lent(SHA256)
    lending.lend(SHIPPED, SHA256)
    assert lending.is_lent(SHA256)
    for name in (SHA256, SHA256[:16], SHA256[:8]):
        assert package.find(name) == SHIPPED
    for name in ("pyramid", SHA256[:7], SHA256.upper(), f"{SHA256}.zip"):
        with pytest.raises(ModelNotFoundError):
            package.find(name)
    assert models.find_model(SHA256).sha256 == SHA256


def test_static_fields():
    data = statics.static_file(np.arange(12.0).reshape(3, 4))
    sha256 = hashlib.sha256(data).hexdigest()
    lending.lend(data, sha256)
    assert lending.is_lent(sha256)
    np.testing.assert_array_equal(statics.find_static(sha256), np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x93NUMPY", SHIPPED[:-1], b"\x93NUMPY" + bytes(99)])
def test_what_is_neither_is_refused(data):
    sha256 = hashlib.sha256(data).hexdigest()
    with pytest.raises(ModelMismatchError):
        lending.lend(data, sha256)
    assert not lending.is_lent(sha256)


def test_another_hash_is_refused():
    with pytest.raises(ModelMismatchError, match=f"SHA-256 of its name {'0' * 64}, got {SHA256}"):
        lending.lend(SHIPPED, "0" * 64)
    assert not lending.LENT
