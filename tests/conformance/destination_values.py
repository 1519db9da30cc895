"""What every destination does with values, names and schemas that differ."""

from __future__ import annotations

import pyarrow as pa
import pytest

from copy_core.connectors.base import Destination
from copy_core.errors import ConfigError
from copy_core.job import WriteMode
from tests.conformance.destination_kit import DestinationSuite, aim, check, load
from tests.conformance.rigs import DestinationRig
from tests.conformance.samples import table, typed


class KeepsValues(DestinationSuite):
    """Values, names and schemas."""

    def test_every_value_of_every_type_arrives_as_it_is(
        self, rig: DestinationRig, kind: str
    ) -> None:
        rows = typed(kind)
        mode: WriteMode = "append" if "append" in rig.capabilities.modes else "overwrite"
        load(rig, aim(rows, 1, mode), rows)
        check(rig, rows)

    def test_odd_table_names(self, rig: DestinationRig, odd_table: str, write: WriteMode) -> None:
        target = aim(table(), 1, write, object=odd_table, table=odd_table)
        load(rig, target, table())
        check(rig, table(), name=odd_table)
        with rig.open() as to:
            assert to.last_commit("job", odd_table, odd_table) is not None
        assert rig.staged() == []

    def test_odd_column_names(self, rig: DestinationRig, odd_column: str, write: WriteMode) -> None:
        rows = table().rename_columns([odd_column, "name", "at"])
        more = {"keys": (odd_column,), "order_by": "at"} if write == "upsert" else {}
        for sequence in (1, 2):
            target = aim(rows, sequence, write, **more)
            load(rig, target, rows.slice(0, 3), rows.slice(3))
        check(rig, *([rows, rows] if write == "append" else [rows]))

    def test_columns_that_differ_only_in_case_all_arrive_or_are_refused_by_name(
        self, rig: DestinationRig, to: Destination
    ) -> None:
        rows = table().rename_columns(["id", "name", "NAME"])
        target = aim(rows, write=min(rig.capabilities.modes))
        try:
            to.prepare(target)
        except ConfigError as e:
            assert rig.read("t") is None
            assert e.where["column"].lower() == "name"  # noqa: PT017 - either is right
        else:
            load(rig, target, rows)
            check(rig, rows)

    def test_rows_go_by_column_name_whatever_the_order(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table())
        turned = table(3, start=10).select(["at", "name", "id"])
        load(rig, aim(turned, 2, write), turned)
        wanted = [turned] if write == "overwrite" else [table(), table(3, start=10)]
        check(rig, *[t.select(["id", "name", "at"]) for t in wanted])

    def test_a_table_that_another_program_made(
        self, rig: DestinationRig, write_whole: WriteMode
    ) -> None:
        rig.create("t", table(3))
        load(rig, aim(table(), 1, write_whole), table(2, start=3))
        check(rig, table(2, start=3) if write_whole == "overwrite" else table(5))

    def test_drift_evolve_adds_the_column(self, rig: DestinationRig, write: WriteMode) -> None:
        load(rig, aim(table(), 1, write), table(3))
        rows = table(2, start=3).append_column("new", pa.array(["a", "b"], pa.string()))
        load(rig, aim(rows, 2, write, drift="evolve"), rows)
        old = table(3).append_column("new", pa.nulls(3, pa.string()))
        check(rig, *([rows] if write == "overwrite" else [old, rows]))

    def test_drift_ignore_leaves_the_column_out(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table(3))
        rows = table(2, start=3).append_column("new", pa.array(["a", "b"], pa.string()))
        load(rig, aim(rows, 2, write, drift="ignore"), rows)
        found = rig.read("t")
        assert found is not None
        assert found.column_names == ["id", "name", "at"]
        check(rig, table(2, start=3) if write == "overwrite" else table(5))

    def test_drift_fail_refuses_before_anything_is_written(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table())
        rows = table(2).append_column("brand_new", pa.array(["a", "b"], pa.string()))
        with pytest.raises(ConfigError) as refused:
            to.prepare(aim(rows, 2, write, drift="fail"))
        assert "brand_new" in str(refused.value)
        check(rig, table())

    def test_a_type_that_the_column_cannot_hold_is_refused_by_name(
        self, rig: DestinationRig, to: Destination, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table())
        rows = table().set_column(2, "at", pa.array(["text"] * 5, pa.string()))
        with pytest.raises(ConfigError) as refused:
            to.prepare(aim(rows, 2, write))
        assert "at" in refused.value.where["column"]
        check(rig, table())

    def test_a_narrower_type_is_stored_as_the_columns_own(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table())
        narrow = table(2, start=5)
        narrow = narrow.set_column(2, "at", narrow["at"].cast(pa.int32()))
        load(rig, aim(narrow, 2, write), narrow)
        wide = narrow.cast(table().schema)
        check(rig, *([wide] if write == "overwrite" else [table(), wide]))

    def test_a_column_that_only_the_table_has_is_null_in_new_rows(
        self, rig: DestinationRig, write: WriteMode
    ) -> None:
        load(rig, aim(table(), 1, write), table(3))
        load(rig, aim(table().select(["id", "at"]), 2, write), table(2, start=3))
        new = table(2, start=3).set_column(1, "name", pa.nulls(2, pa.string()))
        check(rig, *([new] if write == "overwrite" else [table(3), new]))
