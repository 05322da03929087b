"""The page made from docstrings has every public name, what it takes and what it says."""

from __future__ import annotations

import inspect
import sys

import pytest

from adiabat.formats.api_reference import PACKAGES, main, public_modules, public_names, reference


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("griffe", reason="the reference is made with griffe")
    return reference()


def test_every_public_name_is_in_it(page):
    lines = set(page.splitlines())
    missing = [f"{module}.{name}" for module in public_modules() for name in public_names(module)]
    assert len(missing) > 400
    assert [name for name in missing if f"### {name}" not in lines] == []


def test_modules_are_listed_and_linked(page):
    for module in public_modules():
        assert f"[`{module}`](#{module.replace('.', '')})" in page
        assert f"\n## {module}\n" in page


def test_parameters_and_examples_stand_in_it(page):
    part = page.partition("### adiabat.codec.Pyramid\n")[2].partition("\n### ")[0]
    from adiabat.codec import Pyramid

    for name in inspect.signature(Pyramid).parameters:
        assert f"\n- `{name}`" in part
    assert "tune: str = 'bytes'" in part
    assert '- `bound`, {"abs": x}' in part
    assert ">>> codec = Pyramid(bound={" in part
    assert "**`.encode(self, array: ArrayLike, *, context: ChunkContext | None = None) -> bytes`**" in part


def test_it_is_the_same_each_time_and_names_no_machine(page):
    assert reference() == page
    assert " at 0x" not in page
    for word in ("http://", "/tmp/", "/work/", sys.prefix):
        assert word not in page


def test_every_permanent_name_has_a_docstring():
    for package in PACKAGES:
        module = sys.modules[package]
        assert all((inspect.getdoc(getattr(module, name)) or "").strip() for name in public_names(package))


def test_written_to_a_file(page, tmp_path):
    main([str(tmp_path / "api.md")])
    assert (tmp_path / "api.md").read_text(encoding="utf-8") == page


def test_without_griffe(monkeypatch):
    monkeypatch.setitem(sys.modules, "griffe", None)
    with pytest.raises(ImportError, match=r"pip install 'adiabat\[docs\]'"):
        reference()
