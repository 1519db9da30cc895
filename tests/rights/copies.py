"""Copies that between them ask for every right that a store of files has to give.

Each sets its files up without the guard, copies through it, and says what went wrong.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from click.testing import CliRunner

from copy_core.cli import main
from copy_core.connectors.options import LocalOptions
from tests.crash.places import TABLE, SqliteTable
from tests.crash.store_places import TYPES, Options, written
from tests.matrix.cells import FIRST, LATER, run

SMALL, LARGE = b"small", random.Random(7).randbytes((8 << 20) + 1)
"""What goes in one request, and what does not."""
TAGS = {"kind": "trial"}


class Service(Protocol):
    """A store of files, past the guard."""

    def put(self, key: str, data: bytes, tags: Mapping[str, str]) -> None:
        """Makes an object."""

    def all(self) -> dict[str, dict[str, str]]:
        """The objects, and the tags of each."""

    def unfinished(self) -> list[str]:
        """Uploads below `out` that were begun and have neither ended nor been given up."""


class Place(NamedTuple):
    """Where a copy is tried.

    Attributes:
        folder: an empty folder of this machine.
        guarded: the connection that is on trial.
        inside: what it leads to.
        free: another container of the service, to which nobody minds the way.
        outside: what is there.
    """

    folder: Path
    guarded: Options
    inside: Service
    free: Options
    outside: Service

    def here(self, form: str = "parquet", **options: Any) -> Options:
        """The connection on trial, with files of a format."""
        return self.guarded.model_copy(update={"format": form, **options})

    def there(self, form: str = "binary") -> Options:
        """The other container."""
        return self.free.model_copy(update={"format": form})

    def on_disk(self, form: str = "parquet") -> LocalOptions:
        """A folder of this machine, with files of a format."""
        root = self.folder / "disk"
        root.mkdir(exist_ok=True)
        given = {"type": "local", "root": str(root), "format": form}
        return LocalOptions.model_validate(given | ({"types": TYPES} if form == "csv" else {}))


Copy = Callable[[Place], str]
"""Copies; "" when all went well."""


def reads_rows(place: Place) -> str:
    """Rows of files, by a column of theirs."""
    place.inside.put(f"in/{TABLE}/1.parquet", written(FIRST, "parquet"), {})
    table = {"source": f"in/{TABLE}", "mode": "incremental", "incremental_column": "v"}
    return run(place.folder, place.here(), place.on_disk(), table)


def reads_new_files(place: Place) -> str:
    """Rows of the files that are new."""
    place.inside.put(f"in/{TABLE}/1.parquet", written(FIRST, "parquet"), {})
    table = {
        "source": f"in/{TABLE}",
        "mode": "incremental",
        "incremental_column": "_file_modified",
    }
    return run(place.folder, place.here(), place.on_disk(), table)


def reads_objects(place: Place) -> str:
    """Objects as they are, with their tags."""
    _tagged(place.inside)
    wrong = run(place.folder, place.here("binary"), place.there(), {"source": "in"})
    return wrong or _all_tagged(place.outside, "in")


def reads_new_objects(place: Place) -> str:
    """The objects that are new, as they are."""
    _tagged(place.inside)
    table = {"source": "in", "mode": "incremental"}
    return run(place.folder, place.here("binary"), place.on_disk("binary"), table)


def moves_objects(place: Place) -> str:
    """Objects as they are, which do not stay."""
    _tagged(place.inside, {})
    table = {"source": "in", "delete_source": True}
    wrong = run(place.folder, place.here("binary"), place.on_disk("binary"), table)
    return wrong or ", ".join(f"{key} stayed" for key in place.inside.all())


def leaves_rows_out(place: Place) -> str:
    """Rows of files with lines that are none, which are written down."""
    place.inside.put(f"in/{TABLE}/1.csv", b"id,v,rev\n1,1,1\n2,two,2\n", {})
    source = place.here("csv", bad_rows="skip", types=TYPES)
    wrong = run(place.folder, source, place.on_disk(), {"source": f"in/{TABLE}"})
    return wrong or ("" if any("_rejects/" in k for k in place.inside.all()) else "not told")


def is_tried_for_reading(place: Place) -> str:
    """The doctor without `--write`."""
    place.inside.put(f"in/{TABLE}/1.parquet", written(FIRST, "parquet"), {})
    return _doctor(place, "--table", f"in/{TABLE}")


def writes_rows(place: Place) -> str:
    """Rows, added and then replaced, in folders by their value."""
    rows = SqliteTable(place.folder)
    rows.insert(FIRST)
    table = {"source": TABLE, "destination": "out", "parts": 2, "partition_by": ["rev"]}
    some = [{"column": "id", "op": "<=", "value": 3}]
    wrong = run(place.folder, rows.options, place.here(), table | {"filter": some})
    rows.insert(LATER)
    again = table | {"write": "overwrite", "filter": some}
    (place.folder / "state.db").unlink()
    return wrong or run(place.folder, rows.options, place.here(), again)


def breaks_off(place: Place) -> str:
    """Rows that fill a file of several parts, and one after them that is none.

    While the third part is gathered the second is sent, which begins the upload.
    """
    types = {"id": "int64", "text": "string"}
    at = place.on_disk("csv").model_copy(update={"types": types})
    (Path(at.root) / TABLE).mkdir()
    lines = "".join(f"{n},{'x' * 9_000}\n" for n in range(3_000))
    (Path(at.root) / TABLE / "1.csv").write_text(f"id,text\n{lines}", "utf-8")
    (Path(at.root) / TABLE / "2.csv").write_text("id,text\nnone,a\n", "utf-8")
    table = {"source": TABLE, "destination": "out", "parts": 1}
    wrong = run(place.folder, at, place.here("csv", types=types), table)
    left = ", ".join(place.inside.unfinished())
    return wrong if wrong != "bad-value" else left and f"left: {left}"


def writes_objects(place: Place) -> str:
    """Objects as they are, with their tags, in place of others."""
    _tagged(place.outside)
    place.inside.put("out/stale", SMALL, {})
    table = {"source": "in", "destination": "out", "write": "overwrite"}
    wrong = run(place.folder, place.there(), place.here("binary"), table)
    return wrong or _all_tagged(place.inside, "out")


def is_tried_for_writing(place: Place) -> str:
    """The doctor with `--write`."""
    return _doctor(place, "--write")


def copies_within(place: Place) -> str:
    """Objects from one folder to another, by the service itself where it can."""
    _tagged(place.inside)
    here = place.here("binary")
    wrong = run(place.folder, here, here, {"source": "in", "destination": "out"})
    return wrong or _all_tagged(place.inside, "out")


def _tagged(service: Service, tags: Mapping[str, str] = TAGS) -> None:
    service.put("in/small", SMALL, tags)
    service.put("in/deep/large", LARGE, tags)


def _all_tagged(service: Service, folder: str) -> str:
    found = {k: tags for k, tags in service.all().items() if k.startswith(f"{folder}/")}
    kept = {k: tags for k, tags in found.items() if "_copyjob/" not in k}
    wanted = {f"{folder}/{name}": TAGS for name in ("small", "deep/large")}
    return "" if kept == wanted else f"there is {kept}"


def _doctor(place: Place, *how: str) -> str:
    file = place.folder / "connections.json"
    here = place.here().model_dump(mode="json", exclude_defaults=True)
    file.write_text(json.dumps({"connections": {"it": here}}), "utf-8")
    done = CliRunner().invoke(main, ["doctor", "it", "--connections", str(file), *how])
    return done.output if done.exit_code else ""
