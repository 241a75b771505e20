"""The tensors in a TorchScript archive, read without its program.

`torch.jit.load` compiles and runs what the archive holds. Here only the pickle of the modules' attributes is read, by
the machine of `simswap.models.pickled`, and the tensors' values.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from torch import Tensor

from simswap.errors import InputError
from simswap.models.pickle_machine import Record, first_argument, refuse
from simswap.models.pickled import FoundTensors, PickleReader
from simswap.stand_ins import refuse_stand_in

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
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights")
    refuse_stand_in(path, "a TorchScript archive", "torch")
    try:
        content, values = _read(path)
        found = FoundTensors(values, scripted=True)
        found.look(content)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} is refused: {error}; none of its code was run") from error
    except Exception as error:  # damaged bytes can raise nearly any error
        raise InputError(f"{path} is not a TorchScript archive, or is cut off ({type(error).__name__})") from error
    if not found.tensors:
        raise InputError(f"{path}: holds no weights of a network")
    return found.tensors


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
