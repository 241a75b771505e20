"""The LightningModule against a reference step written from the text alone, and what each phase may touch."""

import copy

import pytest
import torch
import torch.nn.functional as F

from simswap.checkpoint import KEY
from simswap.data.pairs import random_words, unit
from simswap.errors import InputError
from simswap.training.module import MIX_PURPOSE
from tests.training.tiny import SIZE, batches, fit, tiny_module


def reference_run(module, steps):
    """Iterations as the method's text has them, in float64, with nothing of the project but the networks."""
    G, D = copy.deepcopy(module.generator).double().train(), copy.deepcopy(module.discriminators).double().train()
    R = copy.deepcopy(module.embedder.recogniser).double()
    opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.0, 0.999))

    def down(x):
        return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)

    def discriminate(k, x):
        features = []
        for layer in D.scales[k].layers:
            x = layer(x)
            features.append(x)
        return features, D.scales[k].logits(x)

    losses = []
    for i, batch in enumerate(steps):
        T, S = batch["target"].double() / 255, batch["source"].double() / 255
        z = F.normalize(R(S)).detach()
        fake = G(T, z)
        a = torch.from_numpy(unit(random_words(5, MIX_PURPOSE, i, 0, len(T))[:, 0])).view(-1, 1, 1, 1)
        d_loss, gp = 0.0, 0.0
        for k in (0, 1):
            real_k, fake_k = (T, fake.detach()) if k == 0 else (down(T), down(fake.detach()))
            d_loss = d_loss + (F.relu(1 - discriminate(k, real_k)[1]).mean()
                               + F.relu(1 + discriminate(k, fake_k)[1]).mean()) / 2
            norms = [m for m in D.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            [m.eval() for m in norms]
            x = (a * real_k + (1 - a) * fake_k).requires_grad_()
            (g,) = torch.autograd.grad(discriminate(k, x)[1].mean(dim=(1, 2, 3)).sum(), x, create_graph=True)
            gp = gp + ((g.flatten(1).norm(dim=1) - 1) ** 2).mean() / 2
            [m.train() for m in norms]
        opt_d.zero_grad()
        (d_loss + 0.1 * gp).backward()
        opt_d.step()

        statistics = {n: b.clone() for n, b in D.named_buffers()}
        adversarial, matching = 0.0, 0.0
        for k in (0, 1):
            with torch.no_grad():
                real_features, _ = discriminate(k, T if k == 0 else down(T))
            fake_features, logits = discriminate(k, fake if k == 0 else down(fake))
            adversarial = adversarial - logits.mean() / 2
            matching = matching + sum((fake_features[m] - real_features[m]).abs().mean() for m in (1, 2))
        identity = (1 - F.cosine_similarity(F.normalize(R(fake)), z)).mean()
        same = batch["same_identity"].double()
        reconstruction = ((fake - T).abs().mean(dim=(1, 2, 3)) * same).sum() / len(T)
        opt_g.zero_grad()
        (adversarial + 10 * identity + 10 * reconstruction + 10 * matching).backward()
        opt_g.step()
        for n, b in D.named_buffers():
            b.copy_(statistics[n])
        losses.append([x.item() for x in (d_loss, gp, adversarial, identity, reconstruction, matching)])
    return G, D, losses


def logged(module):
    """A list that each logged line of training terms is added to."""
    lines = []
    module.log_dict = lambda terms, **kw: lines.append({name: float(value) for name, value in terms.items()})
    return lines


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_the_module_does_the_step_of_the_text(norm):
    steps = batches(6)
    module = tiny_module(generator_norm=norm, discriminator_norm=norm)
    G, D, losses = reference_run(module, steps)
    seen = logged(module)
    trainer = fit(module, steps)

    names = ["discriminator", "gradient_penalty", "adversarial", "identity", "reconstruction", "feature_matching"]
    for terms, expected in zip(seen, losses, strict=True):
        assert [terms[f"train/{name}"] for name in names] == pytest.approx(expected, abs=1e-8)
    # A bias before a norm has gradient zero but for rounding, which Adam's division by its root makes 1e-8 of a step.
    for name, value in G.state_dict().items():
        torch.testing.assert_close(module.generator.state_dict()[name], value, rtol=0, atol=1e-7)
    for name, value in D.state_dict().items():
        torch.testing.assert_close(module.discriminators.state_dict()[name], value, rtol=0, atol=1e-7)
    assert trainer.global_step == len(steps)


def test_same_person_batches_alone_are_reconstructed():
    steps = batches(2)
    module = tiny_module()
    seen = logged(module)
    fit(module, steps)
    assert seen[0]["train/reconstruction"] > 0
    assert seen[1]["train/reconstruction"] == 0


def test_what_is_logged_is_the_mean_since_the_last_line():
    steps = batches(4)
    each, pairs = tiny_module(), tiny_module()
    singly, in_twos = logged(each), logged(pairs)
    fit(each, steps)
    fit(pairs, steps, log_every_n_steps=2)
    for name in ("train/identity", "train/reconstruction"):
        expected = [(singly[k][name] + singly[k + 1][name]) / 2 for k in (0, 2)]
        assert [terms[name] for terms in in_twos] == pytest.approx(expected, abs=1e-12)


def one_phase(module, phase):
    """The parameters that get a gradient in one phase."""
    batch = batches(1)[0]
    target = batch["target"].float() / 255
    identity = module.embedder.identity(batch["source"].float() / 255, batch["source_view"])
    result = module.generator(target, identity)
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]
    module._mix = lambda images: torch.rand(len(images))  # type: ignore[method-assign]
    parameters = {"D": list(module.discriminators.parameters()), "G": list(module.generator.parameters())}[phase]
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    if phase == "D":
        module.discriminator_phase(optimizer, target, result.detach())
    else:
        module.generator_phase(optimizer, batch, target, result, identity)
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_each_phase_reaches_its_own_network_alone():
    assert {name.split(".")[0] for name in one_phase(tiny_module(), "D")} == {"discriminators"}
    module = tiny_module()
    before = copy.deepcopy(module.discriminators.state_dict())
    assert {name.split(".")[0] for name in one_phase(module, "G")} == {"generator"}
    assert all(torch.equal(before[n], v) for n, v in module.discriminators.state_dict().items())
    assert all(p.requires_grad for p in module.discriminators.parameters())


