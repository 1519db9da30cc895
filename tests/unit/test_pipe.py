"""Reading ahead: order, errors, bounded memory, early ends."""

import threading
from collections.abc import Generator, Iterator

import pytest

from copy_core.pipe import read_ahead


class Item(int):
    """A number that is ten bytes large."""

    nbytes = 10


def items(count: int) -> Iterator[Item]:
    return (Item(n) for n in range(count))


def test_everything_comes_in_order() -> None:
    assert list(read_ahead(items(1000))) == list(range(1000))


def test_an_error_of_the_source_is_raised_at_the_consumer_after_what_came_before() -> None:
    def source() -> Iterator[Item]:
        yield Item(1)
        raise ValueError("broken")

    ahead = read_ahead(source())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


@pytest.mark.parametrize(("ahead", "most"), [(0, 1), (10, 1), (45, 5)])
def test_no_more_waits_than_is_allowed_one_item_apart(ahead: int, most: int) -> None:
    taken = []
    full = threading.Event()

    def source() -> Iterator[Item]:
        for n in range(100):
            taken.append(n)
            if len(taken) > 1 + most:
                full.set()
            yield Item(n)

    rows = read_ahead(source(), ahead)
    assert next(rows) == 0
    assert full.wait(60)
    # One was taken by the consumer, `most` wait, one is in the source's hand.
    assert len(taken) <= 1 + most + 1
    assert list(rows) == list(range(1, 100))


def test_a_consumer_that_stops_early_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[Item]:
        try:
            yield from items(100)
        finally:
            closed.set()

    ahead = read_ahead(source(), 20)
    next(ahead)
    assert isinstance(ahead, Generator)
    ahead.close()
    assert closed.is_set()
    assert not [t for t in threading.enumerate() if t.name == "read-ahead"]
