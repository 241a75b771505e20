"""One node of an ONNX file, as the builders of its torch counterpart see it.

A builder looks at a node when the file is read, refuses what it cannot honor, and returns the function that does the
node's work and how many of the node's inputs that function takes when images flow (a list of these for a node with
several outputs, one an output). Attributes and constant inputs
that steer a node (axes, pads, limits) are settled there, once. The functions are `functools.partial`s of module-level
functions, so that a converted network can be copied and pickled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from simswap.errors import InputError

Built = tuple[Callable[..., Tensor], int]


@dataclass
class Node:
    """One node of the file: its attributes, the values of those inputs that are constant, and how many outputs."""

    file: str
    operator: str
    name: str
    opset: int
    attributes: dict[str, Any]
    inputs: list[str]
    constants: dict[str, Tensor]
    outputs: int = 1

    def refuse(self, why: str) -> NoReturn:
        """Raises InputError that names the file, the operator, the node and the reason."""
        raise InputError(f"{self.file}: operator {self.operator} of node {self.name!r} {why}")

    def constant(self, index: int) -> Tensor | None:
        """The value of input `index` if it is known without an image."""
        return self.constants.get(self.inputs[index]) if index < len(self.inputs) else None

    def setting(self, attribute: str, index: int) -> list[int] | None:
        """A list of whole numbers that old opsets keep in an attribute and newer ones in a constant input."""
        if attribute in self.attributes:
            return list(self.attributes[attribute])
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        value = self.constant(index)
        if value is None:
            self.refuse(f"takes its {attribute} from a computed value, which is not supported")
        return [int(v) for v in value.flatten()]

    def number(self, attribute: str, index: int) -> float | None:
        """A number that old opsets keep in an attribute and newer ones in a constant input."""
        if attribute in self.attributes:
            return float(self.attributes[attribute])
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        value = self.constant(index)
        if value is None:
            self.refuse(f"takes its {attribute} from a computed value, which is not supported")
        return float(value)
