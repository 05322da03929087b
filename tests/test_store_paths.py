"""Paths within a store: the same however the group was written."""

from __future__ import annotations

import pytest

from adiabat.formats.store_paths import join_path


@pytest.mark.parametrize("group", ["a/b", "/a/b", "a/b/", "/a/b/"])
@pytest.mark.parametrize("child", ["", None, "/"])
def test_what_is_empty_is_left_out(group, child):
    assert join_path(group, child, "t") == "a/b/t"


@pytest.mark.parametrize("parts", [(), ("",), ("/",), (None, "", "/")])
def test_the_root_is_empty(parts):
    assert join_path(*parts) == ""
