"""Job files: what loads, what is refused, and how the refusal reads."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_core.connectors.options import DeltaOptions, LocalOptions, SqliteOptions
from copy_core.errors import ConfigError
from copy_core.jobfile import JobFileError, Loaded, json_schema, load

SHOP = """\
name: shop
source: shop
destination: lake
connections:
  shop: {type: sqlite, path: shop.db}
  lake: {type: delta, root: ./lake}
tables:
  - source: orders
    mode: incremental
    incremental_column: modified
    write: upsert
    keys: [id]
    lookback: 15m
    columns: [id, modified, {name: total, rename: amount, cast: "decimal(18,2)"}]
    filter:
      - {column: country, op: in, value: [DE, NO]}
      - {column: placed, op: ">=", value: 2024-01-01}
    audit: {copied_at: extracted_at, site: {value: north}}
  - source: customers
    write: overwrite
schedules:
  - {cron: "0 */5 * * * *", timezone: Europe/Berlin}
limits: {parallel_tables: 2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "shop.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def job(tables: str = "", **more: str) -> str:
    """A job file of the given tables and further top-level lines, on connections of its own."""
    lines = {
        "name": "shop",
        "source": "shop",
        "destination": "lake",
        "connections": "{shop: {type: memory}, lake: {type: memory}}",
        "tables": tables or "[{source: orders}]",
    }
    return "".join(f"{key}: {value}\n" for key, value in (lines | more).items())


def refused(folder: Path, text: str | bytes, name: str = "shop.yaml") -> list[str]:
    """The problems of a file, without the folder's name."""
    with pytest.raises(JobFileError) as caught:
        load(write(folder, text, name))
    lines = str(caught.value).splitlines()
    assert lines == [str(p) for p in caught.value.problems]
    return [line.replace(f"{folder}/", "") for line in lines]


def only(folder: Path, text: str | bytes, name: str = "shop.yaml") -> str:
    problems = refused(folder, text, name)
    assert len(problems) == 1, problems
    return problems[0]


# What loads


def test_a_whole_job_loads(folder: Path) -> None:
    loaded = load(write(folder, SHOP))
    orders, customers = loaded.job.tables
    assert orders.lookback == timedelta(minutes=15)
    assert [(c.name, c.rename, c.cast) for c in orders.columns or ()][-1] == (
        "total",
        "amount",
        "decimal(18,2)",
    )
    assert (customers.mode, customers.write, customers.destination) == (
        "full",
        "overwrite",
        "customers",
    )
    assert loaded.job.limits.parallel_tables == 2


def test_json_gives_the_same_job_as_yaml(folder: Path) -> None:
    data = yaml.load(SHOP, Loader=yaml.BaseLoader)
    data["limits"]["parallel_tables"] = 2
    for indent in (None, 2, "\t"):
        path = write(folder, json.dumps(data, indent=indent), "shop.json")
        assert load(path) == load(write(folder, SHOP))


def test_json_strings_arrive_as_they_are(folder: Path) -> None:
    names = ["\U0001f600", "tab\there", "a\\/\"b'", "nul\x00", "\x7f\x85\u2028", "#:{}[]&*!|>%@"]
    data = yaml.load(job(), Loader=yaml.BaseLoader)
    data["tables"] = [{"source": name} for name in names]
    for ascii_only in (True, False):
        path = write(folder, json.dumps(data, ensure_ascii=ascii_only, indent="\t"), "j.json")
        assert [t.source for t in load(path).job.tables] == names


def test_plain_words_mean_what_json_means(folder: Path) -> None:
    words = "on yes no 2024-01-01 2024-01-01T10:00:00Z 12:30 007 0x1F 1_000 .inf NaN +5 1. <<"
    values = "true, False, 12, -3, 1.5, 1e3, '5', !!str 6"
    text = job(
        f"""
  - source: orders
    filter:
      - {{column: a, op: in, value: [{", ".join(words.split())}]}}
      - {{column: a, op: in, value: [{values}]}}"""
    )
    texts, others = load(write(folder, text)).job.tables[0].filter
    assert texts.value == words.split()
    assert isinstance(others.value, list)
    assert [(v, type(v)) for v in others.value] == [
        (True, bool),
        (False, bool),
        (12, int),
        (-3, int),
        (1.5, float),
        (1000.0, float),
        ("5", str),
        ("6", str),
    ]


def test_anchors_and_merge_keys_work(folder: Path) -> None:
    text = job(
        """
  - &base {source: a, mode: incremental, incremental_column: m, write: upsert}
  - {<<: *base, source: b, write: append}
  - {<<: [{write: append}, *base], source: c}"""
    )
    tables = load(write(folder, text)).job.tables
    assert [(t.source, t.mode, t.write) for t in tables] == [
        ("a", "incremental", "upsert"),
        ("b", "incremental", "append"),
        ("c", "incremental", "append"),
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(folder: Path) -> None:
    windows = b"\xef\xbb\xbf" + SHOP.replace("\n", "\r\n").encode()
    assert load(write(folder, windows)) == load(write(folder, SHOP))


# Connections


def test_relative_paths_are_meant_from_the_file_that_says_them(folder: Path) -> None:
    (folder / "shared").mkdir()
    elsewhere = write(
        folder, "connections:\n  lake: {type: delta, root: lake}", "shared/connections.yaml"
    )
    text = job(connections="{shop: {type: sqlite, path: shop.db}}")
    found = load(write(folder, text), connections=elsewhere).connections
    assert found["shop"] == SqliteOptions(type="sqlite", path=str(folder / "shop.db"))
    assert found["lake"] == DeltaOptions(type="delta", root=str(folder / "shared" / "lake"))


@pytest.mark.parametrize("name", ["connections.yaml", "connections.yml", "connections.json"])
def test_connections_beside_the_job_file_are_found(folder: Path, name: str) -> None:
    write(folder, '{"connections": {"lake": {"type": "local", "root": "out"}}}', name)
    text = job(connections="{shop: {type: memory}}")
    assert isinstance(load(write(folder, text)).connections["lake"], LocalOptions)


def test_a_named_connections_file_stands_instead_of_the_one_beside(folder: Path) -> None:
    write(folder, "connections: {lake: {type: nonsense}}", "connections.yaml")
    other = write(folder, "connections: {lake: {type: memory}}", "other.yaml")
    loaded = load(write(folder, job(connections="{shop: {type: memory}}")), connections=other)
    assert set(loaded.connections) == {"shop", "lake"}


def test_one_name_in_two_files_is_refused(folder: Path) -> None:
    write(folder, "connections:\n  lake: {type: memory}", "connections.yaml")
    assert only(folder, job()) == (
        "connections.yaml:2:3: connections.lake: there is a connection of this name in shop.yaml"
        " already; rename or remove one of them"
    )


def test_problems_of_both_files_come_at_once(folder: Path) -> None:
    write(folder, "conections: {}\n", "connections.yaml")
    assert refused(folder, job(nmae="x")) == [
        "shop.yaml:6:1: nmae: unknown key; did you mean 'name'?",
        "connections.yaml:1:1: connections: is missing",
        "connections.yaml:1:1: conections: unknown key; did you mean 'connections'?",
    ]


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        (
            "{type: sqllite, path: x}",
            (
                "4:28: connections.shop.type: there is no such type of connection;"
                " did you mean 'sqlite'?"
            ),
        ),
        (
            "{type: 5}",
            (
                "4:28: connections.shop.type: there is no such type of connection;"
                " known: adls_gen2, azure_blob, azure_sql, azure_sql_mi, delta, fabric_lakehouse,"
                " fabric_lakehouse_files, fabric_warehouse, local, memory, rds_sql_server, s3,"
                " sql_server, sqlite"
            ),
        ),
        (
            "{path: x}",
            (
                "4:21: connections.shop.type: is missing; known: adls_gen2, azure_blob, azure_sql,"
                " azure_sql_mi, delta, fabric_lakehouse, fabric_lakehouse_files, fabric_warehouse,"
                " local, memory, rds_sql_server, s3, sql_server, sqlite"
            ),
        ),
        ("text", "4:21: connections.shop: must be a mapping with a type"),
        (
            "{type: sqlite, pth: x, path: y}",
            "4:36: connections.shop.pth: unknown key; did you mean 'path'?",
        ),
        (
            "{type: local, root: x, format: parket}",
            (
                "4:52: connections.shop.format: must be 'parquet', 'csv', 'jsonl' or 'binary';"
                " did you mean 'parquet'?"
            ),
        ),
        (
            "{type: local, root: x, csv: {headr: true}}",
            "4:50: connections.shop.csv.headr: unknown key; did you mean 'header'?",
        ),
        (
            "{type: local, root: x, format: csv, compression: snappy}",
            "4:70: connections.shop.compression: text is packed with gzip or zstd, or not at all",
        ),
        (
            "{type: s3, bucket: x, compression: snappy, format: jsonl}",
            "4:56: connections.shop.compression: text is packed with gzip or zstd, or not at all",
        ),
        (
            "{type: local, root: x, bad_rows: skip}",
            "4:54: connections.shop.bad_rows: skip leaves out lines: it is for `format: csv` and",
        ),
        (
            "{type: local, root: x, format: binary, bad_rows: skip}",
            "4:70: connections.shop.bad_rows: skip leaves out lines: it is for `format: csv` and",
        ),
        *(
            (
                f"{{type: local, root: x, format: csv, csv: {{delimiter: {written}}}}}",
                "4:74: connections.shop.csv.delimiter: must be a character of ASCII, and no quote",
            )
            for written in ("é", "'\"'", r'"\n"', r'"\r"', r'"\0"')
        ),
        (
            "{type: local, root: x, types: {a: itn}}",
            "4:55: connections.shop.types.a: there is no type 'itn'; use one of int8, int16,",
        ),
    ],
)
def test_wrong_connections(folder: Path, connection: str, problem: str) -> None:
    text = job(connections=f"{{shop: {connection}, lake: {{type: memory}}}}")
    assert only(folder, text).startswith(f"shop.yaml:{problem}")


