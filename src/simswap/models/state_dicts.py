"""State dicts of others: the prefix that parallel training leaves, and a strict fit that names every fault."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from simswap.errors import InputError


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same without any (repeated) ``module.`` in front of the names and torch.compile's ``_orig_mod.`` anywhere."""
    plain = {re.sub(r"(^|\.)(_orig_mod\.)+", r"\1", name): value for name, value in state.items()}
    return {re.sub(r"^(module\.)+", "", name): value for name, value in plain.items()}


def network_in(state: Mapping[str, Tensor], known: str, where: str) -> dict[str, Tensor]:
    """The weights of the one network in a file that may hold more, as a training saves it: ``{"model": …, …}``.

    known: a key that the network has; what stands before it in the file stands before all its keys, and is taken off,
    and so are prefixes as `without_prefix` takes them. A file without the key is given back whole.
    Raises InputError where several networks have it; they are named.
    """
    plain = without_prefix(state)
    fronts = [name.removesuffix(known) for name in plain if name == known or name.endswith(f".{known}")]
    if known in plain or not fronts:
        return plain
    if len(fronts) > 1:
        raise InputError(
            f"{where} holds several networks ({', '.join(front.rstrip('.') for front in fronts)}); save "
            "the one that is meant to a file of its own"
        )
    return without_prefix(
        {name.removeprefix(fronts[0]): value for name, value in plain.items() if name.startswith(fronts[0])}
    )


def count_blocks(state: Mapping[str, Tensor], layers: int) -> tuple[int, ...]:
    """How many numbered blocks there are below each of ``layer1``, ``layer2``, …"""

    def below(layer: str) -> int:
        return len({match[1] for name in state if (match := re.match(rf"{layer}\.(\d+)\.", name))})

    return tuple(below(f"layer{number}") for number in range(1, layers + 1))


def fitted(make: Callable[[], nn.Module], state: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network that ``make`` builds, in fp32 and with these weights in place of its own, which are never drawn.

    Raises InputError as `check_fit` does.
    """
    with torch.device("meta"):
        network = make()
    check_fit(state, network.state_dict(), where)
    network.load_state_dict(state, strict=True, assign=True)
    return network.float()


def check_fit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Every key there, none too many, each of its shape and finite; InputError names what is wrong."""
    faults = [f"missing {name}" for name in wanted if name not in given]
    faults += [f"unknown {name}" for name in given if name not in wanted]
    faults += [
        f"{name} is {list(given[name].shape)} and must be {list(value.shape)}"
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    ]
    if faults:
        more = f" and {len(faults) - 6} more" if len(faults) > 6 else ""
        raise InputError(f"{where} does not fit: {'; '.join(faults[:6])}{more}")
    broken = [name for name, value in given.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise InputError(f"{where}: {broken[0]} holds values that are not finite; get the file again")
