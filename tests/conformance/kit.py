"""How a connector joins: the tests that its rig's capabilities call for, as a class to collect."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import is_hypothesis_test

from tests.conformance import destination_modes as to
from tests.conformance import source_windows as windows
from tests.conformance.destination_kit import DestinationSuite, refused
from tests.conformance.destination_values import KeepsValues
from tests.conformance.rigs import DestinationRig, SourceRig
from tests.conformance.samples import ODD_NAMES, VALUES
from tests.conformance.source_kit import (
    CorruptibleSource,
    EmptyTables,
    NoEmptyTables,
    SourceSuite,
    UncopyableColumns,
)

Suite = TypeVar("Suite")


def source(rig: type[SourceRig], *, values: bool = True) -> type[SourceSuite]:
    """The tests of a source.

    Args:
        rig: its rig.
        values: also what tries many examples; not needed again where only the place of the same
            files is another, and slow over a network.
    """
    incremental = rig.capabilities.incremental
    return _class(
        rig,
        [
            (windows.SplittingSource, rig.capabilities.splits),
            (windows.DatedSource, incremental and "date" in rig.steps),
            (windows.TextTimedSource, incremental and "string" in rig.steps),
            (windows.EmptyIncremental, incremental and rig.shows_empty),
            (windows.IncrementalSource, incremental),
            (EmptyTables, rig.shows_empty),
            (NoEmptyTables, not rig.shows_empty),
            (CorruptibleSource, rig.corrupts),
            (UncopyableColumns, rig.uncopyable is not None),
            (SourceSuite, True),
        ],
        examples=values,
    )


def destination(rig: type[DestinationRig], *, values: bool = True) -> type[DestinationSuite]:
    """The tests of a destination.

    Args:
        rig: its rig.
        values: also what tries many examples, values and names; as for `source`.
    """
    modes = rig.capabilities.modes
    return _class(
        rig,
        [
            (to.Appends, "append" in modes),
            (to.Overwrites, "overwrite" in modes),
            (to.OverwritesPartitions, "overwrite_partitions" in modes),
            (to.Upserts, "upsert" in modes),
            (to.ParallelStage, rig.capabilities.parallel_stage),
            (to.LosesStaged, rig.loses_staged),
            (to.Requires, values and rig.keeps_required),
            (to.RefusesTables, values and bool(refused(rig.odd_tables, ODD_NAMES))),
            (to.RefusesTypes, values and bool(refused(rig.types, VALUES))),
            (KeepsValues, values),
            (DestinationSuite, True),
        ],
        examples=values,
    )


def _class(
    rig: type[SourceRig | DestinationRig],
    suites: list[tuple[type[Suite], bool]],
    *,
    examples: bool,
) -> type[Suite]:
    bases = tuple(suite for suite, applies in suites if applies)
    body: dict[str, object] = {"rig_class": rig}
    if not examples:
        tests = {name: getattr(suite, name) for suite in bases for name in dir(suite)}
        body |= {name: None for name, test in tests.items() if is_hypothesis_test(test)}
    return type(f"Test{rig.__name__}", bases, body)
