"""State dicts from other projects: prefixes that training leaves, and a strict check that names every fault."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from simswap.errors import InputError


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same state dict without the ``module.`` of parallel training and the ``_orig_mod.`` of torch.compile."""
    plain = {re.sub(r"(^|\.)(_orig_mod\.)+", r"\1", name): value for name, value in state.items()}
    return {re.sub(r"^(module\.)+", "", name): value for name, value in plain.items()}


def network_in(state: Mapping[str, Tensor], known: str, where: str) -> dict[str, Tensor]:
    """The weights of the only network in a training's file, such as ``{"model": …, "optimizer": …}``.

    Args:
        state: Names and tensors of the file.
        known: A key that the network has. Whatever precedes it in the file precedes all its keys.
        where: The file's name, for messages.

    Returns:
        The network's own keys, without any prefix; for a file that lacks the known key, all keys.

    Raises:
        InputError: Several networks have the known key; the message names them.
    """
    plain = without_prefix(state)
    fronts = [name.removesuffix(known) for name in plain if name == known or name.endswith(f".{known}")]
    if known in plain or not fronts:
        return plain
    if len(fronts) > 1:
        raise InputError(
            f"{where} holds several networks ({', '.join(front.rstrip('.') for front in fronts)}); save "
            "the one to use to its own file"
        )
    return without_prefix(
        {name.removeprefix(fronts[0]): value for name, value in plain.items() if name.startswith(fronts[0])}
    )


def count_blocks(state: Mapping[str, Tensor], layers: int) -> tuple[int, ...]:
    """The number of blocks in each of ``layer1``, ``layer2``, and so on."""

    def below(layer: str) -> int:
        return len({match[1] for name in state if (match := re.match(rf"{layer}\.(\d+)\.", name))})

    return tuple(below(f"layer{number}") for number in range(1, layers + 1))


def fitted(make: Callable[[], nn.Module], state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Build a network with given weights; its own initial weights are never allocated.

    Args:
        make: Builds the network.
        state: The weights.
        where: The file's name, for messages.

    Returns:
        The network in fp32.

    Raises:
        InputError: The weights do not fit, as in `check_fit`.
    """
    with torch.device("meta"):
        network = make()
    check_fit(state, network.state_dict(), where)
    network.load_state_dict(state, strict=True, assign=True)
    return network.float()


def check_fit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Raise InputError unless ``given`` has exactly the keys and shapes of ``wanted``, and finite values.

    Args:
        given: Names and tensors of a file.
        wanted: Names and tensors of the network.
        where: The file's name, for the message, which lists the faults.
    """
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
        raise InputError(f"{where}: {broken[0]} holds values that are not finite; download the file again")
