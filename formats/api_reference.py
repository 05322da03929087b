"""The API reference as one page of Markdown, made from docstrings: ``python -m adiabat.formats.api_reference api.md``.

Stage: documentation. First the two packages whose names are permanent, then every module of them that says with
``__all__`` what it offers. griffe reads the docstrings; nothing is written down twice.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["PACKAGES", "public_modules", "public_names", "reference"]

PACKAGES = ("adiabat.codec", "adiabat.formats")  # their `__all__` is permanent
BRACES = str.maketrans("{}", "\ue000\ue001")  # griffe takes what stands in them for a choice of values
BACK = str.maketrans("\ue000\ue001", "{}")
TITLE = "# API reference\n\nMade from docstrings by `python -m adiabat.formats.api_reference`.\n"


def public_modules() -> list[str]:
    """The two packages, then each of their modules with an `__all__`.

    Examples
    --------
    >>> public_modules()[:2]
    ['adiabat.codec', 'adiabat.formats']
    """
    return [*PACKAGES, *sorted(_modules())]


def public_names(module: str) -> list[str]:
    """What a module offers, in the order of its `__all__`."""
    return list(dict.fromkeys(importlib.import_module(module).__all__))


def reference() -> str:
    """The page.

    Raises
    ------
    ImportError
        Without griffe.
    """
    modules = public_modules()
    contents = [f"- [`{name}`](#{_anchor(name)}): {_first_line(importlib.import_module(name))}" for name in modules]
    return "\n".join([TITLE, *contents, "", *(_module(name) for name in modules)])


def _modules() -> Iterator[str]:
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            if not found.name.rpartition(".")[2].startswith("_") and hasattr(_imported(found.name), "__all__"):
                yield found.name


def _imported(name: str) -> ModuleType | None:
    """The module; None where an optional library that it needs is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _anchor(name: str) -> str:
    """As Markdown's readers make it of a heading."""
    return re.sub(r"[^\w-]", "", name.lower().replace(" ", "-"))


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _module(name: str) -> str:
    module = importlib.import_module(name)
    text = inspect.getdoc(module) or ""
    return "\n".join([f"## {name}\n", _sections(text, 0), *(_object(module, each) for each in public_names(name))])


def _object(module: ModuleType, name: str) -> str:
    """One public name: a function, a class, or a value."""
    thing = getattr(module, name)
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return f"### {module.__name__}.{name}\n\n```python\n{name} = {_value(thing)}\n```\n"
    home = "" if thing.__module__ == module.__name__ else f"\nDefined in `{thing.__module__}`.\n"
    kind = "class " if inspect.isclass(thing) else ""
    head = f"### {module.__name__}.{name}\n\n```python\n{kind}{name}{_signature(thing)}\n```\n{home}"
    methods = [] if not inspect.isclass(thing) else [_method(thing, each) for each in _own_methods(thing)]
    return "\n".join([head, _sections(inspect.getdoc(thing) or "", 1), *methods, ""])


def _value(thing: Any) -> str:
    """A constant or an alias, shortened; nothing that differs from run to run."""
    said = re.sub(r" at 0x[0-9a-f]+", "", repr(thing))
    return said if len(said) <= 100 else f"{said[:97]}..."


def _signature(thing: Any) -> str:
    try:
        said = str(inspect.signature(thing))
    except (TypeError, ValueError):  # built in
        return "(...)"
    said = re.sub(r"(: |-> )'([^']*)'", r"\1\2", said)  # annotations that are not evaluated
    return re.sub(r" at 0x[0-9a-f]+", "", said)


def _own_methods(kind: type) -> list[str]:
    """Public methods and properties that have a docstring, of the class itself."""
    return [
        name
        for name, member in vars(kind).items()
        if not name.startswith("_") and getattr(member, "__doc__", None) and _documents(member)
    ]


def _documents(member: Any) -> bool:
    return inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod)


def _method(kind: type, name: str) -> str:
    member = inspect.getattr_static(kind, name)
    text = inspect.getdoc(getattr(kind, name)) or inspect.getdoc(member) or ""
    signature = "" if isinstance(member, property) else _signature(getattr(kind, name))
    return f"**`.{name}{signature}`**\n\n{_sections(text, 1)}"


def _sections(text: str, depth: int) -> str:
    """A docstring in Markdown; without sections of its own (a module's) it stays as it is."""
    if depth == 0:
        return f"{_fenced(text)}\n"
    try:
        from griffe import Docstring
    except ImportError as error:
        raise ImportError("the reference is made with griffe: pip install 'adiabat[docs]'") from error
    sections = Docstring(text.translate(BRACES)).parse("numpy", warnings=False)
    return "".join(f"{_section(section)}\n" for section in sections).translate(BACK)


def _fenced(text: str) -> str:
    """Diagrams, which are indented, as they stand."""
    return re.sub(r"(?<=\n\n)((?: {4}.*\n?|\n)+)", lambda found: f"```text\n{found[1].rstrip()}\n```\n", text)


def _section(section: Any) -> str:
    kind, value = section.kind.value, section.value
    if kind == "text":
        return f"{_fenced(value)}\n"
    if kind == "examples":
        return "".join(f"```python\n{part}\n```\n" if of.value == "examples" else f"{part}\n" for of, part in value)
    title = section.title or kind.capitalize()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{title}:\n\n" + "".join(_item(each) for each in value)
    return f"{title}: {getattr(value, 'description', value)}\n"


def _item(item: Any) -> str:
    """A parameter, a value returned or an error, as an item of a list."""
    name = getattr(item, "name", "") or ""
    annotation = str(getattr(item, "annotation", None) or "")
    head = f"`{name}`" if name else ""
    head += f"{', ' if head else ''}{annotation}" if annotation else ""
    description = " ".join(str(item.description or "").split())
    return f"- {head}{': ' if head and description else ''}{description}\n"


def main(arguments: Sequence[str]) -> None:
    """Write the page to the file that is named, or print it."""
    page = reference()
    if arguments:
        Path(arguments[0]).write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main(sys.argv[1:])
