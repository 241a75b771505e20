"""Histograms of gradients: which blocks there are, and what is counted."""

import torch
from torch import nn

from simswap.models.discriminator import Discriminators
from simswap.models.generator import Generator
from simswap.training.callbacks.gradient_histograms import blocks, histogram_of


def test_blocks_are_those_of_lists_too():
    generator = Generator(identity_size=8, width=4, stages=1, blocks=2, max_width=8)
    found = dict(blocks(generator))
    assert list(found) == ["first", "encoder.0", "id_blocks.0", "id_blocks.1", "decoder.0", "last"]
    assert sum(map(len, found.values())) == len(list(generator.parameters()))
    found = dict(blocks(Discriminators(image_size=32, width=4, scales=2)))
    assert {"scales.0.layers.0", "scales.1.logits"} <= set(found)
    frozen = nn.Sequential(nn.Linear(1, 1)).requires_grad_(False)
    assert list(blocks(frozen)) == []


def test_a_histogram_is_symmetric_and_counts_every_value():
    counts, edges = histogram_of([torch.tensor([[-2.0, 1.0]]), torch.tensor([0.5, 2.0])])
    assert (edges[0], edges[32], edges[64]) == (-2, 0, 2)
    # bins of 1/16: 0.5 is in the one that begins there, 32 + 8; 1.0 in 32 + 16; both ends are inside
    assert {k: int(n) for k, n in enumerate(counts) if n} == {0: 1, 40: 1, 48: 1, 63: 1}
    counts, edges = histogram_of([torch.zeros(3)])
    assert (counts.sum(), edges[0], edges[-1]) == (3, -1, 1)


def test_what_is_not_finite_has_none():
    assert histogram_of([torch.tensor([1.0, float("nan")])]) is None
    assert histogram_of([torch.tensor([1.0, float("inf")])]) is None
    assert histogram_of([]) is None
