"""What is told of model packages, against the files themselves."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from adiabat.codec import models
from adiabat.codec.package import unpack
from adiabat.formats.model_zoo import CARD_ROWS, card_of, entries, read_card

FOLDER = Path(models.__file__).parent
CARDS = sorted(FOLDER.glob("*.md"))
README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)


def test_every_package_has_a_card_and_every_card_a_package():
    assert {path.stem for path in CARDS} == {path.stem for path in FOLDER.glob("*.zip")}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_cards_say_what_the_file_is(path):
    facts = read_card(path.read_text())
    package = path.with_suffix(".zip").read_bytes()
    sha256 = hashlib.sha256(package).hexdigest()
    assert facts["SHA-256"] == f"`{sha256}`"
    assert int(re.match(r"[\d ]+", facts["size"])[0].replace(" ", "")) == len(package)
    assert facts["licence"].startswith("BSD-3-Clause")
    assert ("codec" in facts) != ("used by" in facts)
    assert card_of(sha256) == path.read_text()
    count = re.match(r"(\d+) variables", facts["data"])
    variables = unpack(package).manifest.get("variables")
    if count and variables is not None:
        assert int(count[1]) == (variables if isinstance(variables, int) else len(variables))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_figures_of_gain_stand_elsewhere_too(path):
    """In what a command printed: the card itself below its table, the README, or a page of the guide."""
    facts = read_card(path.read_text())
    guide = "".join(page.read_text() for page in (Path(__file__).parents[1] / "spec" / "guide").glob("*.md"))
    elsewhere = path.read_text().partition("| licence |")[2] + README + guide
    figures = re.findall(r"\d+\.\d+", facts["gain"])
    assert figures or "none stated" in facts["gain"]
    assert all(figure in elsewhere for figure in figures)


def test_entries_are_the_files():
    found = {entry.name: entry for entry in entries()}
    assert set(found) == {path.stem for path in FOLDER.glob("*.zip")}
    for name, entry in found.items():
        data = (FOLDER / f"{name}.zip").read_bytes()
        assert entry.bytes == len(data)
        if entry.problem is None:
            assert entry.sha256 == hashlib.sha256(data).hexdigest()
            assert entry.kind == unpack(data).kind
            assert entry.licence == "BSD-3-Clause"
            assert entry.gain != "-"
        assert entry.place == "shipped"
    json.dumps([entry.as_dict() for entry in found.values()])


def renamed(data, **changes):
    """The same package with another manifest."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            part = old.read(entry)
            if entry.filename == "manifest.json":
                part = json.dumps({**json.loads(part), **changes}).encode()
            new.writestr(entry.filename, part)
    return out.getvalue()


def test_what_was_added_says_what_its_manifest_knows(tmp_path):
    data = renamed((FOLDER / "pyramid.zip").read_bytes(), name="mine", variables=["a", "b"], left_out=["c"])
    (tmp_path / "mine.zip").write_bytes(data)
    kept = models.add(tmp_path / "mine.zip")
    (entry,) = [entry for entry in entries() if entry.place == "added"]
    assert (entry.name, entry.kind, entry.data) == ("mine", "pyramid", "2 variables, without c")
    assert (entry.gain, entry.licence) == ("-", "-")
    assert entry.as_dict()["gain"] is None
    assert entry.file == str(kept)
    assert card_of(entry.sha256) is None


def test_a_copy_of_a_shipped_one_has_its_card():
    models.add(FOLDER / "pyramid.zip")
    (entry,) = [entry for entry in entries() if entry.place == "added"]
    assert entry.gain.startswith("1.351 times")


def test_broken_and_foreign_files(tmp_path, monkeypatch):
    (tmp_path / "broken.zip").write_bytes(b"garbage")
    (tmp_path / "field.npy").write_bytes(b"12345")
    monkeypatch.setenv("ADIABAT_MODELS", str(tmp_path))
    broken, *_ = entries()
    assert (broken.name, broken.kind, broken.place) == ("broken", "broken", "ADIABAT_MODELS")
    assert "not a model package" in broken.problem
    assert [entry.name for entry in entries() if entry.kind == "static field"] == ["static field"]


ROWS = "".join(f"| {name} | x |\n" for name in CARD_ROWS)
HEAD = "# Model card: `a.zip`\n\n| | |\n|---|---|\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# Card\n", "expected a first line like"),
        ("# Model card: `a.zip`\n", "expected a table"),
        (HEAD + "| SHA-256 |\n", r"expected a row \| name \| fact \|"),
        (HEAD + ROWS + ROWS, "with a new name"),
        (HEAD + ROWS.replace("| gain | x |\n", ""), "none called 'gain'"),
    ],
)
def test_cards_are_read_strictly(text, problem):
    with pytest.raises(ValueError, match=problem):
        read_card(text)


def test_text_after_the_table_is_no_fact():
    assert read_card(HEAD + ROWS + "\n| other | table |\n") == dict.fromkeys(CARD_ROWS, "x")
