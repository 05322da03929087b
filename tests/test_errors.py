"""One base, and every error says who must act."""

from __future__ import annotations

import pytest

from adiabat.codec import errors


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "AdiabatError"])
def test_one_base_and_an_actor(name):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.AdiabatError)
    assert "must act" in kind.__doc__
