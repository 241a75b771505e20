"""The checkpoint in the package belongs to the built-in recognizer of today, and brings identity in."""

import numpy as np
import torch

from simswap import checkpoint, pixels
from simswap.measuring.swappers import Faces, swap_faces
from simswap.models import builtin
from simswap.models.embedder import Embedder
from simswap.rendered.builtin import render_crops

PERSONS = 24


def test_it_swaps_people_that_no_training_saw():
    path = builtin.WEIGHTS / "demo.ckpt"
    assert path.stat().st_size < 5_000_000
    shipped, recognizer = checkpoint.load(path), builtin.recognizer()
    shipped.check_recognizer(recognizer)
    assert "simswap-train experiment=demo" in shipped.description["notes"]["made with"]
    crops, _ = render_crops(515151, PERSONS, 2)
    images = pixels.from_uint8(torch.from_numpy(crops), "unit")  # [P, 2, 3, 64, 64]
    view = torch.zeros(PERSONS, dtype=torch.int64)
    target, source = Faces(images[:, 0], view), Faces(images[:, 1].roll(1, 0), view)
    judge = builtin.judge()
    with torch.no_grad():
        result = swap_faces(shipped.generator, Embedder(recognizer, "arcface", 64), target, source).images
        sources, targets, results = (judge(faces) for faces in (source.images, target.images, result))
    nearest = (results @ torch.cat([sources, targets]).T).argmax(1).numpy()
    assert (nearest == np.arange(PERSONS)).mean() > 0.5  # chance 2 %, doing nothing 0 %
    assert (result - target.images).abs().mean() < 0.6 * (source.images - target.images).abs().mean()
