"""Records are there whole or not at all, and say nothing that differs from run to run."""

from __future__ import annotations

import json

import pytest

from adiabat.formats.journal import (
    RECORDS,
    Journal,
    Record,
    by_array,
    digest_of,
    read_records,
    replace_file,
    write_records,
)


def record(block="t/0.0.0", size=10):
    return Record(block, (24, 8, 9), size, "00ff", 1728, 1700, 0.09, 0.9, 40.0, 3.5, 1e5)


def test_records_come_back(tmp_path):
    journal = Journal(tmp_path / "journal")
    some = [record(), record("t/24.0.0"), record("group/u/0.0.0")]
    for each in some:
        journal.keep(each)
    assert journal.read() == {each.block: each for each in some}
    journal.forget(some[1])
    assert set(journal.read()) == {"t/0.0.0", "group/u/0.0.0"}
    assert (some[1].array, some[1].start) == ("t", (24, 0, 0))
    assert (some[2].array, record("scalar/").start) == ("group/u", ())


@pytest.mark.parametrize("text", ["", "{", '{"block": "t/0"}', "[]", '{"block": "t/0", "stop": 3}'])
def test_what_is_no_record_counts_as_not_written(tmp_path, text):
    journal = Journal(tmp_path)
    journal.keep(record())
    (tmp_path / "t" / "24.0.0.json").write_text(text)
    assert set(journal.read()) == {"t/0.0.0"}


@pytest.mark.parametrize(
    "change",
    [
        {"block": 5}, {"block": "t/0.0"}, {"block": "t/a.0.0"}, {"stop": [1.5, 8, 9]}, {"stop": [-1, 8, 9]},
        {"files": 3},
        {"written_bytes": "10"}, {"values": True}, {"digest": None}, {"used": "0.9"}, {"max_error": None}, {"more": 1},
    ],
)  # fmt: skip
def test_records_of_other_types_are_none(change):
    line = json.dumps(json.loads(record().to_json()) | change)
    with pytest.raises((ValueError, TypeError)):
        Record.from_json(line)


def test_records_of_adiabat_0_8_have_no_marks_and_deep_json_is_refused():
    assert "files" not in json.loads(record().to_json())
    assert Record.from_json(record().to_json()) == record()
    assert (
        Record.from_json(json.dumps(json.loads(record().to_json()) | {"files": "0011223344556677"})).files[8:]
        == "44556677"
    )
    with pytest.raises(ValueError, match="deeply nested"):
        Record.from_json("[" * 100_000)


def test_a_record_under_the_name_of_another_block_is_none(tmp_path):
    journal = Journal(tmp_path)
    journal.keep(record())
    (tmp_path / "t" / "24.0.0.json").write_text(record().to_json())
    (tmp_path / "t" / "48.0.0.json").write_text(record("../../t/48.0.0").to_json())
    assert set(journal.read()) == {"t/0.0.0"}


def test_a_store_keeps_records_beside_each_array_in_order(tmp_path):
    write_records(tmp_path, [record("t/24.0.0"), record("u/0.0.0"), record("t/3.0.0")])
    lines = (tmp_path / "t" / RECORDS).read_text().splitlines()
    assert [json.loads(line)["block"] for line in lines] == ["t/3.0.0", "t/24.0.0"]
    assert set(read_records(tmp_path, ["t", "u", "absent"])) == {"t/3.0.0", "t/24.0.0", "u/0.0.0"}


@pytest.mark.parametrize("content", ["text\n", b"\xff\r\n\0"])
def test_a_file_is_replaced_by_text_or_bytes(tmp_path, content):
    replace_file(tmp_path / "folder" / "a", b"old")
    replace_file(tmp_path / "folder" / "a", content)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a"]
    assert (tmp_path / "folder" / "a").read_bytes() == (content if isinstance(content, bytes) else content.encode())


def test_by_array_keeps_the_order():
    some = by_array([record("t/24.0.0"), record("u/0.0.0"), record("t/3.0.0")])
    assert {name: [each.start[0] for each in records] for name, records in some.items()} == {"t": [24, 3], "u": [0]}


def test_a_file_that_cannot_be_replaced_stays(tmp_path):
    replace_file(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(tmp_path / "a", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_digests_know_no_order():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