def test_a_secret_written_down_is_refused_and_never_shown(folder: Path) -> None:
    text = job(
        connections="{shop: {type: memory}, lake: {type: delta, root: x,"
        " storage: {account_key: hunter2hunter2}}}"
    )
    problem = only(folder, text)
    assert "write ${env:NAME} instead" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("mark", ["!", "*", "@", "%", "`", "&", "|"])
def test_a_secret_that_looks_like_yaml_is_never_shown(folder: Path, mark: str) -> None:
    text = job(
        connections=f"\n  shop: {{type: memory}}\n  lake: {{type: delta, root: x, storage:"
        f" {{account_key: {mark}hunter2hunter2 }}}}"
    )
    assert "hunter2" not in "".join(refused(folder, text))


@pytest.mark.parametrize(
    ("connections", "fix"),
    [
        ("{shops: {type: memory}, lake: {type: memory}}", "did you mean 'shops'?"),
        ("{zzzzz: {type: memory}, lake: {type: memory}}", "known: lake, zzzzz"),
        ("{}", "define it under connections, here or in connections.yaml beside this file"),
    ],
)
def test_an_unknown_connection(folder: Path, connections: str, fix: str) -> None:
    problem = refused(folder, job(connections=connections))[0]
    assert problem == f"shop.yaml:2:9: source: there is no connection 'shop'; {fix}"


