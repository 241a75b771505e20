"""The tensors in a TorchScript archive, read without its program.

`torch.jit.load` compiles and runs what the archive holds. Here only the pickle of the modules' attributes is read, by
the machine of `simswap.models.pickled`, and the tensors' values.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

from torch import Tensor

from simswap.models.pickle_machine import Record, first_argument, refuse
from simswap.models.pickled import PickleReader, tensors_of

_MODULES = "__torch__."
_LISTS = ("torch.jit._pickle", "build_intlist"), ("torch.jit._pickle", "build_doublelist")


class _Reader(PickleReader):
    """A reader that takes the archive's own modules as inert records too."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(_MODULES):
            return Record
        return first_argument if (module, name) in _LISTS else super().find_class(module, name)


def read_scripted_module(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a TorchScript archive, on the CPU, in the order of its modules' attributes.

    Raises:
        InputError: The file is missing or damaged, or names anything but tensors, containers and modules.
    """
    return tensors_of(path, "a TorchScript archive", _read, scripted=True)


def _read(path: Path) -> tuple[Any, dict[str, bytes]]:
    """The records of data.pkl, and the values of each storage by its key."""
    with zipfile.ZipFile(path) as archive:
        (program,) = (part for part in archive.infolist() if part.filename.endswith("/data.pkl"))
        folder = program.filename.removesuffix("data.pkl") + "data/"
        parts = [part for part in archive.infolist() if part.filename.startswith(folder)]
        stored = all(part.compress_type == zipfile.ZIP_STORED for part in (program, *parts))
        if not stored or sum(part.file_size for part in (program, *parts)) > path.stat().st_size:
            raise refuse("its tensors are compressed or overlap, unlike any file of torch")
        content = _Reader(io.BytesIO(archive.read(program))).load()
        return content, {part.filename.removeprefix(folder): archive.read(part) for part in parts}
