"""Files that wait to be published: where they are, whether they are all there, which are left over.

They lie in `copyjob/<job and table>/<sequence>/` below the table's folder, where Delta's readers
do not look, and stay there once the log names them: publishing moves no data.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import fs as pafs

from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.ledger import Ledger
from copy_core.connectors.delta.parquet import Written, remove
from copy_core.errors import TerminalError
from copy_core.model import Commit, JsonDict
from copy_core.schema import schema_to_json


def stem(ledger: Ledger, sequence: int, part: str) -> str:
    """The beginning of the names of one attempt's files; no other attempt has it."""
    return f"{ledger.folder}/{sequence}/{part}-{secrets.token_hex(8)}"


def reference(written: Iterable[Written], schema: pa.Schema) -> JsonDict:
    """What a `Staged.ref` says: the files, and the columns that they have."""
    return {
        "files": [file.to_json() for file in written],
        "columns": {name: kind for name, kind, _ in schema_to_json(schema)},
    }


def check(
    files: pafs.FileSystem, commit: Commit, schema: pa.Schema, required: Iterable[str]
) -> list[Written]:
    """The staged files of a commit, if they can be published.

    Args:
        files: the table's files.
        commit: what is to be published.
        schema: the columns that the files must have.
        required: the columns that must have a value in each row.

    Raises:
        TerminalError: a file is gone or was changed, the rows do not add up, a value is missing,
            or the table was changed since they were staged.
    """
    wanted = {name: kind for name, kind, _ in schema_to_json(schema)}
    staged: list[Written] = []
    for part in commit.staged:
        if part.ref["columns"] != wanted:
            raise TerminalError(
                "the table's columns were changed after rows for them were staged",
                fix="Run the job again; it stages them anew",
                code="table-changed",
            )
        written = [Written.model_validate(file) for file in part.ref["files"]]
        if sum(file.rows for file in written) != part.rows:
            raise _missing(part.part, "does not add up")
        with faults():
            found = files.get_file_info([file.path for file in written])
        if any(info.size != file.size for info, file in zip(found, written, strict=True)):
            raise _missing(part.part, "is gone or incomplete")
        staged += written
    for column in required:
        if any(file.nulls.get(column) for file in staged):
            raise TerminalError(
                "a row has no value in a column that requires one",
                fix="Let the destination's column be null, or filter such rows out",
                code="null-value",
                column=column,
            )
    return staged


def clean(files: pafs.FileSystem, ledger: Ledger, table: DeltaTable | None, sequence: int) -> None:
    """Removes staged files of sequences up to `sequence` that no commit has ever made visible.

    A file that was published stays, also when it has left the table since: older versions of the
    table are made of it, until VACUUM.
    """
    newest = ledger.sequence(table) if table is not None else 0
    records = [noted for noted in ledger.noted() if noted <= min(newest, sequence)]
    for folder, found in _folders(files, ledger, sequence, records):
        number = int(folder.rpartition("/")[2])
        published: set[str] | None = set()
        if table is not None and number <= newest:
            # Without a record nothing of it was published: the record is written first.
            published = ledger.files_of(table, number) if number in records else set()
        if published is not None:
            leftover = [path for path in found if path not in published]
            if table is not None and not published and leftover:
                leftover = _unused(table, leftover)
            remove(files, leftover)
    ledger.forget(min(newest, sequence))


def _folders(
    files: pafs.FileSystem, ledger: Ledger, sequence: int, records: list[int]
) -> Iterable[tuple[str, list[str]]]:
    """The folders that can hold leftovers, and their files.

    Everything below the last but one record was cleaned when that was published, so that what is
    listed does not grow with the table's history.
    """
    if len(records) > 1:
        numbers: Iterable[int] = range(records[-2], sequence + 1)
    else:
        with faults():
            here = files.get_file_info(pafs.FileSelector(ledger.folder, allow_not_found=True))
        names = {info.path.rstrip("/").rpartition("/")[2] for info in here}
        numbers = sorted(int(n) for n in names if n.isdecimal() and int(n) <= sequence)
    for number in numbers:
        folder = f"{ledger.folder}/{number}"
        with faults():
            inside = files.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        yield folder, [info.path for info in inside if info.type == pafs.FileType.File]


def _unused(table: DeltaTable, paths: list[str]) -> list[str]:
    """Those that the table does not consist of: should a record have been lost."""
    with faults():
        used = {uri.replace("\\", "/").rpartition("/")[2] for uri in table.file_uris()}
    return [path for path in paths if path.rpartition("/")[2] not in used]


def _missing(part: int, what: str) -> TerminalError:
    return TerminalError(
        f"what was staged for part {part} {what}",
        fix="Run the job again; it stages the part anew",
        code="staged-missing",
    )
