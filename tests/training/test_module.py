"""The LightningModule against a reference step written from the text alone, and what each phase may touch."""

import copy

import lightning as L
import pytest
import torch
import torch.nn.functional as F

from simswap.checkpoint import KEY
from simswap.data.pairs import MIXING_PURPOSE, random_words, unit
from simswap.errors import InputError
from tests.training.tiny import SIZE, batches, fit, tiny_module


def reference_run(module, steps, draws=1, judged_by=()):
    """Iterations as the method's text has them, in float64, with nothing of the project but the networks.

    draws: batches in each of the steps, one for each of the discriminators' steps; the first is the generator's too.
    judged_by: recognizers of the identity loss with their weights, where it is not the conditioning's alone.
    """
    G, D = copy.deepcopy(module.generator).double().train(), copy.deepcopy(module.discriminators).double().train()
    R = copy.deepcopy(module.embedder.recognizer).double()
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
        B = len(batch["target"]) // draws
        for draw in reversed(range(draws)):
            T, S = (batch[key][draw * B : (draw + 1) * B].double() / 255 for key in ("target", "source"))
            z = F.normalize(R(S)).detach()
            fake = G(T, z)
            words = random_words(5, MIXING_PURPOSE, i, draw * B, (draw + 1) * B)
            a = torch.from_numpy(unit(words[:, 0])).view(-1, 1, 1, 1)
            d_loss, gp = 0.0, 0.0
            for k in (0, 1):
                real_k, fake_k = (T, fake.detach()) if k == 0 else (down(T), down(fake.detach()))
                d_loss = (
                    d_loss
                    + (F.relu(1 - discriminate(k, real_k)[1]).mean() + F.relu(1 + discriminate(k, fake_k)[1]).mean())
                    / 2
                )
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
        if judged_by:
            each = [w * (1 - F.cosine_similarity(Q(fake), Q(S).detach())).mean() for Q, w in judged_by]
            identity = sum(each) / sum(w for _, w in judged_by)
        same = batch["same_identity"][:B].double()
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


def test_the_discriminators_may_step_more_often_each_time_on_pairs_of_their_own():
    steps = batches(3, batch_size=6)  # three draws of two pairs each
    module = tiny_module("instance", "instance", discriminator_steps=3, micro_batches=2)
    G, D, losses = reference_run(module, steps, draws=3)
    seen = logged(module)
    trainer = fit(module, steps)
    for terms, expected in zip(seen, losses, strict=True):
        assert terms["train/adversarial"] == pytest.approx(expected[2], abs=1e-8)
        assert terms["train/identity"] == pytest.approx(expected[3], abs=1e-8)
    for network, reference in ((module.generator, G), (module.discriminators, D)):
        for name, value in reference.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=1e-7)
    assert trainer.global_step == 3


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_running_statistics_count_each_part_once(micro_batches):
    module = tiny_module(micro_batches=micro_batches)
    fit(module, batches(2, batch_size=4))
    assert module.generator.first[2].num_batches_tracked == 2 * micro_batches
    # targets and results
    assert module.discriminators.scales[0].layers[1][1].num_batches_tracked == 2 * 2 * micro_batches