def test_a_connection_that_is_wrong_is_not_called_unknown(folder: Path) -> None:
    text = job(connections="{shop: {type: memory, nme: x}, lake: {type: memory}}")
    assert "nme: unknown key" in only(folder, text)


def test_names_are_not_called_unknown_while_their_file_cannot_be_read(folder: Path) -> None:
    write(folder, "connections: [", "connections.yaml")
    assert only(folder, job(connections="{}")).startswith("connections.yaml:2:1: not valid YAML")


# Files that are no job files


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "shop.yaml: the file is empty"),
        ("# nothing\n", "shop.yaml: the file is empty"),
        ("null", "shop.yaml: the file is empty"),
        ("- a\n", "shop.yaml:1:1: the file must hold a mapping (key: value) at its top"),
        ("\njust text", "shop.yaml:2:1: the file must hold a mapping (key: value) at its top"),
        ("a: b\nc: caf\xe9".encode("latin-1"), "shop.yaml:2:1: the file is not UTF-8"),
        ("a: b".encode("utf-16"), "shop.yaml:1:1: the file is not UTF-8"),
        ("a: b\n---\nc: d", "shop.yaml:2:1: a second document"),
        ("a:\n\t- b", "shop.yaml:2:1: a tab where YAML wants blanks; indent with blanks"),
        ("a:\n  - @b", "shop.yaml:2:5: text cannot begin like this; put it in quotes"),
        ("a: b: c", "shop.yaml:1:5: not valid YAML: mapping values are not allowed in this"),
        ("a: [1\nb: 2\n", "shop.yaml:2:2: not valid YAML: did not find expected ',' or ']'"),
        ("a: *b", "shop.yaml:1:4: an alias (*) without its anchor (&)"),
        ("a: * *", "shop.yaml:1:4: an alias (*) without its anchor (&); put text that begins with"),
        ("a: */5 *", "shop.yaml:1:4: an alias (*) without its anchor (&); put text that begins"),
        ("a: b\nc: \x07", "shop.yaml:2:1: a control character"),
        ("a: " + "[" * 100, "shop.yaml:1:32: nested too deeply"),
        ("a: " + "[" * 500_000, "shop.yaml:1:32: nested too deeply"),
        ("a: &x [*x]", "shop.yaml:1:4: nested too deeply, or made too large by aliases"),
    ],
)
def test_files_that_cannot_be_read(folder: Path, text: str | bytes, problem: str) -> None:
    assert only(folder, text).startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "shop.json: the file is empty"),
        ('{"a": 1 "b": 2}', "shop.json:1:9: not valid JSON: Expecting ',' delimiter"),
        ("name: shop", "shop.json:1:1: not valid JSON: Expecting value"),
        ('{"a":\n NaN}', "shop.json:2:1: NaN is not JSON"),
        ('{"a": ' + "[" * 100_000, "shop.json: nested too deeply"),
        (
            '{"a": "\\ud800"}',
            "shop.json:1:10: not valid YAML: found invalid Unicode character escape",
        ),
    ],
)
def test_json_that_cannot_be_read(folder: Path, text: str, problem: str) -> None:
    assert only(folder, text, "shop.json").startswith(problem)


