"""Prepares a process whose runs are killed for Warehouses: `Children` are told to import it.

What stands for a Warehouse is put in place for good, and a spec may say at which statement the
process dies: it is a point as those of `tests.crash.points` are, within a call of a connector.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from copy_core.connectors.sql.mssql.db import Database
from tests.crash import child
from tests.crash.child import Note, Spec
from tests.mssql import warehouse, warehouse_places

__all__ = ["warehouse_places"]

_work, _execute = child.work, Database._execute


def work(spec: Spec, note: Note) -> None:
    """`child.work`, which may end before it sends the statement of that number, from 1."""
    sent = 0

    def execute(self: Database, statement: Any, values: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == spec.get("statement"):
            note({"at": f"statement {sent}: {statement}"})
            os.kill(os.getpid(), signal.SIGKILL)
        return _execute(self, statement, values)

    pytest.MonkeyPatch().setattr(Database, "_execute", execute)
    _work(spec, note)


warehouse.put_in_place(pytest.MonkeyPatch())
pytest.MonkeyPatch().setattr(child, "work", work)
