"""Pickles read as data, with bounded work: listed names only, plain keys only, and a limit on the number of steps.

A few bytes of pickle can ask for endless work without naming anything: nested tuples whose hash never ends when they
become a key, lists that are copied over and over, memo indices that reserve gigabytes. Here every step and every copied
element is counted, keys are strings and small integers, and instructions that no file of weights needs are refused.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

MOST_STEPS = 1_000_000
"""The limit; a pickled ResNet-100 takes about 50,000 steps."""

_CONTAINERS = (list, tuple, dict, set, frozenset, str, bytes)
_NOT_NEEDED = (
    pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.PERSID,
)  # fmt: skip


class Record:
    """Stands for an object of a network class: its attributes, without its behavior."""

    def __init__(self, *arguments: object) -> None:
        pass


class Unkept:
    """Stands for what a training saves beside its network, such as an optimizer.

    Its content is dropped, so its keys may be anything.
    """

    def __init__(self, *arguments: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def first_argument(value: Any, *rest: object) -> Any:
    """In place of a function of torch's that wraps its first argument: the argument itself."""
    return value


def refuse(reason: str) -> pickle.UnpicklingError:
    """The error to raise for a file that is refused for this reason."""
    return pickle.UnpicklingError(reason)


def check_keys(keys: Any) -> None:
    """Raise UnpicklingError unless all keys are strings, None, booleans or small integers, which are quick to hash."""
    for key in keys:
        small = isinstance(key, int) and -(2**31) <= key < 2**31
        if not (key is None or type(key) is str or small):
            raise refuse(f"a key is a {type(key).__name__}; names of weights are strings")


def plain_set(items: Any = ()) -> set:
    """A set of these items; raises UnpicklingError unless they are plain, as `check_keys` says."""
    items = list(items)
    check_keys(items)
    return set(items)


def plain_ordered(items: Any = ()) -> OrderedDict:
    """An ordered dict of these items; raises UnpicklingError unless its keys are plain, as `check_keys` says."""
    pairs = list(items.items() if isinstance(items, dict) else items)
    check_keys(pair[0] for pair in pairs)
    return OrderedDict(pairs)


# The unpickler written in Python: unlike the one in C, its steps can be counted, and its memo is not an array.
class Machine(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """An unpickler with bounded work. Subclasses say which names are known (`find_class`).

    `load` raises UnpicklingError for what is refused; damaged bytes can raise nearly any error.
    """

    steps = 0
    stack: list[Any]
    metastack: list[list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]]

    def spend(self, steps: int) -> None:
        """Count steps; raises UnpicklingError beyond the limit."""
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise refuse(f"it needs more than {MOST_STEPS} steps, which no file of weights does")

    def before_items(self) -> None:
        """Check the keys that the next instruction adds to a dict."""
        if not (self.metastack and self.metastack[-1] and type(self.metastack[-1][-1]) is Unkept):
            check_keys(self.stack[::2])

    def before_item(self) -> None:
        """Check the one key that the next instruction adds to a dict."""
        if type(self.stack[-3]) is not Unkept:
            check_keys(self.stack[-2:-1])

    def before_members(self) -> None:
        """Check the items that the next instruction adds to a set."""
        check_keys(self.stack)

    def before_call(self) -> None:
        """Count the elements that the next call may copy."""
        function, arguments = self.stack[-2:]
        if not callable(function) or type(arguments) is not tuple:
            raise refuse("it calls something that is not a function")
        self.spend(len(arguments) + sum(len(one) for one in arguments if isinstance(one, _CONTAINERS)))

    def build(self) -> None:
        """Set attributes of a record; none of them is ever called, whatever its name."""
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is Unkept:
            return
        if type(made) not in (Record, OrderedDict) or not isinstance(state, dict):
            raise refuse("it sets attributes of something that is not a network")
        if type(made) is OrderedDict and set(state) - {"_metadata"}:  # others would hide its methods
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
}