def test_frozen_networks_are_nowhere_but_pass_gradient():
    module = tiny_module()
    frozen = {id(p) for p in module.embedder.parameters()}
    assert not frozen & {id(p) for p in module.parameters()}
    assert not any("embedder" in name or "recogniser" in name for name in module.state_dict())
    module.train()
    assert not module.embedder.recogniser.training
    assert not module.ema.training
    images = torch.rand(2, 3, SIZE, SIZE, requires_grad=True)
    module.embedder(images, torch.zeros(2, dtype=torch.int64)).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_the_average_follows_and_is_not_trained():
    module = tiny_module()
    start = copy.deepcopy(module.generator.state_dict())
    trainer = fit(module, batches(1), precision="32-true")
    assert trainer.global_step == 1
    # after one iteration d = min(0.99, 2 / 11): average = 2/11 * start + 9/11 * now
    for name, now in module.generator.state_dict().items():
        if now.is_floating_point():
            torch.testing.assert_close(module.ema.state_dict()[name], start[name] * 2 / 11 + now * 9 / 11)
    assert not any(p.requires_grad for p in module.ema.parameters())


def test_the_generators_rate_follows_its_schedule():
    module = tiny_module(schedule="linear", total_iterations=4, generator_lr=1.0)
    seen = logged(module)
    fit(module, batches(4))
    assert [terms["train/generator_lr"] for terms in seen] == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_the_checkpoint_describes_itself(tmp_path):
    module = tiny_module()
    trainer = fit(module, batches(1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert content[KEY]["image_size"] == SIZE
    assert content[KEY]["template"] == "arcface"
    assert content[KEY]["pixel_range"] == "unit"
    assert content[KEY]["recogniser"] == {"name": "tiny", "sha256": f"{1:064x}"}
    assert content["global_step"] == 1


def test_a_picture_that_does_not_fit_is_refused_at_once():
    from simswap.models.generator import Generator

    with pytest.raises(InputError, match=r"multiple of 4"):
        Generator(4, 2, 1, 8).check_size(30)


@pytest.mark.parametrize("pixel_range", ["unit", "symmetric", "imagenet"])
def test_every_pixel_range_trains(pixel_range):
    module = tiny_module(pixel_range=pixel_range)
    fit(module, batches(2), precision="32-true")
    assert all(torch.isfinite(p).all() for p in module.generator.parameters())
