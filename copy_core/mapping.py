"""From the columns of a source to those of a destination: choose, rename, cast, audit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.decimals import exact_cast
from copy_core.errors import ConfigError, TerminalError
from copy_core.job import FILE_MODIFIED, FILE_PATH, Constant
from copy_core.schema import canonical_type, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from copy_core.connectors.base import TableInfo
    from copy_core.job import Column, TableCopy
    from copy_core.watermark import Window

# Audit columns whose values the source reads, a file's rows each the same.
_OF_FILES = {"file_path": FILE_PATH, "file_modified": FILE_MODIFIED}


def chosen(info: TableInfo, table: TableCopy) -> tuple[Column, ...]:
    """The columns that a table copies, in order; all of them when the job does not choose, hidden
    ones aside. What audit columns tell of a row's file is copied as well.

    Raises:
        ConfigError: a chosen column, a key, a filter's column or the incremental column does not
            exist at the source, or its rows are in no files.
    """
    from copy_core.connectors.base import near
    from copy_core.job import Column

    wanted = [c.name for c in table.columns or ()] + list(table.keys)
    wanted += [c.column for c in table.filter]
    wanted += [table.incremental_column] if table.incremental_column else []
    known = list(dict.fromkeys([*info.nameable.names, *info.watermarks]))
    for name in wanted:
        if name not in known:
            raise ConfigError(
                "the source has no such column",
                fix=near(name, known),
                code="column-missing",
                column=name,
            )
    columns = table.columns or tuple(Column(name=name) for name in info.schema.names)
    return *columns, *_of_files(info, table)


def _of_files(info: TableInfo, table: TableCopy) -> Iterator[Column]:
    """The hidden columns that audit columns are filled from, under their names."""
    from copy_core.job import Column

    for name, value in table.audit.items():
        if isinstance(value, str) and value in _OF_FILES:
            if _OF_FILES[value] not in info.nameable.names:
                raise ConfigError(
                    f"the source keeps no rows in files, so there is no {value} to tell",
                    fix="Leave this audit column out",
                    code="audit-not-offered",
                    column=name,
                )
            yield Column(name=_OF_FILES[value], rename=name)


def destination_name(columns: tuple[Column, ...], name: str) -> str:
    """What a source column is called at the destination.

    Raises:
        ConfigError: the column is not copied, though it is needed there.
    """
    for column in columns:
        if column.name == name:
            return column.rename or column.name
    raise ConfigError(
        "the column is needed at the destination but is not copied",
        fix="Add it to `columns`",
        code="column-not-copied",
        column=name,
    )


def mapped_schema(
    schema: pa.Schema, columns: tuple[Column, ...], audit: Mapping[str, str | Constant]
) -> pa.Schema:
    """The schema that rows have after mapping.

    Args:
        schema: every column that the source offers, canonical.
        columns: the chosen columns.
        audit: columns to add, and what fills them.

    Raises:
        ConfigError: a cast to an unknown type; two columns of one name.
    """
    import pyarrow as pa

    fields = []
    for column in columns:
        field = schema.field(column.name)
        kind = parse_type(column.cast) if column.cast else canonical_type(field.type)
        fields.append(pa.field(column.rename or column.name, kind, field.nullable))
    for name, value in audit.items():
        if isinstance(value, str) and value in _OF_FILES:
            continue  # one of `columns` already
        kind = pa.timestamp("us", "UTC") if value == "extracted_at" else pa.string()
        fields.append(pa.field(name, kind))
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                "two columns would have this name at the destination",
                fix="Rename one of them",
                code="column-twice",
                column=name,
            )
    return pa.schema(fields)


def audit_values(
    audit: Mapping[str, str | Constant],
    *,
    run_id: str,
    job: str,
    table: str,
    extracted_at: str,
    window: Window,
) -> dict[str, str | None]:
    """The value of each audit column that is the same for every row of a window, as text."""
    known = {
        "run_id": run_id,
        "job": job,
        "table": table,
        "extracted_at": extracted_at,
        "lower_bound": window.low.value if window.low else None,
        "upper_bound": window.high.value if window.high else None,
    }
    return {
        name: value.value if isinstance(value, Constant) else known[value]
        for name, value in audit.items()
        if isinstance(value, Constant) or value in known
    }


def map_batch(
    batch: pa.RecordBatch,
    columns: tuple[Column, ...],
    audit: Mapping[str, str | None],
    stage: pa.Schema,
) -> pa.RecordBatch:
    """One batch as the destination wants it.

    Args:
        batch: rows of the source.
        columns: the chosen columns.
        audit: the value of each audit column, as text.
        stage: the destination's columns and types; columns that it lacks are left out.

    Raises:
        TerminalError: a value does not fit its type at the destination; names the column.
    """
    import pyarrow as pa

    origin = {column.rename or column.name: column.name for column in columns}
    arrays = []
    for field in stage:
        if field.name in origin:
            array = batch.column(origin[field.name])
        else:
            array = pa.nulls(batch.num_rows, pa.string())
            if (text := audit[field.name]) is not None:
                array = pa.repeat(pa.scalar(text), batch.num_rows)
        if array.type != field.type:
            array = _cast(array, field)
        arrays.append(array)
    return pa.record_batch(arrays, schema=stage)


def _cast(array: pa.Array, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    try:
        return exact_cast(array, field.type)
    except pa.ArrowException as e:
        raise TerminalError(
            f"a value does not fit the type {field.type}: {e}",
            fix="Cast the column to a wider type, or mend the value at the source",
            code="value-does-not-fit",
            column=field.name,
        ) from e