def test_a_missing_file_and_a_folder(folder: Path) -> None:
    for path, what in [(folder / "no.yaml", "there is no such file"), (folder, "this is a folder")]:
        with pytest.raises(JobFileError, match=what) as caught:
            load(path)
        assert caught.value.problems[0].file == str(path)
    with pytest.raises(JobFileError, match=r"no.yaml: there is no such file"):
        load(write(folder, job()), connections=folder / "no.yaml")
    with pytest.raises(JobFileError, match="cannot be read"):
        load(Path("\0"))


def test_aliases_cannot_blow_a_file_up(folder: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 15):
        bomb += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n"
    assert "nested too deeply, or made too large by aliases" in only(folder, bomb)


def test_merge_keys_cannot_blow_a_file_up(folder: Path) -> None:
    bomb = "a0: &a0 {x: y}\n"
    for n in range(1, 25):
        bomb += f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n"
    assert "shop.yaml:1:1: a0: unknown key" in "\n".join(refused(folder, bomb))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mode: full\nmode: full", "7:1: mode: written twice, first on line 6"),
        ("5: x", "6:1: a key that is not text; put it in quotes"),
        ("true: x", "6:1: a key that is not text; put it in quotes"),
        ("? [a]\n: x", "6:3: a key that is not text; put it in quotes"),
        ("<<: [x]", "6:5: `<<` merges mappings only"),
        ("mode: !secret x", "6:7: mode: a tag (!) that is not understood here; put it in quotes"),
        ("keys: !!set {a}", "6:7: keys: a tag (!) that is not understood here; put it in quotes"),
        ("parts: !!int x", "6:8: parts: a tag (!) that is not understood here; put it in quotes"),
        ("parts: -" + "9" * 39, "6:8: parts: a number of more than 38 digits; put it in quotes"),
        ("parts: " + "9" * 9999, "6:8: parts: a number of more than 38 digits; put it in quotes"),
        ("parts: 1e999", "6:8: parts: a number that would lose digits; put it in quotes"),
        ("parts: 1e-99999999999999999999", "6:8: parts: a number that would lose digits; put it"),
        ("parts: 0.12345678901234567891", "6:8: parts: a number that would lose digits; put it"),
    ],
)
def test_yaml_that_is_no_plain_data(folder: Path, line: str, problem: str) -> None:
    assert only(folder, job() + line).startswith(f"shop.yaml:{problem}")


def test_a_mapping_that_merges_itself(folder: Path) -> None:
    assert "merges itself" in "\n".join(refused(folder, job() + "audit: &a {<<: *a, b: job}"))


