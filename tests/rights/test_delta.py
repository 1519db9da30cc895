"""What Delta tables ask of the store that they are in: what the pages grant, and no less."""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from tests.crash import lakes
from tests.crash.store_places import Kind, container, options
from tests.rights import iam, pages, rbac
from tests.rights.guard import Guard
from tests.rights.tables import copied
from tests.servers import Azurite, LocalStack
from tests.store_proxy import Rule, proxy

UPKEEP = {"optimize": True, "vacuum": timedelta(days=7)}


def test_s3(tmp_path: Path, localstack: LocalStack) -> None:
    bucket = f"rights-{secrets.token_hex(8)}"
    container(options(Kind("s3", "parquet", localstack.endpoint, bucket))).create()
    guard = Guard(iam.needs, "AccessDenied", {}, iam.absent)
    with proxy(localstack.endpoint) as server:
        server.reset(Rule(guard))
        lake = lakes.options(Kind("s3", "delta", server.origin, bucket))
        lake = lake.model_copy(update={"root": f"s3://{bucket}/{pages.PREFIX}", **UPKEEP})
        for direction, title in (("writes", "To write, in S3"), ("reads", "To read, in S3")):
            policy = pages.policy("delta", title, bucket)
            guard.allow(partial(iam.allows, policy))
            assert copied(direction, tmp_path / direction, lake) == ""
            assert guard.refused == set()
            assert guard.used == iam.actions(policy)


def test_azure(tmp_path: Path, azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"rights-{secrets.token_hex(8)}"
    ContainerClient(azurite.blob_endpoint, name, credential=azurite.key).create_container()
    guard = Guard(rbac.needs, "AuthorizationPermissionMismatch", {})
    with proxy(azurite.blob_origin) as server:
        server.reset(Rule(guard))
        monkeypatch.setenv(azurite.BLOB_URL_VARIABLE, server.origin)
        lake = lakes.options(Kind("azure_blob", "delta", server.origin, name))
        lake = lake.model_copy(update=UPKEEP)
        for direction, use in (("writes", "write"), ("reads", "read")):
            actions = pages.uses()[use]
            guard.allow_actions(actions)
            assert copied(direction, tmp_path / direction, lake) == ""
            assert guard.refused == set()
            assert guard.used == actions
