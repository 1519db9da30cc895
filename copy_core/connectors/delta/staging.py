"""Files that wait to be published: where they are, whether they are all there, which are left over.

They lie in `copyjob/<job and table>/<sequence>/` below the table's folder, where Delta's readers
do not look, and stay there once the log names them: publishing moves no data.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import dataset as ds
from pyarrow import fs as pafs

from copy_core.connectors.delta import partitions
from copy_core.connectors.delta.columns import Fit
from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.ledger import Ledger
from copy_core.connectors.delta.parquet import Written, remove
from copy_core.connectors.delta.rows import DataFile
from copy_core.errors import TerminalError
from copy_core.model import Commit, JsonDict, Staged
from copy_core.schema import schema_to_json

# delta-rs' streams take bytes from Arrow's C++ alone, which buffers.
_BUFFER = 1 << 16


def stem(ledger: Ledger, sequence: int, part: str) -> str:
    """The beginning of the names of one attempt's files; no other attempt has it."""
    return f"{ledger.folder}/{sequence}/{part}-{secrets.token_hex(8)}"


def reference(
    files: pafs.FileSystem, stem: str, written: Sequence[Written], shape: Fit
) -> JsonDict:
    """What a `Staged.ref` says: the columns of the rows, those they are sorted by, and the files.

    Many partitions make many files, and what describes a part stays small: then the list of them
    is a file too, which no commit names.
    """
    described = [file.to_json() for file in written]
    if not shape.by:
        return {"files": described, **_shape(shape)}
    path = f"{stem}.json"
    with faults(file=path), files.open_output_stream(path, buffer_size=_BUFFER) as stream:
        stream.write(json.dumps(described).encode())
    return {"list": path, **_shape(shape)}


def _shape(shape: Fit) -> JsonDict:
    columns = {name: kind for name, kind, _ in schema_to_json(shape.schema)}
    return {"columns": columns, "by": list(shape.by)}


def check(files: pafs.FileSystem, commit: Commit, shape: Fit) -> list[Written]:
    """The staged files of a commit, if they can be published.

    Args:
        files: the table's files.
        commit: what is to be published.
        shape: how rows go into the table as it is now.

    Raises:
        TerminalError: a file is gone or was changed, the rows do not add up, a value is missing,
            or the table was changed since they were staged.
    """
    wanted = _shape(shape)
    staged: list[Written] = []
    for part in commit.staged:
        # What an older version of copyjob staged says nothing of partitions.
        if any(part.ref.get(key, []) != wanted[key] for key in wanted):
            raise TerminalError(
                "the table's columns were changed after rows for them were staged",
                fix="Run the job again; it stages them anew",
                code="table-changed",
            )
        written = _described(files, part)
        if sum(file.rows for file in written) != part.rows:
            raise _missing(part.part, "does not add up")
        with faults():
            found = files.get_file_info([file.path for file in written])
        if any(info.size != file.size for info, file in zip(found, written, strict=True)):
            raise _missing(part.part, "is gone or incomplete")
        staged += written
    for column in shape.required:
        if any(file.nulls.get(column) for file in staged):
            raise TerminalError(
                "a row has no value in a column that requires one",
                fix="Let the destination's column be null, or filter such rows out",
                code="null-value",
                column=column,
            )
    return staged


def _described(files: pafs.FileSystem, part: Staged) -> list[Written]:
    """The files of a part."""
    described = part.ref.get("files")
    if described is None:
        path = part.ref["list"]
        with faults(file=path):
            if files.get_file_info(path).type != pafs.FileType.File:
                raise _missing(part.part, "is gone")
            with files.open_input_stream(path) as stream:
                described = json.loads(bytes(stream.read()))
    return [Written.model_validate(file) for file in described]


def data_files(
    files: pafs.FileSystem, written: Iterable[Written], schema: pa.Schema
) -> list[DataFile]:
    """Files that were written, to be read again as rows of `schema`."""
    parquet = ds.ParquetFileFormat()
    found = []
    for number, file in enumerate(written):
        values = partitions.scalars(file.partition, schema)
        fragment = parquet.make_fragment(file.path, files, partitions.promise(values))
        found.append(DataFile(number, file.path, file.size, file.rows, fragment, values))
    return found


def clean(files: pafs.FileSystem, ledger: Ledger, table: DeltaTable | None, sequence: int) -> None:
    """Removes staged files of sequences up to `sequence` that no commit has ever made visible.

    A file that was published stays, also when it has left the table since: older versions of the
    table are made of it, until VACUUM.
    """
    newest = ledger.sequence(table) if table is not None else 0
    noted = ledger.noted()
    # Later ones too: whoever comes late must not take what is long published for left over.
    records = sorted(number for number in noted if number <= newest)
    for folder, found in _folders(files, ledger, sequence, records):
        number = int(folder.rpartition("/")[2])
        published: set[str] | None = set()
        if table is not None and number <= newest:
            # Without a record nothing of it was published: the record is written first.
            published = ledger.files_of(table, number, noted) if number in records else set()
        if published is not None:
            leftover = [path for path in found if path not in published]
            if table is not None and not published and leftover:
                leftover = _unused(table, leftover)
            remove(files, leftover)
    ledger.forget(noted, min(newest, sequence))


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