# Shape


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("writ: append", "6:1: writ: unknown key; did you mean 'write'?"),
        ("Write: append", "6:1: Write: unknown key; did you mean 'write'?"),
        (
            "xyzzy: 1",
            "6:1: xyzzy: unknown key; known: audit, connections, delay, delete_source,",
        ),
        (
            "mode: incrmental",
            "6:7: mode: must be 'full' or 'incremental'; did you mean 'incremental'?",
        ),
        ("mode: 5", "6:7: mode: must be 'full' or 'incremental'"),
        ("parts: '5'", "6:8: parts: must be a whole number, not text"),
        ("parts: 1e1", "6:8: parts: must be a whole number, not a decimal number"),
        ("parts: true", "6:8: parts: must be a whole number, not true"),
        ("parts: 0", "6:8: parts: must be at least 1"),
        ("parts: 10001", "6:8: parts: must be at most 10000"),
        (
            "lookback: true",
            "6:11: lookback: write a number or a duration such as 15m, 2h or 1d 12h",
        ),
        ("lookback: 99999999999w", "6:11: lookback: is longer than all of history"),
        ("lookback: -5", "6:11: lookback: must not be negative"),
        ("keys: id", "6:7: keys: must be a list, not text"),
        ("keys: [5]", "6:8: keys[0]: must be text, not a number; put it in quotes"),
        ("keys: ['']", "6:8: keys[0]: must be at least 1 character long"),
        ("schedules:", "6:11: schedules: must be a list, not nothing"),
        ("limits: []", "6:9: limits: must be a mapping (key: value), not a list"),
        ("limits: {retry: 1}", "6:10: limits.retry: unknown key; did you mean 'retries'?"),
        (
            "audit: {at: extractedat}",
            (
                "6:13: audit.at: must be 'run_id', 'job', 'table', 'extracted_at', 'lower_bound',"
                " 'upper_bound', 'file_path' or 'file_modified' or a mapping with value, not text;"
                " did you mean 'extracted_at'?"
            ),
        ),
        (
            "audit: {at: {val: x, value: y}}",
            "6:14: audit.at.val: unknown key; did you mean 'value'?",
        ),
        ("audit: {at: {value: 1}}", "6:21: audit.at.value: must be text, not a number; put it in"),
        ("audit: {'': job}", '6:9: audit[""]: a key here must be at least 1 character long'),
    ],
)
def test_wrong_settings(folder: Path, line: str, problem: str) -> None:
    assert only(folder, job() + line).startswith(f"shop.yaml:{problem}")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("{source: a, incremental_colum: b}", "did you mean 'incremental_column'?"),
        ("{}", "5:10: tables[0].source: is missing"),
        ("orders", "5:10: tables[0]: must be a mapping (key: value), not text"),
        ("{source: a, columns: [{nam: x, name: y}]}", "columns[0].nam: unknown key; did you mean"),
        (
            "{source: a, columns: [5]}",
            (
                "5:32: tables[0].columns[0]: must be text or a mapping with name, rename, cast,"
                " not a number"
            ),
        ),
        ("{source: a, filter: {column: b}}", "filter: must be a list, not a mapping"),
        (
            "{source: a, filter: [{column: b, op: isnull}]}",
            "'is not null'; did you mean 'is null'?",
        ),
        (
            "{source: a, filter: [{column: b, op: in, value: [null]}]}",
            (
                "5:59: tables[0].filter[0].value[0]: must be text or a whole number or a number or"
                " true or false, not nothing"
            ),
        ),
    ],
)
def test_wrong_tables(folder: Path, table: str, problem: str) -> None:
    assert problem in only(folder, job(f"[{table}]"))


def test_no_table_at_all(folder: Path) -> None:
    assert only(folder, job("[]")) == "shop.yaml:5:9: tables: must be a list of at least 1"


def test_every_problem_comes_at_once_from_top_to_bottom(folder: Path) -> None:
    text = job(
        """
  - source: orders
    writ: upsert
  - source: items
    mode: incremental
    incremental_column: modified
    write: overwrite
  - source: items
    parts: many
  - source: prices
    filter: [{column: a, op: in, value: 5}]""",
        source="shp",
        schedules="[{cron: '* * *'}, {corn: x}]",
        limits="{retries: -1}",
    )
    assert [line.split(": ")[0:2] for line in refused(folder, text)] == [
        ["shop.yaml:2:9", "source"],
        ["shop.yaml:7:5", "tables[0].writ"],
        ["shop.yaml:11:12", "tables[1].write"],
        ["shop.yaml:13:12", "tables[2].parts"],
        ["shop.yaml:15:41", "tables[3].filter[0].value"],
        ["shop.yaml:16:30", "schedules[1].cron"],
        ["shop.yaml:16:31", "schedules[1].corn"],
        ["shop.yaml:17:19", "limits.retries"],
    ]


# Rules

