"""A job file and what `copyjob run` makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from copy_core.cli import main
from copy_core.connectors.options import Connection
from copy_core.model import RunSummary, TableResult


class Desk:
    """A folder with a job file; its state lies beside it.

    Args:
        folder: an empty folder.
        source: the connection to read from.
        destination: the connection to write to.
    """

    def __init__(self, folder: Path, source: Connection, destination: Connection) -> None:
        self.folder = folder
        self.connections = {
            name: connection.model_dump(mode="json", exclude_defaults=True)
            for name, connection in (("from", source), ("to", destination))
        }

    def run(self, *tables: dict[str, Any], **settings: Any) -> RunSummary:
        """Runs a job of these tables, each as a job file has it.

        Args:
            tables: the tables.
            settings: what else the job file says.
        """
        job = {
            "name": "job",
            "source": "from",
            "destination": "to",
            "tables": tables,
            "limits": {"retries": 2},
            "connections": self.connections,
            **settings,
        }
        (self.folder / "job.json").write_text(json.dumps(job, default=str))
        said = CliRunner().invoke(main, ["run", str(self.folder / "job.json"), "--json"])
        if said.exception and not isinstance(said.exception, SystemExit):
            raise said.exception
        return RunSummary.model_validate_json(said.stdout)

    def copy(self, source: str = "t", **table: Any) -> TableResult:
        """Runs a job of one table, which must end well."""
        summary = self.run({"source": source, **table})
        assert summary.status == "succeeded", summary.model_dump_json(indent=1)
        return summary.tables[0]

    def fail(self, source: str = "t", **table: Any) -> dict[str, Any]:
        """Runs a job of one table, which must fail; what was said of it."""
        summary = self.run({"source": source, **table})
        assert summary.status == "failed", summary.model_dump_json(indent=1)
        error = summary.error or summary.tables[0].error
        assert error is not None
        return error

    def forget(self) -> None:
        """Loses the state."""
        for path in (self.folder / ".copyjob").glob("state.db*"):
            path.unlink()
