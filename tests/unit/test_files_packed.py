"""Packed files and other encodings: the same rows, or an error that names the file."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_core.connectors.files.format import Format, format_of
from copy_core.connectors.options import CsvOptions, LocalOptions
from copy_core.errors import ConfigError, TerminalError
from tests.unit.test_files_formats import get, given_file, put

ROWS = pa.table({"id": range(20_000), "text": [f"some text, {n * 7919}" for n in range(20_000)]})
# With what their text may hold.
ENCODINGS = {
    "utf-8": None,
    "utf-8-sig": None,
    "utf-16": None,
    "utf-16-be": None,
    "utf-32": None,
    "gb18030": None,
    "windows-1252": "cp1252",
    "shift_jis": "shift_jis",
}


def of(**says: Any) -> Format:
    return format_of(LocalOptions(type="local", root=".", **says))


def in_encoding(encoding: str) -> Format:
    types = {"id": "int64", "text": "string"}
    return of(format="csv", csv=CsvOptions(encoding=encoding), types=types)


@pytest.mark.parametrize("packing", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_packed_text_is_what_others_unpack(
    kind: str, packing: Literal["none", "gzip", "zstd"], tmp_path: Path
) -> None:
    written = of(format=kind, compression=packing)
    ending = {"none": "", "gzip": ".gz", "zstd": ".zst"}[packing]
    assert written.extension == f".{kind}{ending}"
    path = tmp_path / f"x{written.extension}"
    put(path, written, ROWS, batch=3000)
    assert written.owns(path.name)
    with duckdb.connect() as reader:
        look = reader.read_csv if kind == "csv" else reader.read_json
        found = look(str(path), compression=packing).to_arrow_table()
    assert found.to_pylist() == ROWS.to_pylist()
    if packing == "gzip":
        assert gzip.decompress(path.read_bytes()).count(b"\n") == len(ROWS) + (kind == "csv")


@pytest.mark.parametrize("packing", [None, "none", "snappy", "gzip", "zstd"])
def test_parquet_is_packed_as_the_connection_says(packing: str | None, tmp_path: Path) -> None:
    written = of(compression=packing)
    assert written.extension == ".parquet"
    put(tmp_path / "x.parquet", written, ROWS)
    group = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    expected = {None: "SNAPPY", "none": "UNCOMPRESSED"}.get(packing) or str(packing).upper()
    assert {group.column(n).compression for n in range(2)} == {expected}


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_was_not_written_yet_is_forgotten(packing: str) -> None:
    written = of(format="csv", compression=packing)
    sink = pa.BufferOutputStream()
    writer = written.writer(sink, ROWS.schema)
    writer.write(ROWS.to_batches()[0].slice(0, 10))
    before = sink.tell()
    writer.abandon()
    del writer
    assert sink.tell() == before


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_a_sink_refuses_is_told_as_it_is(kind: str, packing: str) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _: Any) -> int:
            raise ConfigError("the disk is full")

    with pytest.raises(ConfigError, match="full"):
        put_into(pa.PythonFile(Full(), mode="w"), of(format=kind, compression=packing))


def put_into(sink: pa.NativeFile, written: Format) -> None:
    writer = written.writer(sink, ROWS.schema)
    try:
        for batch in ROWS.to_batches():
            writer.write(batch)
        writer.close()
    finally:
        writer.abandon()


@pytest.mark.parametrize("keep", [0, 1, 12, 2000, -20_000, -9, -1])
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_truncated_packed_file_is_told_by_name(
    kind: str, packing: str, keep: int, tmp_path: Path
) -> None:
    written = of(format=kind, compression=packing, types={"id": "int64", "text": "string"})
    whole = tmp_path / f"whole{written.extension}"
    put(whole, written, ROWS)
    file = given_file(tmp_path / f"cut{written.extension}", whole.read_bytes()[:keep])
    with pytest.raises(TerminalError) as raised:
        get(written, file)
    assert (raised.value.code, raised.value.where["file"]) == ("bad-file", file.name)


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2"])
def test_a_file_that_is_not_packed_as_its_name_says_is_told_by_name(
    ending: str, tmp_path: Path
) -> None:
    file = given_file(tmp_path / f"x.csv{ending}", "a\n1\n" * 999)
    with pytest.raises(TerminalError) as raised:
        get(of(format="csv"), file)
    assert (raised.value.code, raised.value.where) == ("bad-file", {"file": file.name})


def texts(encoding: str) -> st.SearchStrategy[str]:
    codec = ENCODINGS[encoding]
    # Of two signs, Python's Shift JIS makes others when it reads them.
    odd = "\r\n\0¥‾"
    if codec:
        return st.text(st.characters(codec=codec, exclude_characters=odd), max_size=9)
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters=odd), max_size=9)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_text_of_any_encoding_is_read(encoding: str, data: st.DataObject) -> None:
    said = data.draw(st.lists(texts(encoding), min_size=1, max_size=9))
    # The first one's length moves the others over the ends of the pieces that are read.
    said.append("x" * data.draw(st.sampled_from([0, 65_517, 131_050])))
    text = "".join(
        ["id,text\n", *(f'{n},"{t.replace(chr(34), chr(34) * 2)}"\n' for n, t in enumerate(said))]
    )
    with tempfile.TemporaryDirectory() as folder:
        file = given_file(Path(folder, "x.csv"), text.encode(encoding))
        found = get(in_encoding(encoding), file)
    assert found.to_pylist() == [{"id": n, "text": t} for n, t in enumerate(said)]


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "shift_jis"])
def test_letters_on_the_ends_of_pieces_stay_whole(
    encoding: str, ending: str, tmp_path: Path
) -> None:
    said = [("い" * (n % 7) + "ろ" * (n % 3) + "x" * (n % 2)) for n in range(40_000)]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows(
        [("id", "text"), *enumerate(said)]
    )
    data = buffer.getvalue().encode(encoding)
    file = given_file(tmp_path / f"x.csv{ending}", gzip.compress(data, 1) if ending else data)
    assert get(in_encoding(encoding), file)["text"].to_pylist() == said


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_the_mark_of_utf_16_tells_the_order_of_its_bytes(mark: bytes, tmp_path: Path) -> None:
    order = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    file = given_file(tmp_path / "x.csv", mark + "id,text\n1,Zürich\n".encode(order))
    for encoding in ("utf-16", order):
        assert get(in_encoding(encoding), file).to_pylist() == [{"id": 1, "text": "Zürich"}]


# The encoding, the text, and the line and byte that cannot be decoded.
LONG = "id,text\n" + "1,Zürich\n" * 20_000
DAMAGED = [
    ("windows-1252", LONG.encode("cp1252") + b"2,\x81\n", 20_002, len(LONG) + 3),
    ("ascii", b"id,text\n1,a\n2,\xff\n", 3, 15),
    ("utf-16", LONG.encode("utf-16")[:-1], 20_001, 2 * len(LONG) + 2),
    ("shift_jis", b"id,text\n1,a\n2,\x83", 3, 16),
]


@pytest.mark.parametrize(("encoding", "data", "line", "byte"), DAMAGED, ids=lambda v: str(v)[:12])
def test_bytes_that_stand_for_nothing_are_told_with_their_place(
    encoding: str, data: bytes, line: int, byte: int, tmp_path: Path
) -> None:
    file = given_file(tmp_path / "x.csv", data)
    with pytest.raises(TerminalError, match=f"byte {byte} is no text in {encoding}") as raised:
        get(in_encoding(encoding), file)
    assert raised.value.code == "bad-encoding"
    assert raised.value.where == {"file": "x.csv", "line": str(line)}


@pytest.mark.parametrize("encoding", ["no such", "base64", "rot13", "undefined"])
def test_what_is_no_encoding_of_text_is_refused(encoding: str) -> None:
    with pytest.raises(ConfigError, match=encoding) as raised:
        in_encoding(encoding)
    assert raised.value.code == "encoding-unknown"


def test_files_that_their_own_connection_could_not_read_are_not_written() -> None:
    with pytest.raises(ConfigError, match="UTF-8") as raised:
        in_encoding("utf-16").writer(pa.BufferOutputStream(), ROWS.schema)
    assert raised.value.code == "encoding-written"
