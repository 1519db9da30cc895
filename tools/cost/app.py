"""The app under the test host, with all its storage in Azurite behind proxies that note each
request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient

from copy_core.service import retention
from copy_core.state.azure_tables import AzureTablesStateStore
from tests import servers
from tests.durable.site import Site, unique, until
from tests.store_proxy import Proxy, proxy
from tools.cost import counts

_NAMES = ("jobs", "source", "destination")


class App:
    """The app under the test host.

    Args:
        folder: an empty folder for what it keeps.
        azurite: the storage.
        tables: a proxy before its tables.
        blobs: a proxy before its blobs.
    """

    def __init__(self, folder: Path, azurite: servers.Azurite, tables: Proxy, blobs: Proxy) -> None:
        self._azurite, self._tables, self._blobs = azurite, tables, blobs
        self.containers = {name: unique(name) for name in _NAMES}
        with self._service() as service:
            for container in self.containers.values():
                service.create_container(container).close()
        through = azurite.connection_string.replace(
            f"127.0.0.1:{azurite.table_port}", tables.origin.removeprefix("http://")
        ).replace(azurite.blob_origin, blobs.origin)
        self.site = Site(
            folder,
            azurite,
            "--no-timers",
            environment={
                "COPYJOB_STORAGE": through,
                "COPYJOB_STATE": "tables:${env:COPYJOB_STORAGE}",
                "COPYJOB_JOBS": "blobs:${env:COPYJOB_STORAGE}/" + self.containers["jobs"],
                azurite.BLOB_URL_VARIABLE: blobs.origin,
            },
        )

    def put(self, file: str, content: dict[str, Any]) -> None:
        """Writes a job file, or the one with the connections, past the proxies."""
        with self._service() as service, closing(self._jobs(service)) as jobs:
            jobs.upload_blob(f"{file}.json", json.dumps(content), overwrite=True)

    def remove(self, file: str) -> None:
        with self._service() as service, closing(self._jobs(service)) as jobs:
            jobs.delete_blob(f"{file}.json")

    def tick(self) -> None:
        """Has the timer's function run, and waits until it has asked the state for the last thing
        that it looks at.
        """
        seen = self._last_looks()
        self.site.fire("tick")
        until(lambda: self._last_looks() > seen)

    def forget(self) -> None:
        """Counts from here."""
        self._tables.reset()
        self._blobs.reset()

    def requests(self) -> dict[str, int]:
        """What was asked for since `forget`."""
        found = counts.table_requests(self._tables.requests)
        return dict(sorted((found + counts.blob_requests(self._blobs.requests)).items()))

    def instances(self) -> dict[str, str]:
        """The status of every orchestration, by its id."""
        listed = self.site.ask("GET", "/durabletask/instances").body
        return {each["instanceId"]: each["runtimeStatus"] for each in listed}

    def _last_looks(self) -> int:
        # `retention.daily` comes last, and looks up on which day it was done.
        return sum(
            method == "GET" and "purged" in path for method, path in list(self._tables.requests)
        )

    def never_purge(self) -> None:
        """Has the app believe that what it removes once a day was removed for good: it would count
        for what is measured at midnight.
        """
        store = AzureTablesStateStore.from_connection_string(self._azurite.connection_string)
        with closing(store):
            store.put(retention.PARTITION, "purged", {"day": date.max.isoformat()})

    def _service(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self._azurite.connection_string)

    def _jobs(self, service: BlobServiceClient) -> Any:
        return service.get_container_client(self.containers["jobs"])


@contextmanager
def started(folder: Path, azurite: servers.Azurite) -> Iterator[App]:
    """An app that runs."""
    with ExitStack() as stack:
        tables = stack.enter_context(proxy(azurite.table_endpoint))
        blobs = stack.enter_context(proxy(azurite.blob_endpoint))
        app = App(folder, azurite, tables, blobs)
        stack.callback(app.site.stop)
        app.site.start()
        app.put("connections", {"connections": _connections(app)})
        app.never_purge()
        app.tick()
        yield app


def _connections(app: App) -> dict[str, Any]:
    def lake(name: str) -> dict[str, Any]:
        root = f"az://{app.containers[name]}"
        return {"type": "delta", "root": root, "storage": servers.Azurite.storage_options}

    shop = {"type": "sqlite", "path": str(app.site.source)}
    return {"shop": shop, "landing": lake("source"), "lake": lake("destination")}
