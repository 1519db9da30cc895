"""`make matrix`: a row for each pair of systems, a column for each mode."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests import servers
from tests.conformance.onelake import onelake
from tests.matrix import cells, files
from tests.matrix.cells import Cell
from tests.matrix.systems import System, lakehouses, own, sql_servers, stores

_SIGNS = {"ok": "[green]ok[/]", "not offered": "[dim]not offered[/]"}
_AT_ONCE = 4
_Tried = Callable[[Path, System, System, str], Cell]


def main(arguments: list[str] | None = None) -> int:
    """Prints the matrix; 1 when a cell is wrong, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--form", choices=("parquet", "csv", "jsonl"), default="parquet")
    parser.add_argument("--only", default="", help="one system: its row and its column")
    chosen = parser.parse_args(arguments)
    logging.disable()  # what a run says; the cells tell what it did
    console = Console(width=min(max(Console().width, 110), 120))
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="copyjob-matrix-")))
        stack.enter_context(servers.session(root / "servers"))
        localstack = servers.localstack(root / "servers")
        azurite = servers.azurite(root / "servers")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(azurite.BLOB_URL_VARIABLE, azurite.blob_origin)
        stack.enter_context(onelake(azurite))
        live = stack.enter_context(sql_servers(azurite))
        systems = [
            *own(chosen.form),
            *stores(localstack, azurite, chosen.form),
            *lakehouses(azurite, chosen.form),
            *live,
        ]
        pairs = [
            pair
            for pair in product(systems, systems)
            if not chosen.only or chosen.only in (pair[0].name, pair[1].name)
        ]
        rows = _Matrix(f"Rows; files are {chosen.form}", cells.MODES, cells.cell)
        whole = _Matrix("Files as they are", files.MODES, files.cell)
        wrong = rows.play(console, root, pairs)
        wrong += whole.play(console, root, [p for p in pairs if p[0].files and p[1].files])
    if not live:
        console.print("Left out: SQL Server and Warehouse. COPYJOB_TEST_MSSQL names no server.")
    console.print(f"{wrong} cells are wrong." if wrong else "Every cell agrees.")
    return 1 if wrong else 0


class _Matrix:
    """A table that is printed once every cell of it was tried."""

    def __init__(self, title: str, modes: Iterable[str], tried: _Tried) -> None:
        self._title, self._modes, self._tried = title, list(modes), tried

    def play(self, console: Console, root: Path, pairs: list[tuple[System, System]]) -> int:
        """Tries every cell of these pairs; returns how many are wrong."""
        table = Table("source", "destination", *(m.replace(" ", "\n") for m in self._modes))
        table.title, before, trouble = self._title, "", list[str]()
        with ThreadPoolExecutor(_AT_ONCE, "cells") as pool:
            rows = pool.map(lambda pair: self._row(root, *pair), pairs)
            for (source, target), found in zip(pairs, rows, strict=True):
                if source.name != before:
                    table.add_section()
                name, before = ("" if source.name == before else source.name), source.name
                table.add_row(name, target.name, *map(_shown, found))
                trouble += [
                    f"{source.name} to {target.name}, {mode}: {cell.outcome}"
                    for mode, cell in zip(self._modes, found, strict=True)
                    if cell.outcome not in _SIGNS
                ]
        console.print(table)
        for each in trouble:
            console.print(each, markup=False)
        return len(trouble)

    def _row(self, root: Path, source: System, target: System) -> list[Cell]:
        return [self._cell(root, source, target, mode) for mode in self._modes]

    def _cell(self, root: Path, source: System, target: System, mode: str) -> Cell:
        folder = Path(tempfile.mkdtemp(dir=root))
        try:
            return self._tried(folder, source, target, mode)
        except Exception as e:  # noqa: BLE001 - a cell that breaks is wrong, and the rest is tried
            return Cell(f"{type(e).__name__}: {e}")


def _shown(cell: Cell) -> str:
    sign = _SIGNS.get(cell.outcome)
    if sign is None:
        return "[red]wrong[/]"
    return f"{sign} ({cell.rows:,})" if cell.rows else sign


if __name__ == "__main__":
    sys.exit(main())
