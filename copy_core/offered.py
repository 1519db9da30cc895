"""What a table asks for, held against what its two connectors offer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copy_core.errors import ConfigError

if TYPE_CHECKING:
    from copy_core.connectors.base import DestinationCapabilities, SourceCapabilities, TableInfo
    from copy_core.job import TableCopy
    from copy_core.state.tables import TableState

_OF_ROWS = ("keys", "columns", "filter", "audit", "partition_by")


def check_offered(
    table: TableCopy,
    state: TableState,
    source: SourceCapabilities,
    destination: DestinationCapabilities,
) -> None:
    """Holds a definition, and a reset that truncates, against what the two connectors offer.

    Raises:
        ConfigError: the destination lacks the write mode, SQL or folders by value, the source
            incremental copies or queries; or one has objects and the other rows.
    """
    if state.truncate and "overwrite" not in destination.modes:
        raise ConfigError(
            "the table was reset with --truncate, and the destination does not offer overwriting",
            fix="Reset it without --truncate, and empty the destination by other means",
            code="mode-not-offered",
        )
    if table.write not in destination.modes:
        raise ConfigError(
            f"the destination does not offer `write: {table.write}`",
            fix=f"Use one of {', '.join(sorted(destination.modes))}",
            code="mode-not-offered",
        )
    if table.mode == "incremental" and not source.incremental:
        raise ConfigError(
            "the source does not offer incremental copies",
            fix="Use `mode: full`",
            code="mode-not-offered",
        )
    _check_files(table, source, destination)
    if table.query and not source.queries:
        raise ConfigError(
            "the source does not take queries",
            fix="Leave `query` out, and name a table or view in `source`",
            code="query-not-offered",
        )
    if (table.pre_copy_sql or table.post_copy_sql) and not destination.runs_sql:
        raise ConfigError(
            "the destination does not run SQL statements",
            fix="Leave `pre_copy_sql` and `post_copy_sql` out",
            code="sql-not-offered",
        )


def _check_files(
    table: TableCopy, source: SourceCapabilities, destination: DestinationCapabilities
) -> None:
    """Holds what is said of files against what the two connectors do with files."""
    if source.objects != destination.objects:
        one, other = ("source", "destination") if source.objects else ("destination", "source")
        raise ConfigError(
            f"the {one} copies files as they are, and the {other} has rows",
            fix="Set `format` of connections to files: `binary` for both to copy files as they are,"
            " `parquet`, `csv` or `jsonl` for rows in them",
            code="format-mismatch",
        )
    if table.partition_by and not destination.partitions:
        raise ConfigError(
            "the destination does not sort rows into folders by their values",
            fix="Leave `partition_by` out",
            code="partitions-not-offered",
        )
    unasked = _OF_ROWS if source.objects else _of_objects(table)
    for setting in unasked:
        if getattr(table, setting):
            what = "files that are copied as they are" if source.objects else "rows"
            other = "" if source.objects else ", or set `format: binary` of both connections"
            raise ConfigError(
                f"`{setting}` means nothing for {what}",
                fix=f"Leave it out{other}",
                code="setting-not-offered",
            )


def _of_objects(table: TableCopy) -> tuple[str, ...]:
    return ("delete_source", *(("hierarchy",) if table.hierarchy == "flatten" else ()))


def check_patterns(table: TableCopy, info: TableInfo) -> None:
    """Refuses patterns of files where there are no files.

    Raises:
        ConfigError: the source keeps rows in something else.
    """
    if info.hidden is not None:
        return
    for setting in ("include", "exclude"):
        if getattr(table, setting):
            raise ConfigError(
                f"`{setting}` chooses files, and the source keeps no rows in files",
                fix="Leave it out, and choose rows by `filter`",
                code="setting-not-offered",
            )


def check_copyable(table: TableCopy, info: TableInfo) -> None:
    """Holds the columns that a job asks for against those whose type can be copied.

    Raises:
        ConfigError: one of them cannot be copied; names it.
    """
    asked = {*table.keys, *(c.column for c in table.filter), table.incremental_column}
    asked.update(info.uncopyable if table.columns is None else (c.name for c in table.columns))
    for column, why in info.uncopyable.items():
        if column in asked:
            raise ConfigError(
                why,
                fix="Leave it out: name the columns to copy in `columns`; or turn it into text at"
                " the source",
                code="unknown-type",
                column=column,
            )


def is_missing(table: TableCopy, state: TableState, info: TableInfo) -> bool:
    """Whether there is nothing where objects should be, and that is not as after a copy.

    An object store knows no empty folder, so the name may well be wrong; and an overwrite would
    then remove all there is.
    """
    emptied = table.delete_source or (table.mode == "incremental" and state.loaded)
    return info.rows == 0 and not emptied