INCREMENTAL = "source: a, mode: incremental, incremental_column: m"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("source: a, mode: incremental", "tables[0]: mode incremental needs incremental_column"),
        (f"{INCREMENTAL}, write: overwrite", "tables[0].write: write overwrite with mode"),
        (
            f"{INCREMENTAL}, write: overwrite_partitions",
            "tables[0].write: write overwrite_partitions with mode incremental would keep only",
        ),
        (f"{INCREMENTAL}, lookback: 5", "tables[0].lookback: lookback reads rows again"),
        (f"{INCREMENTAL}, nulls: include", "tables[0].nulls: nulls include reads the rows"),
        ("source: a, lookback: 5", "tables[0].lookback: lookback means nothing in mode full"),
        ("source: a, delay: 5m", "tables[0].delay: delay means nothing in mode full"),
        ("source: a, keys: [i, j, i]", "tables[0].keys[2]: 'i' is already a key"),
        ("source: a, columns: []", "tables[0].columns: chooses no column"),
        ("source: a, columns: [x, {name: x, rename: y}]", "columns[1]: 'x' is chosen already"),
        ("source: a, columns: [x, {name: y, rename: x}]", "columns[1]: 'x' is already the name"),
        ("source: a, columns: [x], audit: {x: job}", "tables[0].audit.x: is already the name"),
        (
            "source: a, columns: [{name: x, cast: in64}]",
            "tables[0].columns[0].cast: there is no type 'in64'; use one of int8",
        ),
        (
            "source: a, write: upsert, keys: [i, j], columns: [i]",
            "tables[0].keys[1]: the key 'j' is not among the columns to copy; add it to columns",
        ),
        (
            f"{INCREMENTAL}, write: upsert, keys: [i], columns: [i]",
            "tables[0].incremental_column: 'm' is not among the columns to copy",
        ),
        ("source: a, filter: [{column: c, op: in, value: 5}]", "value: `in` needs a list"),
        ("source: a, filter: [{column: c, op: in, value: []}]", "value: `in` needs a list"),
        ("source: a, filter: [{column: c, op: in}]", "filter[0].value: `in` needs a list"),
        ("source: a, filter: [{column: c, op: is null, value: 5}]", "`is null` takes no value"),
        ("source: a, filter: [{column: c, value: [5]}]", "`=` needs one value; use op: in"),
        ("source: a, filter: [{column: c}]", "`=` needs one value; use op: is null"),
        ("source: b}, {source: b", "tables[1].source: 'b' is listed already, as tables[0]"),
        (
            "source: a, destination: x, write: overwrite}, {source: b, destination: x",
            "tables[1].destination: 'x' is also the destination of tables[0]",
        ),
        (
            "source: a, partition_by: [x, x]",
            "tables[0].partition_by[1]: 'x' makes folders already",
        ),
        (
            "source: a, columns: [{name: x, rename: y}], partition_by: [x]",
            "tables[0].partition_by[0]: 'x' is not among the columns that arrive",
        ),
        (
            "source: a, delete_source: true, write: overwrite",
            "tables[0].delete_source: delete_source leaves nothing at the source",
        ),
    ],
)
def test_settings_that_contradict_each_other(folder: Path, table: str, problem: str) -> None:
    assert problem in only(folder, job(f"[{{{table}}}]"))


@pytest.mark.parametrize(
    "table",
    [
        f"{INCREMENTAL}, write: upsert, keys: [i], lookback: 5, nulls: include",
        f"{INCREMENTAL}, write: upsert",
        f"{INCREMENTAL}, columns: [i]",
        f"{INCREMENTAL}, delay: 5",
        f"{INCREMENTAL}, lookback: 0",
        "source: a, incremental_column: m, write: upsert, keys: [i]",
        "source: a, nulls: include",
        "source: a, columns: [x], partition_by: [x, y], audit: {y: run_id}",
        (
            "source: a, mode: incremental, incremental_column: _file_modified, write: upsert,"
            " columns: [x], keys: [x], audit: {y: file_modified}"
        ),
        "source: a, destination: x}, {source: b, destination: x",
        "source: a, filter: [{column: c, op: is null}, {column: d, op: in, value: [1, x]}]",
    ],
)
def test_settings_that_go_together(folder: Path, table: str) -> None:
    assert load(write(folder, job(f"[{{{table}}}]"))).job.tables


def test_files_as_they_are_need_no_incremental_column(folder: Path) -> None:
    def written(format_: str) -> str:
        shop = f"{{shop: {{type: local, root: x, format: {format_}}}, lake: {{type: memory}}}}"
        tables = "[{source: a}, {source: b, mode: full}]"
        return job(tables, mode="incremental", connections=shop)

    found = load(write(folder, written("binary"))).job.tables
    assert [table.incremental_column for table in found] == ["_file_modified", None]
    assert "mode incremental needs incremental_column" in only(folder, written("csv"))


def test_a_table_may_be_copied_in_full_under_a_job_with_lookback(folder: Path) -> None:
    common = {"mode": "incremental", "incremental_column": "m", "write": "upsert", "lookback": "1h"}
    tables = "[{source: a}, {source: b, mode: full, write: overwrite}]"
    assert load(write(folder, job(tables, **common))).job.tables[1].mode == "full"


def test_a_setting_of_the_job_is_reported_once_and_at_its_own_line(folder: Path) -> None:
    tables = "[{source: a}, {source: b}, {source: c}]"
    common = {"mode": "incremental", "incremental_column": "m", "lookback": "1h"}
    assert only(folder, job(tables, **common)).startswith(
        "shop.yaml:8:11: lookback: lookback reads"
    )
    assert only(folder, job(tables, delay="1h")).startswith("shop.yaml:6:8: delay: delay means")


