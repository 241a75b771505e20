"""The public SimSwap generator weights as ours: which net a file holds, and what each of its keys is called here.

The public names are those of FACTS' state dicts: ``first_layer``, ``downK``, ``BottleNeck.N``, ``upK``, ``last_layer``.
A public net's stages count from 1, or from 0 where the 512 net has one more in front.
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
    """A public net: `width` after the first convolution, `stages`, the number of its `first` stage, and the picture
    sizes that each generation's trainer makes it for. The net itself goes with any size that its stages can halve."""

    name: str
    width: int
    stages: int
    first: int
    sizes: Mapping[int, tuple[int, ...]]


# The trainer of 2022 takes its size and Gdeep as two settings, so all four pairs of these are made.
VARIANTS = (
    ImportedLayout("224 net", 64, 3, 1, {2021: (224,), 2022: (224, 512)}),
    ImportedLayout("512 net", 32, 4, 0, {2021: (512,), 2022: (512,)}),
    ImportedLayout("Gdeep", 64, 4, 1, {2022: (224, 512)}),
)


BLOCKS = 9


@dataclass(frozen=True)
class Generation:
    """What the weights of a year take and give: pixel range, and how the trainer showed crops to its recognizer."""

    pixel_range: str
    recognizer_view: str


GENERATIONS = {2021: Generation("unit", "nearest"), 2022: Generation("imagenet", "bicubic")}
TEMPLATES = {224: "simswap", 512: "ffhq"}


def read_generator(state: Mapping[str, Tensor], generation: int, size: int, where: str) -> Generator:
    """A generator in eval mode with a public file's weights.

    state: the file's keys and tensors; prefixes that parallel training and torch.compile leave are taken off. where:
    the file's name, for complaints. Raises InputError for a generation or size that is not public, weights of another
    net, and every key that is missing, too many or of another shape, by name.
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
            f"{where} holds the {variant.name}, for {made_for}; not for generation={generation} and size={size}"
        )
    style = plain.get("BottleNeck.0.style1.linear.weight")
    if style is None or style.ndim != 2:
        raise InputError(f"{where}: BottleNeck.0.style1.linear.weight is missing or no matrix")
    generator = Generator(
        variant.width, variant.stages, BLOCKS, style.shape[1], pixel_range=GENERATIONS[generation].pixel_range
    )
    own = generator.state_dict()
    names = {name: public_name(name, variant) for name in own}
    check_fit(plain, {public: own[name] for name, public in names.items()}, where)
    generator.load_state_dict({name: plain[public] for name, public in names.items()}, strict=True)
    return generator.eval()


def public_name(name: str, variant: ImportedLayout) -> str:
    """What one of our generator's keys is called in a public file."""
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
    """Which net it is, from the width of its first convolution and the numbers of its stages."""
    first = state.get("first_layer.1.weight")
    if first is None:
        shown = ", ".join(list(state)[:3]) or "nothing"
        raise InputError(f"{where} is no public SimSwap generator: it holds {shown}, … and no first_layer.1.weight")
    stages = {int(match[1]) for name in state if (match := re.match(r"down(\d+)\.", name))}
    for variant in VARIANTS:
        if first.shape[0] == variant.width and stages == {variant.first + k for k in range(variant.stages)}:
            return variant
    raise InputError(
        f"{where} is none of the public generators ({', '.join(v.name for v in VARIANTS)}): its first "
        f"convolution gives {first.shape[0]} channels, its stages are {sorted(stages) or 'none'}"
    )
