"""What runs are called: the same cause names the same run, and a chain of runs knows itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from copy_core.run_ids import keyed, new_run_id, resumed_as, same_chain

RUN_IDS = st.text(max_size=40) | st.builds(keyed, st.text(), st.text()) | st.builds(new_run_id)


def after(run_id: str, times: int) -> str:
    """The run that goes on with another one after so many."""
    for _ in range(times):
        run_id = resumed_as(run_id)
    return run_id


@given(RUN_IDS, st.integers(0, 12), st.integers(0, 12))
def test_runs_that_go_on_with_each_other_are_one_chain(run_id: str, one: int, two: int) -> None:
    first, second = after(run_id, one), after(run_id, two)
    assert same_chain(first, second)
    assert (first == second) == (one == two)


@given(RUN_IDS, RUN_IDS, st.integers(0, 3), st.integers(0, 3))
def test_other_runs_are_no_part_of_a_chain(one: str, two: str, more: int, still: int) -> None:
    assert same_chain(after(one, more), after(two, still)) == (one == two)


@given(st.text(), st.text(), st.text(), st.text())
def test_a_key_names_a_run_of_its_job(job: str, key: str, other: str, another: str) -> None:
    job, other = job.replace("/", ""), other.replace("/", "")  # no name of a job has one
    assert (keyed(job, key) == keyed(other, another)) == ((job, key) == (other, another))
