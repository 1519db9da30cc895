"""Writes into host.json where Durable Functions keeps its queues and histories.

azd runs this before it packs the app: `COPYJOB_DURABLE` is `storage` (also when it is not set) or
`scheduler`. An app setting could say it to the host, but not to what starts instances, which is
told host.json alone: https://github.com/Azure/azure-functions-durable-extension/issues/2622
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

HOST_FILE: Final = Path(__file__).parents[1] / "host.json"
SCHEDULER: Final = {
    "type": "azureManaged",
    "connectionStringName": "DURABLE_TASK_SCHEDULER_CONNECTION_STRING",
}
"""https://learn.microsoft.com/azure/durable-task/scheduler/develop-with-durable-task-scheduler-functions"""


def main(backend: str, file: Path = HOST_FILE) -> None:
    """Writes the file, which stays as it is when it says so already.

    Args:
        backend: `storage` or `scheduler`.
        file: the host.json.

    Raises:
        SystemExit: there is no such back end.
    """
    if backend not in ("storage", "scheduler"):
        sys.exit(f"COPYJOB_DURABLE is {backend!r}: set it to storage or scheduler by azd env set.")
    host = json.loads(file.read_text("utf-8"))
    durable = host["extensions"]["durableTask"]
    durable.pop("storageProvider", None)
    if backend == "scheduler":
        durable["storageProvider"] = SCHEDULER
    file.write_text(json.dumps(host, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(os.environ.get("COPYJOB_DURABLE") or "storage")
