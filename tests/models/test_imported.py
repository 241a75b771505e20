"""Public generator weights against a second implementation, written from the description of the nets alone."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from simswap.errors import InputError
from simswap.models.generator import Generator
from simswap.models.imported import VARIANTS, read_generator


def random_state(width, stages, first, latent=512, blocks=9, seed=0):
    """A state dict with the public names and random weights, by the description."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name, before, after, size):
        scale = (before * size * size) ** -0.5
        state[f"{name}.weight"] = torch.randn(after, before, size, size, generator=generator) * scale
        state[f"{name}.bias"] = torch.randn(after, generator=generator) * 0.1

    def norm(name, channels):
        state[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    channels = [min(width * 2**k, 512) for k in range(stages + 1)]
    conv("first_layer.1", 3, width, 7)
    norm("first_layer.2", width)
    for k in range(stages):
        conv(f"down{first + k}.0", channels[k], channels[k + 1], 3)
        norm(f"down{first + k}.1", channels[k + 1])
        conv(f"up{first + k}.1", channels[k + 1], channels[k], 3)
        norm(f"up{first + k}.2", channels[k])
    for block in range(blocks):
        for layer in (1, 2):
            conv(f"BottleNeck.{block}.conv{layer}.1", channels[-1], channels[-1], 3)
            name = f"BottleNeck.{block}.style{layer}.linear"
            state[f"{name}.weight"] = torch.randn(2 * channels[-1], latent, generator=generator) * latent**-0.5
            state[f"{name}.bias"] = torch.randn(2 * channels[-1], generator=generator) * 0.1
    conv("last_layer.1", width, 3, 7)
    return state


def described(state, first, stages, image, identity, generation):
    """The public net as FACTS describes it, functionally; image in the network's own range."""

    def conv(x, name, **more):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **more)

    def normed(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.relu(F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"]))

    def adain(x, name):
        x = x - x.mean((2, 3), keepdim=True)
        x = x * torch.rsqrt((x * x).mean((2, 3), keepdim=True) + 1e-8)
        style = F.linear(identity, state[f"{name}.weight"], state[f"{name}.bias"])
        scale, shift = style.view(len(x), 2, -1, 1, 1).unbind(1)
        return x * (scale + 1.0) + shift

    def reflect(x, pad):
        return F.pad(x, (pad,) * 4, mode="reflect")

    x = normed(conv(reflect(image, 3), "first_layer.1"), "first_layer.2")
    for k in range(first, first + stages):
        x = normed(conv(x, f"down{k}.0", stride=2, padding=1), f"down{k}.1")
    for block in range(9):
        name = f"BottleNeck.{block}"
        y = F.relu(adain(conv(reflect(x, 1), f"{name}.conv1.1"), f"{name}.style1.linear"))
        x = x + adain(conv(reflect(y, 1), f"{name}.conv2.1"), f"{name}.style2.linear")
    for k in reversed(range(first, first + stages)):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = normed(conv(x, f"up{k}.1", padding=1), f"up{k}.2")
    x = conv(reflect(x, 3), "last_layer.1")
    return (torch.tanh(x) + 1) / 2 if generation == 2021 else x


CASES = [
    (variant, generation, size) for variant in VARIANTS for generation, sizes in variant.sizes.items() for size in sizes
]


@pytest.mark.parametrize(("variant", "generation", "size"), CASES, ids=[f"{v.name} {g} {s}" for v, g, s in CASES])
def test_equals_the_description(variant, generation, size):
    state = random_state(variant.width, variant.stages, variant.first)
    ours = read_generator(state, generation, size, "file")
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    image = image if generation == 2021 else (image - 0.45) / 0.225
    identity = F.normalize(torch.randn(2, 512, generator=torch.Generator().manual_seed(2)))
    with torch.no_grad():
        wanted = described(state, variant.first, variant.stages, image, identity, generation)
        got = ours(image, identity)
    assert wanted.std() > 0.01
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_sizes_of_the_public_nets():
    counts = {v.name: sum(p.numel() for p in Generator(v.width, v.stages).parameters()) for v in VARIANTS}
    assert counts["224 net"] == 55_051_779
    assert counts["Gdeep"] == 59_773_443
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        Generator(64, 3)(torch.empty(1, 3, 224, 224), torch.empty(1, 512))
    assert counter.get_total_flops() / 2e9 == pytest.approx(48.1, rel=0.005)


@pytest.fixture(scope="module")
def state():
    return random_state(64, 3, 1, latent=8)


@pytest.mark.parametrize("front", ["module.module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
@pytest.mark.parametrize("inner", ["BottleNeck.", "BottleNeck._orig_mod."])
def test_any_module_prefix(state, front, inner):
    wrapped = {f"{front}{name.replace('BottleNeck.', inner)}": value for name, value in state.items()}
    ours = read_generator(wrapped, 2021, 224, "file")
    torch.testing.assert_close(ours.first[1].weight, state["first_layer.1.weight"])
    assert ours.settings["identity_size"] == 8


def test_faults_are_named(state):
    def complaint(changed, generation=2021, size=224):
        with pytest.raises(InputError) as raised:
            read_generator(changed, generation, size, "net.pth")
        return str(raised.value)

    assert "missing up2.1.bias" in complaint({k: v for k, v in state.items() if k != "up2.1.bias"})
    lacking = {k: v for k, v in state.items() if not k.startswith("BottleNeck.8.")}
    assert "missing BottleNeck.8.conv1.1.weight" in complaint(lacking)
    assert "unknown extra.weight" in complaint(state | {"extra.weight": torch.ones(1)})
    assert "down2.0.bias is [3] and must be [256]" in complaint(state | {"down2.0.bias": torch.ones(3)})
    assert "not finite" in complaint(state | {"down2.0.bias": torch.full((256,), torch.nan)})
    assert "holds the 224 net, made for generation=2021 with size=224 or generation=2022" in complaint(state, size=512)
    assert "2021 or 2022" in complaint(state, generation=2023)
    assert "224 or 512" in complaint(state, size=256)
    assert "not a public SimSwap generator: it holds conv1.weight" in complaint({"conv1.weight": torch.ones(1)})
    deep = {"first_layer.1.weight": torch.ones(64, 3, 7, 7)} | {f"down{k}.0.bias": torch.ones(1) for k in (1, 2, 3, 4)}
    assert "holds the Gdeep, made for generation=2022 with size=224|512" in complaint(deep, generation=2021, size=512)
    assert "none of the public generators" in complaint({"first_layer.1.weight": torch.ones(48, 3, 7, 7)})