def test_a_table_is_not_copied_onto_itself(folder: Path) -> None:
    problem = only(folder, job("[{source: a}, {source: b, destination: c}]", destination="shop"))
    assert problem == (
        "shop.yaml:5:19: tables[0].source: would be copied onto itself; name another destination"
    )


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("cron: '* * * *'", "cron: a cron expression of 4 fields; write five fields"),
        ("cron: '@hourly'", "cron: a cron expression of 1 field; write five fields"),
        ("cron: 61 * * * *", "cron: no cron expression"),
        ("cron: R * * * *", "cron: no cron expression: bad minute; write five fields"),
        ("cron: 0 0 30 2 *", "cron: no moment is described by this cron expression; give it days"),
        ("cron: 0 0 0 31 4 *", "cron: no moment is described by this cron expression"),
        ("cron: 0 0 0 30 2 MON", "cron: no moment is described by this cron expression"),
        ("cron: 0 5 * * *, start: tomorrow", "start: 'tomorrow' is no date and no time; write it"),
        ("cron: 0 5 * * *, start: 2026-02-30", "start: '2026-02-30' is no date and no time"),
        ("cron: 0 5 * * *, end: 12:00", "end: '12:00' is no date and no time"),
        ("cron: 0 5 * * *, end: 0000-01-01", "end: '0000-01-01' is no date and no time"),
        (
            "cron: 0 5 * * *, start: 2026-03-01, end: 2026-02-01",
            "end: is before the start; give a later one",
        ),
        (
            "cron: 0 5 1 * *, start: 2026-03-02, end: 2026-03-31",
            "end: comes before the schedule falls due for the first time; give a later one",
        ),
        ("cron: 0 5 * * *, overlap: que", "overlap: must be 'skip' or 'queue'; did you mean"),
        ("cron: 0 5 * * *, timezone: europe/berlin", "did you mean 'Europe/Berlin'?"),
        ("cron: 0 5 * * *, timezone: Europe", "timezone: there is no such time zone"),
        ("cron: 0 5 * * *, timezone: ../UTC", "timezone: there is no such time zone"),
    ],
)
def test_schedules_that_never_come(folder: Path, schedule: str, problem: str) -> None:
    assert problem in only(folder, job(schedules=f"[{{{schedule}}}]"))


@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 0 6 * * MON-FRI", "0 0 29 2 *", "0 0 L * *"])
def test_schedules_that_come(folder: Path, cron: str) -> None:
    text = job(schedules=f"[{{cron: '{cron}', timezone: Asia/Kolkata}}]")
    assert load(write(folder, text)).job.schedules[0].cron == cron


def test_a_schedule_that_has_run_out_still_loads(folder: Path) -> None:
    schedule = "{cron: 0 5 * * *, timezone: Asia/Kolkata, start: 2020-01-31, end: 2020-01-31T05:00}"
    found = load(write(folder, job(schedules=f"[{schedule}]"))).job.schedules[0]
    assert (found.start, found.end, found.overlap) == ("2020-01-31", "2020-01-31T05:00", "skip")


def test_all_that_is_wrong_with_a_schedule_comes_at_once(folder: Path) -> None:
    schedule = "{cron: x, timezone: Mars, start: y, end: z, overlap: queue}"
    problems = refused(folder, job(schedules=f"[{schedule}]"))
    places = [line.split(": ")[1] for line in problems]
    assert places == [f"schedules[0].{key}" for key in ("cron", "timezone", "start", "end")]


def test_paths_to_watch_load(folder: Path) -> None:
    paths = [
        "landing/orders/*.csv",
        "s3://bucket/orders/**",
        "**",
        "https://contoso.blob.core.windows.net/landing/**/*.parquet",
    ]
    assert load(write(folder, job(watch=json.dumps(paths)))).job.watch == tuple(paths)
    assert load(write(folder, job())).job.watch == ()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("landing", "watch[0]: names no path within a container; write container/path"),
        ("/landing/x", "watch[0]: names no path within a container"),
        ("landing/orders/", "watch[0]: names no path within a container"),
        ("s3://bucket", "watch[0]: names no path within a container"),
        ("https://c.blob.core.windows.net/landing", "watch[0]: names no path within a container"),
        ("https://c.dfs.core.windows.net/landing/*", "watch[0]: is no address of a blob; write"),
        ("https://c.blob.core.windows.net/a/b?sig=x", "watch[0]: is no address of a blob; write"),
        ("abfss://landing@c/x", "watch[0]: no such scheme; write container/path"),
        ("landing/**.csv", "watch[0]: has `**` beside other text; write it alone"),
        ("", "watch[0]: must be at least 1 character long"),
    ],
)
def test_paths_that_nothing_can_match(folder: Path, path: str, problem: str) -> None:
    assert problem in only(folder, job(watch=json.dumps([path])))


