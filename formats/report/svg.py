"""A matplotlib figure as SVG to stand inside a page: in the colour of its text, without outside addresses or stray ids.

Stage: figures -> **svg** -> page.
"""

from __future__ import annotations

import base64
import io
import re
from typing import Any
from xml.etree import ElementTree

__all__ = ["INK", "to_svg"]

INK = "#010203"  # stands for the colour of the page's text, light or dark
_LINK = "{http://www.w3.org/1999/xlink}href"  # as matplotlib writes it; the page has plain href
_UNUSED = ("metadata", "title", "desc")


def to_svg(figure: Any, alt: str, prefix: str) -> str:
    """Draw a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What has the colour `INK` takes that of the page's text.
    alt : str
        What it shows, for who does not see it.
    prefix : str
        That no other figure of the page has: letters, digits and hyphens.

    Returns
    -------
    str
        One element ``svg``; images within are lossless WebP.

    Examples
    --------
    >>> import pytest; matplotlib = pytest.importorskip("matplotlib.figure")
    >>> drawn = to_svg(matplotlib.Figure(), "nothing at all", "f1")
    >>> drawn.startswith("<svg"), "http" in drawn
    (True, False)
    """
    import matplotlib

    buffer = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "svg.id": None}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    _rename(root, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": alt}
    text = ElementTree.tostring(root, encoding="unicode")
    text = text.replace(INK, "currentColor")
    return re.sub(r">\s+<", "><", text)


def _strip(element: ElementTree.Element) -> None:
    """Names without their namespaces; nothing that is not drawn; images smaller."""
    element.tag = element.tag.rpartition("}")[2]
    link = element.attrib.pop(_LINK, None)
    if link is not None:
        element.attrib["href"] = _smaller(link) if link.startswith("data:image/png") else link
    if element.tag == "style":  # one rule for all figures stands in the page
        element.text = ""
    element.attrib.pop("type", None)
    for child in list(element):
        if child.tag.rpartition("}")[2] in (*_UNUSED, "style"):
            element.remove(child)
        else:
            _strip(child)


def _smaller(link: str) -> str:
    """The same pixels, as lossless WebP."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2])))
    buffer = io.BytesIO()
    picture.convert("RGBA").save(buffer, "WEBP", lossless=True, quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Keep ids that something refers to, and make them the page's only ones."""
    text = ElementTree.tostring(root, encoding="unicode")
    wanted = {*re.findall(r"url\(#([^)]+)\)", text), *re.findall(r'href="#([^"]+)"', text)}
    names = {name: f"{prefix}-{number}" for number, name in enumerate(sorted(wanted))}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in names:
            element.attrib["id"] = names[own]
        for key, value in element.attrib.items():
            if key == "href" and value.startswith("#"):
                element.attrib[key] = f"#{names[value[1:]]}"
            elif "url(#" in value:
                element.attrib[key] = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names[m[1]]})", value)
