"""A tiny training must reach a figure: what cannot learn a handful of pictures learns nothing."""

import torch

from tests.training.tiny import batches, fit, tiny_module

ITERATIONS = 100


def first_and_last(module, steps, name):
    lines = []
    module.log_dict = lambda terms, **kw: lines.append(float(terms[f"train/{name}"]))
    torch.manual_seed(0)
    fit(module, steps, precision="32-true")
    return lines[0], sum(lines[-10:]) / 10


def test_pictures_are_learned_by_heart():
    one_person = batches(1, batch_size=2)[0]
    # smooth pictures: noise would ask for more weights than there are
    for key in ("target", "source"):
        coarse = torch.nn.functional.avg_pool2d(one_person[key].float(), 8)
        one_person[key] = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear").to(torch.uint8)
    first, last = first_and_last(tiny_module(), [one_person] * ITERATIONS, "reconstruction")
    assert last < 0.35 * first


def test_identity_is_brought_in():
    two_persons = batches(2, batch_size=2)[1]
    module = tiny_module(weights={"identity": 30.0, "feature_matching": 0.0})
    first, last = first_and_last(module, [two_persons] * ITERATIONS, "identity")
    assert last < 0.5 * first
