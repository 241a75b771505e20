"""One node of an ONNX file, as the builder of its torch counterpart sees it.

A builder reads a node once, when the file is loaded. It refuses what it does not support, and returns the function that
computes the node, with the number of the node's inputs that this function takes at run time (for a node with several
outputs, a list with one such pair for each). Attributes and constant inputs such as axes, pads and limits are resolved
then. The functions are `functools.partial`s of module-level functions, so that a converted network can be copied and
pickled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from simswap.errors import InputError

Built = tuple[Callable[..., Tensor], int]


@dataclass
class Node:
    """One node of the file.

    Attributes:
        file: The file's name, for messages.
        operator: The ONNX operator.
        name: The node's name.
        opset: The version of the operator set.
        attributes: The node's attributes.
        inputs: Names of its inputs; empty for one that is left out.
        constants: Values of all inputs that do not depend on the image.
        outputs: Number of outputs.
    """

    file: str
    operator: str
    name: str
    opset: int
    attributes: dict[str, Any]
    inputs: list[str]
    constants: dict[str, Tensor]
    outputs: int = 1

    def refuse(self, why: str) -> NoReturn:
        """Raise InputError with the file, the operator, the node and the reason."""
        raise InputError(f"{self.file}: operator {self.operator} of node {self.name!r} {why}")

    def constant(self, index: int) -> Tensor | None:
        """The value of input `index`, or None if it depends on the image."""
        return self.constants.get(self.inputs[index]) if index < len(self.inputs) else None

    def setting(self, attribute: str, index: int) -> list[int] | None:
        """A list of integers, an attribute in old opsets and a constant input in newer ones; None if not given."""
        if attribute in self.attributes:
            return list(self.attributes[attribute])
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        value = self.constant(index)
        if value is None:
            self.refuse(f"takes its {attribute} from a computed value, which is not supported")
        return [int(v) for v in value.flatten()]

    def number(self, attribute: str, index: int) -> float | None:
        """A number, an attribute in old opsets and a constant input in newer ones; None if not given."""
        if attribute in self.attributes:
            return float(self.attributes[attribute])
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        value = self.constant(index)
        if value is None:
            self.refuse(f"takes its {attribute} from a computed value, which is not supported")
        return float(value)