def test_each_optimizer_clips_by_its_own_norm():
    norms = {"generator": [], "discriminators": []}

    class After(L.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            for name, seen in norms.items():
                gradients = [p.grad for p in getattr(module, name).parameters() if p.grad is not None]
                if gradients:
                    seen.append((optimizer, torch.nn.utils.get_total_norm(gradients).item()))

    module = tiny_module(generator_clip=0.5, discriminator_clip=1e6)
    lines = logged(module)
    # the module's hook clips, and callbacks' hooks come before it: look at the gradient that Adam is given
    adam, given = torch.optim.Adam.step, []

    def stepping(optimizer, closure=None):
        def watched():
            closure()
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            given.append(torch.nn.utils.get_total_norm(gradients).item())

        return adam(optimizer, watched)

    torch.optim.Adam.step = stepping
    try:
        fit(module, batches(2), callbacks=[After()])
    finally:
        torch.optim.Adam.step = adam
    before_g, before_d = ([norm for _, norm in norms[name]] for name in ("generator", "discriminators"))
    assert given[1::2] == pytest.approx([0.5, 0.5], rel=1e-4)
    assert given[0::2] == pytest.approx(before_d)
    assert [line["train/generator_grad_norm"] for line in lines] == pytest.approx(before_g)
    assert min(before_g) > 1


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


class GradientsSeen(L.Callback):
    """At each optimizer step: which networks have a gradient, and the discriminators' state."""

    def __init__(self):
        self.networks, self.discriminators = [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        reached = {n.split(".")[0] for n, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum()}
        self.networks.append(reached)
        self.discriminators.append(copy.deepcopy(module.discriminators.state_dict()))


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_each_phase_reaches_its_own_network_alone(micro_batches):
    module, seen = tiny_module(micro_batches=micro_batches), GradientsSeen()
    fit(module, batches(1, batch_size=4), callbacks=[seen])
    assert seen.networks == [{"discriminators"}, {"generator"}]
    after_d = seen.discriminators[1]
    assert all(torch.equal(after_d[n], v) for n, v in module.discriminators.state_dict().items())
    assert all(p.requires_grad for p in module.discriminators.parameters())


def test_frozen_networks_are_nowhere_but_pass_gradient():
    module = tiny_module()
    frozen = {id(p) for p in module.embedder.parameters()}
    assert not frozen & {id(p) for p in module.parameters()}
    assert not any("embedder" in name or "recognizer" in name for name in module.state_dict())
    module.train()
    assert not module.embedder.recognizer.training
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


def test_both_rates_follow_their_schedules_and_a_resume_goes_on_with_them(tmp_path):
    settings = {
        "schedule": "linear", "total_iterations": 4, "generator_lr": 1.0, "discriminator_lr": 0.5,
        "discriminator_schedule": "constant", "discriminator_warmup": 3,
    }  # fmt: skip
    steps = batches(4)
    whole, part, resumed = (tiny_module(**settings) for _ in range(3))
    seen, rest = logged(whole), logged(resumed)
    logged(part)
    fit(whole, steps, precision="32-true")
    assert [terms["train/generator_lr"] for terms in seen] == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert [terms["train/discriminator_lr"] for terms in seen] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    fit(part, steps[:2], precision="32-true").save_checkpoint(tmp_path / "a.ckpt")
    fit(resumed, steps, precision="32-true", resume=tmp_path / "a.ckpt")
    assert rest == seen[2:]
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_two_time_scales(tmp_path):
    module = tiny_module(discriminator_algorithm={"betas": [0.5, 0.9]})
    (generator, discriminators), _ = module.configure_optimizers()
    assert [generator.param_groups[0][key] for key in ("lr", "betas")] == [1e-3, (0.0, 0.999)]
    assert [discriminators.param_groups[0][key] for key in ("lr", "betas")] == [2e-3, (0.5, 0.9)]


def test_the_checkpoint_describes_itself(tmp_path):
    module = tiny_module()
    trainer = fit(module, batches(1))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert content[KEY]["image_size"] == SIZE
    assert content[KEY]["template"] == "arcface"
    assert content[KEY]["pixel_range"] == "unit"
    assert content[KEY]["recognizer"] == {"name": "tiny", "sha256": f"{1:064x}"}
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


def test_the_batch_brings_the_mixing_weights():
    module, mix, seen = tiny_module(discriminator_steps=2, micro_batches=2), torch.linspace(0, 0.75, 8).double(), []
    loss_of = module._discriminator_loss
    module._discriminator_loss = lambda part: seen.append(part.mix) or loss_of(part)
    fit(module, [batches(1, batch_size=8)[0] | {"mix": mix}])
    # The generator's draw comes last; each draw is in two micro-batches.
    assert torch.equal(torch.cat(seen), torch.cat([mix[4:], mix[:4]]))
    assert [len(part) for part in seen] == [2, 2, 2, 2]
