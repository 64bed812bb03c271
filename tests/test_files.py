import json
import os

import pytest

from spacy_dwe.errors import DweError
from spacy_dwe.files import (
    read_json_lines,
    read_lines,
    replacing,
    require_file,
    require_writable,
    write_json,
    write_jsonl,
    write_text,
    writing_jsonl,
)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_what_was_written_is_read_back(tmp_path, name):
    records = [{"id": "d", "text": "Кордова"}, {"id": "e"}]
    write_jsonl(tmp_path / "new" / name, records)
    assert list(read_json_lines(tmp_path / "new" / name)) == [*enumerate(records, 1)]


def test_a_file_is_written_completely_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    with pytest.raises(ZeroDivisionError), writing_jsonl(path) as write:
        write({"id": 1})
        1 / 0  # noqa: B018
    assert list(path.parent.iterdir()) == []
    write_jsonl(path, [{"id": "old"}])
    with pytest.raises(ValueError, match="JSON"):
        write_jsonl(path, [{"score": float("nan")}])
    assert list(read_json_lines(path)) == [(1, {"id": "old"})]
    assert list(path.parent.iterdir()) == [path]


def test_json_and_text(tmp_path):
    write_json(tmp_path / "a.json", {"n": 1})
    write_text(tmp_path / "a.html", "<p>Łódź")
    assert json.loads((tmp_path / "a.json").read_text()) == {"n": 1}
    assert (tmp_path / "a.html").read_text("utf-8") == "<p>Łódź"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_text() == "text"


def test_outputs_that_cannot_be_written_are_told_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path, "E005.*is a folder"),
        (tmp_path / "file" / "out.jsonl", r"E006.*out\.jsonl cannot be written"),
        (os.devnull, "E006.*cannot be written: it is no file"),
    ):
        with pytest.raises(DweError, match=reason), replacing(path):
            pytest.fail("the block begins")
        with pytest.raises(DweError, match=reason):
            require_writable(path)
    require_writable(tmp_path / "new" / "out.jsonl")
    assert list((tmp_path / "new").iterdir()) == []


def test_inputs_that_are_no_files(tmp_path):
    with pytest.raises(DweError, match="E005"):
        require_file(tmp_path)
    with pytest.raises(DweError, match=r"E001.*nothing\.jsonl"):
        require_file(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "Expecting"),
        ('{"a": "Łódź"}'.encode("iso-8859-2"), "not UTF-8 at byte 8"),
        (b'{"score": NaN}', "NaN is no number in JSON"),
        (b'{"text": "\\ud800 won"}', "half a surrogate pair"),
        (b"[" * 100_000, "too deeply nested"),
    ],
)
def test_lines_that_are_not_json(tmp_path, line, reason):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"face": "\\ud83d\\ude00"}\r\n\n' + line)
    lines = read_json_lines(path)
    assert next(lines) == (1, {"face": "😀"})
    with pytest.raises(DweError, match=rf"in\.jsonl, line 3: .*{reason}"):
        next(lines)


def test_damaged_gzip_files(tmp_path):
    path = tmp_path / "in.jsonl.gz"
    write_jsonl(path, ({"id": str(number)} for number in range(1000)))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[300] ^= 0xFF
    for data in (whole[:-12], whole[3:], bytes(damaged)):
        path.write_bytes(data)
        with pytest.raises(DweError, match=r"in\.jsonl\.gz|not UTF-8"):
            list(read_json_lines(path))


def test_lines_of_text(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes("\ufeffQ1 \r\n\n Q2".encode())
    assert list(read_lines(path)) == [(1, "Q1"), (3, "Q2")]
    path.write_bytes("Q1\nQ\xfc\n".encode("latin-1"))
    with pytest.raises(DweError, match=r"E003.*ids\.txt.*2.*not UTF-8 at byte 2"):
        list(read_lines(path))


def test_an_output_is_none_of_the_inputs(tmp_path):
    path = tmp_path / "entities.jsonl"
    path.write_text("{}")
    with pytest.raises(DweError, match="E235"):
        require_writable(path, None, tmp_path / "nowhere", path)
    assert path.read_text() == "{}"
