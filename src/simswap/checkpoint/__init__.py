"""The self-describing checkpoint: written, read and checked only here.

A training checkpoint is Lightning's, with a description under ``simswap``; validation and swaps use the EMA generator,
under ``ema.`` in the state dict. A *slim* checkpoint holds only these two, and the discriminators if they were asked
for, under ``discriminators.``; it is read the same way. Checkpoints of others are read as data
(`simswap.models.torch_files`): nothing that they name is instantiated.
"""

from simswap.checkpoint.description import FORMAT, GENERATOR_PREFIX, KEY, describe
from simswap.checkpoint.discriminators import DISCRIMINATORS_PREFIX, TrainedDiscriminators, load_discriminators
from simswap.checkpoint.reading import check_finite, read, read_state_dict
from simswap.checkpoint.slim import write_generator, write_slim
from simswap.checkpoint.swapping import MOST_STAGES, SwapCheckpoint, load
from simswap.version import git_commit

__all__ = [
    "DISCRIMINATORS_PREFIX",
    "FORMAT",
    "GENERATOR_PREFIX",
    "KEY",
    "MOST_STAGES",
    "SwapCheckpoint",
    "TrainedDiscriminators",
    "check_finite",
    "describe",
    "git_commit",
    "load",
    "load_discriminators",
    "read",
    "read_state_dict",
    "write_generator",
    "write_slim",
]
