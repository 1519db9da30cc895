"""Types of text formats are inferred from whole rows at the beginning of a file, and no more."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest

from copy_core.connectors.files import salvage
from copy_core.connectors.files.format import Input, format_of
from copy_core.connectors.options import CsvOptions, LocalOptions
from copy_core.errors import TerminalError

LINE = {"csv": b'%d,"some text"\n', "jsonl": b'{"id":%d,"text":"some text"}\n'}


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        Counted.total += len(data)
        return data


def columns(kind: Any, data: bytes, **says: Any) -> dict[str, str]:
    options = LocalOptions(type="local", root=".", format=kind, **says)
    file = Input(f"x.{kind}", lambda: pa.PythonFile(Counted(data), mode="r"))
    return {field.name: str(field.type) for field in format_of(options).schema(file)}


@pytest.mark.parametrize("bad_rows", ["fail", "skip"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_no_more_of_a_file_is_read_than_is_looked_at(
    kind: str, bad_rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "SAMPLE", 1 << 16)
    lines = b"".join(LINE[kind] % n for n in range(100_000))
    data = b"id,text\n" + lines if kind == "csv" else lines
    monkeypatch.setattr(Counted, "total", 0)
    assert columns(kind, data, bad_rows=bad_rows) == {"id": "int64", "text": "string"}
    assert Counted.total < 3 << 16 < len(data)


TEXTS = {
    "plain": b"id,text\n1,a\n2,b\n",
    "quoted": b'"id","te""xt"\n1,"a\nb,c"\n\n2,"x ""y"" z"\n',
    "marked": b'\xef\xbb\xbf"id",text\r\n1,a\r\n2,"b\r\nc"\r\n',
    "unended": b"id,text\n1,a\n2,b",
    "a long row": b"id,text\n1," + b"a" * 60 + b"\n2,b\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("header", [True, False])
def test_rows_are_looked_at_whole_wherever_the_beginning_ends(
    text: bytes, header: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = text if header else text[text.index(b"\n") + 1 :]
    names = ["id", 'te"xt' if b'te""xt' in text else "text"] if header else ["c0", "c1"]
    for size in range(1, len(body) + 2):
        monkeypatch.setattr(salvage, "SAMPLE", size)
        found = columns("csv", body, csv=CsvOptions(header=header))
        assert found == dict(zip(names, ["int64", "string"], strict=True)), size


def test_lines_are_looked_at_whole_wherever_the_beginning_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = '{"id":1,"text":"ü"}\n{"id":2,"text":null}'.encode()
    for size in range(1, len(text) + 2):
        monkeypatch.setattr(salvage, "SAMPLE", size)
        assert columns("jsonl", text) == {"id": "int64", "text": "string"}


def test_a_row_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "SAMPLE", 1 << 10)
    monkeypatch.setattr(salvage, "LONGEST_ROW", 1 << 14)
    with pytest.raises(TerminalError, match="quote that is never closed") as raised:
        columns("csv", b'id,text\n1,"' + b"a" * (1 << 16))
    assert raised.value.code == "bad-file"
