"""What a table remembers of the sequences that were published into it.

That a sequence was published is told by the table's own log: a `txn` action in the very commit
that made its rows visible. What was published (the watermark, the counts) stands in the commit's
info, for people; logs are shortened after some weeks, so it is also kept in a small file beside
the log, written before the commit. A record counts only when the `txn` action has its sequence:
one of an attempt that never committed says nothing. Each attempt writes a file of its own, for
object stores do not take two uploads of one name at a time; those of one sequence agree.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from hashlib import sha256
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable, Transaction
from pyarrow import fs as pafs

from copy_core.connectors.delta.faults import faults
from copy_core.connectors.delta.parquet import remove
from copy_core.errors import TerminalError
from copy_core.model import JsonDict, Published

FOLDER = "copyjob"
"""Below the table's folder, where the files of all ledgers go."""

_INFO = "copyjob"
_RECORDS = "_delta_log/_copyjob"
# The records that stay: the newest, and the one before, below which all is cleaned.
_KEPT = 2


Records = dict[int, list[str]]
"""Files that hold records, by their sequence."""


class Ledger:
    """The ledger of one (job, table) in one Delta table.

    Attributes:
        folder: where its staged files go, below the table's folder, a folder a sequence. It must
            not begin with `_`: readers and VACUUM pass over such files, published or not.
    """

    def __init__(self, files: pafs.FileSystem, job: str, table: str) -> None:
        self._files = files
        # A job's name has no slash, so this is one name for each pair.
        self._app = f"copyjob/{job}/{table}"
        digest = sha256(self._app.encode()).hexdigest()[:20]
        self.folder = f"{FOLDER}/{digest}"
        self._records = f"{_RECORDS}/{digest}"
        self._token = secrets.token_hex(8)

    def sequence(self, table: DeltaTable) -> int:
        """The newest sequence that is part of this version of the table; 0 when none is."""
        with faults():
            return table.transaction_version(self._app) or 0

    def record(self, table: DeltaTable) -> Published:
        """The record of the newest sequence, which there must be.

        Raises:
            TerminalError: the log has the sequence, but its record is lost.
        """
        sequence = self.sequence(table)
        noted = [
            Published.model_validate(n["published"]) for n in self._read(self.noted(), sequence)
        ]
        if len({(n.plan_id, n.watermark) for n in noted}) == 1:
            return noted[0]
        # Two plans of one sequence were under way: which of them was committed is in the log.
        return Published.model_validate(self._logged(table, sequence))

    def note(self, published: Published, version: int) -> None:
        """Keeps the record of what is about to be committed.

        Args:
            published: the record.
            version: the table's version that the commit will follow, directly or not; -1 if there
                is no table yet. It tells where in the log to look for the commit.
        """
        text = json.dumps({"after": version, "published": published.to_json()})
        path = f"{self._records}/{published.sequence}-{self._token}.json"
        with faults():
            self._files.create_dir(self._records, recursive=True)
            # Buffered, for delta-rs' streams take bytes from Arrow's C++ alone.
            with self._files.open_output_stream(path, buffer_size=1 << 16) as stream:
                stream.write(text.encode())

    def properties(self, published: Published, retries: int | None = None) -> CommitProperties:
        """What marks a commit as the one of this sequence.

        Args:
            published: the record.
            retries: how often delta-rs may rebase the commit onto others'; its default if None.
                It never does so over another commit with the same transaction id.
        """
        return CommitProperties(
            custom_metadata={_INFO: {"ledger": self._app, "published": published.to_json()}},
            max_commit_retries=retries,
            app_transactions=[Transaction(self._app, published.sequence)],
        )

    def noted(self) -> Records:
        """The records that there are."""
        with faults():
            found = self._files.get_file_info(
                pafs.FileSelector(self._records, allow_not_found=True)
            )
        records: Records = {}
        for info in found:
            sequence = info.base_name.partition("-")[0]
            if sequence.isdecimal():
                records.setdefault(int(sequence), []).append(f"{self._records}/{info.base_name}")
        return records

    def forget(self, records: Records, before: int) -> None:
        """Removes those of some records that are no longer needed, of sequences up to `before`."""
        old = sorted(sequence for sequence in records if sequence <= before)[:-_KEPT]
        remove(self._files, [path for sequence in old for path in records[sequence]])

    def files_of(self, table: DeltaTable, sequence: int, records: Records) -> set[str] | None:
        """The files that the commit of a sequence added; None when the log no longer tells.

        Args:
            table: the table, which has the sequence.
            sequence: the sequence.
            records: `noted`, asked for after the table was opened: a record is there before its
                commit is.
        """
        noted = self._read(records, sequence)
        if not noted:
            return None
        for version in range(min(n["after"] for n in noted) + 1, table.version() + 1):
            actions = self._actions(version)
            if actions is None:
                return None
            if any(self._of(action.get("commitInfo", {}), sequence) for action in actions):
                return {unquote(action["add"]["path"]) for action in actions if "add" in action}
        return None

    def _read(self, records: Records, sequence: int) -> list[JsonDict]:
        """The records as `note` wrote them. One that was torn by a death is passed over."""
        found: list[JsonDict] = []
        for path in records.get(sequence, []):
            with suppress(ValueError):
                found.append(json.loads(self._text(path) or ""))
        return found

    def _actions(self, version: int) -> list[JsonDict] | None:
        """The actions of a commit; None when the log was shortened since."""
        text = self._text(f"_delta_log/{version:020}.json")
        return None if text is None else [json.loads(line) for line in text.split("\n") if line]

    def _text(self, path: str) -> str | None:
        # It is opened unasked: a look whether it is there would list, which stores charge most for.
        with faults(), suppress(FileNotFoundError), self._files.open_input_file(path) as stream:
            return bytes(stream.read()).decode()
        return None

    def _logged(self, table: DeltaTable, sequence: int) -> JsonDict:
        """The record in the log, where that still reaches back to it."""
        with faults():
            # The versions that delta-rs numbers them with are wrong when others commit meanwhile.
            for info in table.history():
                if record := self._of(info, sequence):
                    return record
        raise TerminalError(
            f"the table has sequence {sequence} of the job, but the record of its watermark is"
            " lost: its log was shortened, and the file beside it removed",
            fix="Restore _delta_log/_copyjob, or reset the table and load it anew",
            code="ledger-lost",
        )

    def _of(self, info: JsonDict, sequence: int) -> JsonDict | None:
        """The record in a commit's info, if it is this ledger's of this sequence."""
        ours = info.get(_INFO)
        if not isinstance(ours, dict) or ours.get("ledger") != self._app:
            return None
        record: JsonDict = ours["published"]
        return record if record["sequence"] == sequence else None


def newest(files: pafs.FileSystem) -> dict[str, int]:
    """The newest sequence that each ledger of a table has a record of, by the last step of its
    folder. All below are over: a record is written when the one before is committed and cleaned.
    """
    with faults():
        records = files.get_file_info(
            pafs.FileSelector(_RECORDS, allow_not_found=True, recursive=True)
        )
    found: dict[str, int] = {}
    for info in records:
        *_, digest, name = info.path.split("/")
        sequence = name.partition("-")[0]
        if info.type == pafs.FileType.File and sequence.isdecimal():
            found[digest] = max(found.get(digest, 0), int(sequence))
    return found
