"""``simswap-import``: the public SimSwap generator weights as a self-describing checkpoint."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from simswap import checkpoint
from simswap.config import build
from simswap.errors import InputError
from simswap.launching.front_door import front_door
from simswap.models.imported import GENERATIONS, TEMPLATES, read_generator


def import_weights(cfg: DictConfig) -> None:
    """Import with a checked config.

    Raises:
        InputError: bad input.
    """
    out = Path(cfg.out)
    if out.exists():
        raise InputError(f"out={out} already exists, and nothing is overwritten: choose another name")
    state = checkpoint.read_state_dict(Path(cfg.weights))
    checkpoint.check_finite(state, str(cfg.weights))
    generator = read_generator(state, cfg.generation, cfg.size, str(cfg.weights))
    recognizer = build(cfg.recognition)
    if recognizer.embedding_size != generator.settings["identity_size"]:
        raise InputError(
            f"{cfg.weights} takes identities of {generator.settings['identity_size']} values, but "
            f"{recognizer.name} gives {recognizer.embedding_size}; give the one it was trained with"
        )
    config = {"recognition": OmegaConf.to_container(cfg.recognition, resolve=True)}
    description = checkpoint.describe(
        generator, TEMPLATES[cfg.size], cfg.size, recognizer, config, GENERATIONS[cfg.generation].recognizer_view
    )
    checkpoint.write_generator(out, generator, description)
    print(f"{out}: {cfg.size} px, {description['template']} crops, {generator.pixel_range} range, {recognizer.name}")


def main() -> None:
    """The entry point of ``simswap-import``."""
    front_door(import_weights, "import")


if __name__ == "__main__":
    main()
