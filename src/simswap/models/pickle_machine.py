"""Pickles run as data, with an end to the work: no names but listed ones, plain keys, so many steps and no more.

A few bytes of pickle can ask for endless work without naming anything: tuples in tuples, each twice, whose hash takes
forever when they become a key; lists copied over and over; numbers of the memo that reserve gigabytes. Here every step
and every copied element is counted, keys are short whole numbers and texts, and what no file of weights needs is
refused.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

MOST_STEPS = 1_000_000
"""A pickled ResNet-100 takes about 50,000."""

_CONTAINERS = (list, tuple, dict, set, frozenset, str, bytes)
_NOT_NEEDED = (
    pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.PERSID,
)  # fmt: skip


class Record:
    """Stands for an object of a network class: its attributes, and no behavior."""

    def __init__(self, *arguments: object) -> None:
        pass


class Unkept:
    """Stands for what a training leaves beside its network (an optimizer, its state, a figure): nothing of it is kept,
    so its keys need not be plain."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def first_argument(value: Any, *rest: object) -> Any:
    """In place of a function of torch's that wraps its first argument: the argument itself."""
    return value


def refuse(reason: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(reason)


def check_keys(keys: Any) -> None:
    """Raise UnpicklingError unless these can be hashed at once: texts, null, true, false, small whole numbers."""
    for key in keys:
        small = isinstance(key, int) and -(2**31) <= key < 2**31
        if not (key is None or type(key) is str or small):
            raise refuse(f"a key is a {type(key).__name__}; names of weights are texts")


def plain_set(items: Any = ()) -> set:
    items = list(items)
    check_keys(items)
    return set(items)


def plain_ordered(items: Any = ()) -> OrderedDict:
    pairs = list(items.items() if isinstance(items, dict) else items)
    check_keys(pair[0] for pair in pairs)
    return OrderedDict(pairs)


# The reader in Python, which the one in C stands for: its steps can be counted, and they keep no array of the memo.
class Machine(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """An unpickler of bounded work. Subclasses say which names there are (`find_class`).

    Raises UnpicklingError for what is refused; broken bytes raise nearly anything.
    """

    steps = 0
    stack: list[Any]
    metastack: list[list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]]

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise refuse(f"it asks for more than {MOST_STEPS} steps, which no file of weights does")

    def before_items(self) -> None:
        if not (self.metastack and self.metastack[-1] and type(self.metastack[-1][-1]) is Unkept):
            check_keys(self.stack[::2])

    def before_item(self) -> None:
        if type(self.stack[-3]) is not Unkept:
            check_keys(self.stack[-2:-1])

    def before_members(self) -> None:
        check_keys(self.stack)

    def before_call(self) -> None:
        function, arguments = self.stack[-2:]
        if not callable(function) or type(arguments) is not tuple:
            raise refuse("it calls something that is no function")
        self.spend(len(arguments) + sum(len(one) for one in arguments if isinstance(one, _CONTAINERS)))

    def build(self) -> None:
        """Attributes of a record; nothing of it is called, whatever its attributes are named."""
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is Unkept:
            return
        if type(made) not in (Record, OrderedDict) or not isinstance(state, dict):
            raise refuse("it sets attributes of something that is no network")
        if type(made) is OrderedDict and set(state) - {"_metadata"}:  # others would stand before its methods
            raise refuse("it sets attributes of a dictionary")
        self.spend(len(state))
        vars(made).update(state)


def _refused(code: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        raise refuse(f"it holds the instruction {bytes([code])!r}, which no file of weights needs")

    return step


def _counted(work: Callable[[Any], None], before: Callable[[Any], None] | None) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        machine.spend(1)
        if before is not None:
            before(machine)
        work(machine)

    return step


_BEFORE = {
    pickle.SETITEM: Machine.before_item, pickle.SETITEMS: Machine.before_items, pickle.DICT: Machine.before_items,
    pickle.ADDITEMS: Machine.before_members, pickle.FROZENSET: Machine.before_members,
    pickle.REDUCE: Machine.before_call, pickle.NEWOBJ: Machine.before_call,
}  # fmt: skip
_WORK = pickle._Unpickler.dispatch | {pickle.BUILD[0]: Machine.build}  # type: ignore[attr-defined]
Machine.dispatch = {
    code: _refused(code) if bytes([code]) in _NOT_NEEDED else _counted(work, _BEFORE.get(bytes([code])))
    for code, work in _WORK.items()
}  # a step for each instruction
