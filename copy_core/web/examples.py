"""What OpenAPI shows of requests and answers. A test holds them against the schemas."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

_ETAG = '"0x8DD6A9E2F2B7A3C"'

JOB_TEXT = """\
name: sales
source: erp
destination: lake
tables:
  - source: orders
    mode: incremental
    incremental_column: changed
    write: upsert
    keys: [id]
schedules:
  - cron: "30 2 * * *"
    timezone: Europe/Berlin
"""
FAULT = {
    "file": "sales.yaml",
    "line": 2,
    "column": 9,
    "path": "source",
    "what": "there is no connection 'epr'",
    "fix": "did you mean 'erp'?",
}
PROBLEM = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "1 problem(s) in the job file",
    "code": "job-file",
    "where": {"job": "sales"},
    "fix": "",
    "problems": [FAULT],
}
JOB_LINE = {
    "name": "sales",
    "etag": _ETAG,
    "valid": True,
    "source": "erp",
    "destination": "lake",
    "tables": 1,
    "schedules": [{"cron": "30 2 * * *", "timezone": "Europe/Berlin"}],
    "next_start": "2026-11-24T01:30:00Z",
}
JOB_FULL = {"name": "sales", "etag": _ETAG, "text": JOB_TEXT, "valid": False, "problems": [FAULT]}
WATERMARK = {
    "source": "orders",
    "destination": "orders",
    "listed": True,
    "sequence": 12,
    "loaded": True,
    "truncate": False,
    "incremental_column": "changed",
    "watermark": "2026-11-22T02:29:41.0000000",
    "kind": "timestamp",
    "pending": {
        "sequence": 13,
        "run_id": "20261123T023000-4f1c2a",
        "planned_at": "2026-11-23T02:30:01.104000+00:00",
        "load_type": "incremental",
        "lower_bound": "2026-11-22T02:29:41.0000000",
        "upper_bound": "2026-11-23T02:29:58.0000000",
        "parts": 4,
        "parts_staged": 3,
    },
    "changed_by": "20261123T023000-4f1c2a",
}
CONNECTION = {
    "name": "lake",
    "type": "delta",
    "options": {
        "root": "az://lake/bronze",
        "storage": {"account_name": "contoso", "account_key": "${env:LAKE_KEY}"},
    },
}
DESCRIPTION = {
    "object": "orders",
    "columns": [
        {"name": "id", "type": "int64", "nullable": False, "watermark": "int"},
        {"name": "changed", "type": "timestamp", "nullable": True, "watermark": "timestamp"},
    ],
    "uncopyable": {},
    "keys": ["id"],
    "rows": 336776,
}
PREVIEW = {
    "object": "orders",
    "columns": ["id", "changed"],
    "rows": [[1, "2026-11-22T02:29:41"], [2, None]],
}
_CLOUD_EVENT = {
    "specversion": "1.0",
    "type": "Microsoft.Storage.BlobCreated",
    "source": "/subscriptions/.../storageAccounts/contoso",
    "id": "9aeb0fdf-c01e-0131-0922-9eb54906e209",
    "time": "2026-11-22T02:29:58.1234567Z",
    "data": {
        "api": "PutBlockList",
        "url": "https://contoso.blob.core.windows.net/landing/orders/1.parquet",
        "eTag": "0x8DD6A9E2F2B7A3C",
        "contentLength": 4096,
    },
}
_GRID_EVENT = {
    "id": _CLOUD_EVENT["id"],
    "topic": _CLOUD_EVENT["source"],
    "subject": "/blobServices/default/containers/landing/blobs/orders/1.parquet",
    "eventType": _CLOUD_EVENT["type"],
    "eventTime": _CLOUD_EVENT["time"],
    "data": _CLOUD_EVENT["data"],
    "dataVersion": "",
    "metadataVersion": "1",
}
EVENTS = {
    "application/json": [_GRID_EVENT],
    "application/cloudevents+json": _CLOUD_EVENT,
    "application/cloudevents-batch+json": [_CLOUD_EVENT],
}


def shown(*examples: dict[str, Any]) -> ConfigDict:
    """The configuration of an answer: its schema has examples."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


def asked(*examples: dict[str, Any]) -> ConfigDict:
    """The configuration of a request: likewise, and nothing in it is passed over or guessed."""
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": list(examples)})
