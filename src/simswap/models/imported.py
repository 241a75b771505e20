"""The public weights of SimSwap's generator: which net a file holds, and our name for each of its keys.

Public files name their layers ``first_layer``, ``downK``, ``BottleNeck.N``, ``upK`` and ``last_layer``. K counts the
stages from 1, but from 0 in the 512 net, which has one more stage in front.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from simswap.errors import InputError
from simswap.models.generator import Generator
from simswap.models.state_dicts import check_fit, without_prefix


@dataclass(frozen=True)
class ImportedLayout:
    """The layout of a public net.

    Attributes:
        name: Its name in messages.
        width: Channels after the first convolution.
        stages: Number of halvings.
        first: Number of the first stage in the file's names.
        sizes: Generation → the image sizes in px that its trainer made the net for. The net itself takes any size that
            its stages can halve.
    """

    name: str
    width: int
    stages: int
    first: int
    sizes: Mapping[int, tuple[int, ...]]


# The trainer of 2022 has two independent settings, the size and Gdeep, so all four combinations exist.
VARIANTS = (
    ImportedLayout("224 net", 64, 3, 1, {2021: (224,), 2022: (224, 512)}),
    ImportedLayout("512 net", 32, 4, 0, {2021: (512,), 2022: (512,)}),
    ImportedLayout("Gdeep", 64, 4, 1, {2022: (224, 512)}),
)


BLOCKS = 9


@dataclass(frozen=True)
class Generation:
    """What the weights of one year were trained with: pixel range, and how crops reached the recognizer."""

    pixel_range: str
    recognizer_view: str


GENERATIONS = {2021: Generation("unit", "nearest"), 2022: Generation("imagenet", "bicubic")}
TEMPLATES = {224: "simswap", 512: "ffhq"}


def read_generator(state: Mapping[str, Tensor], generation: int, size: int, where: str) -> Generator:
    """A generator with a public file's weights.

    Args:
        state: The file's keys and tensors; prefixes of parallel training and torch.compile are removed.
        generation: The year of the public weights, a key of `GENERATIONS`.
        size: The image size of the public weights in px, a key of `TEMPLATES`.
        where: The file's name, for messages.

    Returns:
        The generator in eval mode.

    Raises:
        InputError: There are no public weights of this generation or size, or the keys or shapes do not fit; the
            message names them.
    """
    if generation not in GENERATIONS:
        raise InputError(f"generation={generation}: the public weights are of {' or '.join(map(str, GENERATIONS))}")
    if size not in TEMPLATES:
        raise InputError(f"size={size}: the public weights are for {' or '.join(map(str, TEMPLATES))} px")
    plain = without_prefix(state)
    variant = _variant(plain, where)
    if size not in variant.sizes.get(generation, ()):
        made_for = " or ".join(
            f"generation={year} with size={'|'.join(map(str, sizes))}" for year, sizes in variant.sizes.items()
        )
        raise InputError(
            f"{where} holds the {variant.name}, made for {made_for}, not for generation={generation} and size={size}"
        )
    style = plain.get("BottleNeck.0.style1.linear.weight")
    if style is None or style.ndim != 2:
        raise InputError(f"{where}: BottleNeck.0.style1.linear.weight is missing or is not a matrix")
    generator = Generator(
        variant.width, variant.stages, BLOCKS, style.shape[1], pixel_range=GENERATIONS[generation].pixel_range
    )
    own = generator.state_dict()
    names = {name: public_name(name, variant) for name in own}
    check_fit(plain, {public: own[name] for name, public in names.items()}, where)
    generator.load_state_dict({name: plain[public] for name, public in names.items()}, strict=True)
    return generator.eval()


def public_name(name: str, variant: ImportedLayout) -> str:
    """The name of one of our generator's keys in a public file."""
    head, _, rest = name.partition(".")
    if head in ("first", "last"):
        return f"{head}_layer.{rest}"
    number, _, rest = rest.partition(".")
    if head == "encoder":
        return f"down{variant.first + int(number)}.{rest}"
    if head == "decoder":
        return f"up{variant.first + variant.stages - 1 - int(number)}.{rest}"
    layer, _, kind = rest.partition(".")
    if layer.startswith("conv"):
        return f"BottleNeck.{number}.{layer}.1.{kind}"
    return f"BottleNeck.{number}.{layer.replace('adain', 'style')}.{kind.replace('style', 'linear')}"


def _variant(state: Mapping[str, Tensor], where: str) -> ImportedLayout:
    """The layout of a file, recognized by the width of its first convolution and the numbers of its stages."""
    first = state.get("first_layer.1.weight")
    if first is None:
        shown = ", ".join(list(state)[:3]) or "nothing"
        raise InputError(f"{where} is not a public SimSwap generator: it holds {shown}, …, but no first_layer.1.weight")
    stages = {int(match[1]) for name in state if (match := re.match(r"down(\d+)\.", name))}
    for variant in VARIANTS:
        if first.shape[0] == variant.width and stages == {variant.first + k for k in range(variant.stages)}:
            return variant
    raise InputError(
        f"{where} is none of the public generators ({', '.join(v.name for v in VARIANTS)}): its first "
        f"convolution has {first.shape[0]} channels, its stages are {sorted(stages) or 'none'}"
    )