# The error


def test_the_error_is_one_config_error_for_machines_too(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, job(mode="fool", nulls="maybe")))
    found = caught.value.to_json()
    assert (found["recovery"], found["code"]) == ("config", "job-file")
    assert len(found["message"].splitlines()) == 2
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems[0].path == "mode"


# The schema for editors


def schema_accepts(text: str) -> bool:
    data = yaml.safe_load(text)
    return bool(jsonschema.Draft7Validator(json_schema()).is_valid(data))


def test_the_schema_is_one_and_describes_itself() -> None:
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["title"] == "copyjob job file"
    assert "$id" not in json.dumps(schema)
    nameless = [
        f"{model}.{name}"
        for model, described in schema["$defs"].items()
        for name, field in described.get("properties", {}).items()
        if "description" not in field and "const" not in field
    ]
    assert nameless in ([], ["Constant.value"])


def test_the_schema_accepts_what_loads() -> None:
    assert schema_accepts(SHOP.replace("2024-01-01", "'2024-01-01'"))
    assert schema_accepts(job(lookback="1d 12h", delay="30"))


@pytest.mark.parametrize(
    "text",
    [
        job(writ="append"),
        job(mode="fool"),
        job("[]"),
        job("[{src: a}]"),
        job(lookback="1 2"),
        job(lookback="1" * 60 + "x"),
        job(connections="{shop: {type: sqllite, path: x}}"),
        job(connections="{shop: {type: sqlite, root: x}}"),
        job(parts="0"),
    ],
)
def test_the_schema_refuses_what_does_not_load(folder: Path, text: str) -> None:
    assert not schema_accepts(text)
    assert refused(folder, text)


# Anything at all

_WORDS = """name source destination connections tables columns filter audit mode write full
incremental upsert type sqlite delta path root csv types value column op in schedules cron timezone
limits retries keys lookback 15m UTC decimal(5,2)"""
_words = st.sampled_from(_WORDS.split())
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _words
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words | st.text(), inner),
    max_leaves=10,
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += _places(inner, (*place, step))
    return found


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def loads_or_is_refused(path: Path) -> None:
    try:
        loaded = load(path)
    except JobFileError as e:
        assert e.problems  # noqa: PT017 - both ends are right, anything else is not
    else:
        assert isinstance(loaded, Loaded)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_changed_data_loads_or_is_refused(scratch: Path, data: st.DataObject) -> None:
    changed = yaml.safe_load(SHOP.replace("2024-01-01", "'2024-01-01'"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(_places(changed) or [("name",)]))
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "remove":
            inner.pop(place[-1], None) if isinstance(inner, dict) else inner.pop(place[-1])
        elif change == "replace" or isinstance(inner, list):
            inner[place[-1]] = data.draw(_values)
        else:
            inner[data.draw(_words | st.text(max_size=5))] = data.draw(_values)
    loads_or_is_refused(write(scratch, yaml.safe_dump(changed, allow_unicode=True)))
    loads_or_is_refused(write(scratch, json.dumps(changed, indent="\t"), "shop.json"))


@settings(deadline=None)
@given(
    cuts=st.lists(
        st.tuples(
            st.integers(0, len(SHOP)),
            st.integers(0, 6),
            st.text("\t\n {}[]:,&*!|>%@`'\"#-?<x5\x00\x85\ufeff\U0001f600", max_size=5),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_changed_text_loads_or_is_refused(scratch: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = SHOP
    for start, length, new in cuts:
        text = text[:start] + new + text[start + length :]
    loads_or_is_refused(write(scratch, text))
    loads_or_is_refused(write(scratch, text, "shop.json"))


@given(content=st.binary())
def test_any_bytes_load_or_are_refused(scratch: Path, content: bytes) -> None:
    loads_or_is_refused(write(scratch, content))
    loads_or_is_refused(write(scratch, content, "shop.json"))


def test_thousands_of_tables_load(folder: Path) -> None:
    table = "{{source: t{0}, mode: incremental, incremental_column: m, columns: [id, m], parts: 4}}"
    tables = "".join(f"\n  - {table.format(n)}" for n in range(5000))
    assert len(load(write(folder, job(tables))).job.tables) == 5000


def test_loading_imports_no_heavy_library(folder: Path) -> None:
    path = write(folder, job())
    code = f"""
import pathlib, sys
from copy_core.jobfile import load
load(pathlib.Path({str(path)!r}))
heavy = set("pyarrow deltalake azure cronsim pandas numpy adbc_driver_manager".split())
print(*sorted(heavy & {{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == ""
