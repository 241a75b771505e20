import threading

import pytest

from simswap.errors import InputError
from simswap.measuring.ahead import ahead


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_items_come_in_order(workers):
    assert list(ahead(lambda n: n * n, range(20), workers)) == [n * n for n in range(20)]
    assert list(ahead(str, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_so_many_items_are_made_ahead_and_no_more(workers):
    made, enough = [], threading.Event()

    def make(n):
        made.append(n)
        if len(made) == 1 + 2 * workers:
            enough.set()
        return n

    items = ahead(make, range(100), workers, depth=2)
    assert next(items) == 0
    assert enough.wait(60)  # without being asked for
    items.close()
    assert sorted(made) == list(range(1 + 2 * workers))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reading ahead")]


def test_an_error_keeps_its_type_and_its_turn():
    def make(n):
        if n == 2:
            raise InputError("the third is broken")
        return n

    found = []
    with pytest.raises(InputError, match="the third is broken"):
        found.extend(ahead(make, range(9), 2))
    items = ahead(make, range(9), 2)
    assert [next(items), next(items)] == [0, 1]
