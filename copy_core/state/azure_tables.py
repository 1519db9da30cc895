"""State in Azure Table Storage: what a deployment on Azure uses, and several machines can share.

A row is one entity. Its etag is the service's own, and compare-and-set is the service's If-Match.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
)
from azure.data.tables import TableClient, TableEntity, UpdateMode

from copy_core import entra
from copy_core.azure_errors import classed, status_of
from copy_core.errors import ConfigError, ConflictError, CopyJobError
from copy_core.model import JsonDict
from copy_core.state.base import ABSENT, ANY, Row, StateStore
from copy_core.state.encoding import damaged, dump, encode, encoded_range, load

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_T = TypeVar("_T")
_Entity = dict[str, Any]
_Operation = tuple[str, _Entity] | tuple[str, _Entity, Mapping[str, Any]]

TABLE: Final = "copyjob"
"""The table that is used when none is named."""

# A string property takes 64 KiB, at two bytes a character:
# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
_CHUNK = 32_000
_PAGE = 1_000
_NAMES = ("PartitionKey", "RowKey", "key")
# What an entity raises that others wrote or changed.
_MISSHAPEN = (KeyError, TypeError, ValueError)

# A transaction takes 100 operations and 4 MiB with its headers:
# https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
_OPERATIONS = 100
_PAYLOAD = 3_500_000
_HEADERS = 1_500

# The flow repeats steps by its own rules; the client only bridges a dropped connection.
_CLIENT: Final[Mapping[str, Any]] = {
    "retry_total": 2,
    "retry_status": 0,
    "retry_backoff_factor": 0.2,
    "connection_timeout": 10,
    "read_timeout": 30,
}


class AzureTablesStateStore(StateStore):
    """A table of an Azure storage account, made when it is first needed.

    Args:
        client: the table; it closes with the store.
    """

    def __init__(self, client: TableClient) -> None:
        self._client = client
        self.place = f"{client.account_name}/{client.table_name}"

    @classmethod
    def from_url(
        cls, account_url: str, table: str = TABLE, *, credential: TokenCredential | None = None
    ) -> AzureTablesStateStore:
        """Opens a table by identity, without a secret.

        Args:
            account_url: `https://ACCOUNT.table.core.windows.net`.
            table: the table's name.
            credential: who asks; by default `entra.own()`.
        """
        credential = credential or entra.own()
        return cls(TableClient(account_url, table, credential=credential, **_CLIENT))

    @classmethod
    def from_connection_string(cls, connection: str, table: str = TABLE) -> AzureTablesStateStore:
        """Opens a table by a storage connection string, which is a secret.

        Raises:
            ConfigError: it is no connection string.
        """
        try:
            return cls(TableClient.from_connection_string(connection, table, **_CLIENT))
        except ValueError as e:
            raise ConfigError(
                "the value is no storage connection string",
                fix="Copy it from the storage account:"
                " DefaultEndpointsProtocol=...;AccountName=...;AccountKey=...",
                code="state-connection",
            ) from e

    def get(self, partition: str, key: str) -> Row | None:
        found = self._find(partition, f"RowKey eq '{encode(key)}'", limit=1)
        return next((self._row(partition, entity) for entity in found), None)

    def put(self, partition: str, key: str, value: JsonDict, expect: str = ANY) -> str:
        entity = _entity(partition, key, value)

        def write() -> Mapping[str, Any]:
            if expect == ABSENT:
                return self._client.create_entity(entity)
            if expect == ANY:
                return self._client.upsert_entity(entity, mode=UpdateMode.REPLACE)
            return self._client.update_entity(
                entity,
                mode=UpdateMode.REPLACE,
                etag=expect,
                match_condition=MatchConditions.IfNotModified,
            )

        try:
            return str(self._call(write)["etag"])
        except ConflictError as e:
            # When an answer is lost the client repeats the request, and is refused because of
            # its own first write: the mark tells that from somebody else's.
            for stored in self._find(partition, f"RowKey eq '{entity['RowKey']}'", limit=1):
                if stored.get("mark") == entity["mark"]:
                    return str(stored.metadata["etag"])
            raise e.at(partition=partition, key=key) from e

    def put_many(self, partition: str, values: Mapping[str, JsonDict]) -> None:
        entities = [_entity(partition, key, value) for key, value in values.items()]
        replace = {"mode": UpdateMode.REPLACE}
        for batch in _batches(entities):
            self._transaction([("upsert", entity, replace) for entity in batch])

    def delete(self, partition: str, key: str, expect: str = ANY) -> None:
        entity = {"PartitionKey": encode(partition), "RowKey": encode(key)}
        if expect == ANY:
            self._call(lambda: self._client.delete_entity(entity))
            return
        condition = {"etag": expect, "match_condition": MatchConditions.IfNotModified}
        try:
            # Alone, `delete_entity` keeps quiet about a row that is not there.
            self._transaction([("delete", entity, condition)])
        except ConflictError as e:
            raise e.at(partition=partition, key=key) from e

    def list(
        self, partition: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[Row]:
        condition = _within(prefix)
        if after:
            condition += f" and RowKey gt '{encode(after)}'"
        return [self._row(partition, e) for e in self._find(partition, condition, prefix, limit)]

    def delete_prefix(self, partition: str, prefix: str) -> None:
        doomed = self._find(partition, _within(prefix), prefix, select=_NAMES)
        for batch in _batches(doomed):
            try:
                self._transaction([("delete", entity) for entity in batch])
            except ConflictError:
                # Somebody else removed one of them, and so stopped the whole transaction.
                for entity in batch:
                    self._call(partial(self._client.delete_entity, entity))

    def close(self) -> None:
        self._client.close()

    def _find(
        self,
        partition: str,
        condition: str,
        prefix: str = "",
        limit: int | None = None,
        select: Iterable[str] | None = None,
    ) -> Sequence[TableEntity]:
        page = _PAGE if limit is None else min(max(limit, 1), _PAGE)

        def read() -> Sequence[TableEntity]:
            found = self._client.query_entities(
                f"PartitionKey eq '{encode(partition)}' and {condition}",
                results_per_page=page,
                select=None if select is None else [*select],
            )
            keyed = (e for e in found if self._key(partition, e).startswith(prefix))
            return [*islice(keyed, limit)]

        return self._call(read)

    def _key(self, partition: str, entity: TableEntity) -> str:
        try:
            return str(json.loads(entity["key"]))
        except _MISSHAPEN as e:
            row = str(entity["RowKey"])
            why = f"it has no key: {e}"
            raise damaged(why, partition=partition, key=row, state=self.place) from e

    def _row(self, partition: str, entity: TableEntity) -> Row:
        key = self._key(partition, entity)
        where = {"partition": partition, "key": key, "state": self.place}
        try:
            text = "".join(entity[f"value{n}"] for n in range(entity["chunks"]))
        except _MISSHAPEN as e:
            raise damaged(f"a part of it is missing: {e}", **where) from e
        return Row(key, load(text, **where), str(entity.metadata["etag"]))

    def _transaction(self, operations: Sequence[_Operation]) -> None:
        self._call(lambda: self._client.submit_transaction(operations))

    def _call(self, action: Callable[[], _T]) -> _T:
        """Runs one request, makes the table if that is all that was missing, classes errors."""
        try:
            try:
                return action()
            except HttpResponseError as e:
                if not _says(e, "TableNotFound"):
                    raise
            with suppress(ResourceExistsError):
                self._client.create_table()
            return action()
        except AzureError as e:
            raise self._classed(e).at(state=self.place) from e

    def _classed(self, error: AzureError) -> CopyJobError:
        if status_of(error) in (404, 412) or _says(error, "EntityAlreadyExists"):
            return ConflictError(
                "the state was changed by somebody else meanwhile", code="state-changed"
            )
        return classed(error, "Azure Table Storage", "Storage Table Data Contributor", "state")


def _says(error: AzureError, code: str) -> bool:
    """Whether an error names a code of the service; some errors have it in their text only."""
    return code in str(error)


def _within(prefix: str) -> str:
    low, below = encoded_range(prefix)
    return f"RowKey ge '{low}' and RowKey lt '{below}'"


def _entity(partition: str, key: str, value: JsonDict) -> _Entity:
    text = dump(value, partition, key)
    chunks = [text[i : i + _CHUNK] for i in range(0, len(text), _CHUNK)]
    return {
        "PartitionKey": encode(partition),
        "RowKey": encode(key),
        "key": json.dumps(key),
        "mark": uuid4().hex,
        "chunks": len(chunks),
    } | {f"value{n}": chunk for n, chunk in enumerate(chunks)}


def _batches(entities: Iterable[_Entity]) -> Iterator[Sequence[_Entity]]:
    """Cuts what is to be written into what one transaction takes."""
    batch: list[_Entity] = []
    payload = 0
    for entity in entities:
        size = len(json.dumps(entity, default=str)) + _HEADERS
        if len(batch) == _OPERATIONS or (batch and payload + size > _PAYLOAD):
            yield batch
            batch, payload = [], 0
        batch.append(entity)
        payload += size
    if batch:
        yield batch
