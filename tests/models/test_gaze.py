"""The built-in gaze estimator against what is true of rendered eyes."""

import numpy as np
import torch

from simswap.faces.alignment import align, warp
from simswap.metrics.gaze_error import GazeError
from simswap.models.gaze import NOISE_FLOOR_DEG, gaze_estimator
from simswap.rendered.dataset import photo


def test_it_sees_where_unseen_eyes_look():
    crops, truth = [], []
    for person in range(20):
        for image in range(2):
            shown, attributes = photo(31, person, image, 96)  # people of another seed than it learned from
            if attributes.blink < 0.5:
                matrix = align(shown.landmarks, "arcface", 64).matrix
                crops.append(warp(shown.image, matrix, 64).transpose(2, 0, 1))
                truth.append((attributes.gaze_x, attributes.gaze_y))
    images, true = torch.from_numpy(np.stack(crops)).float() / 255, torch.tensor(truth)
    found = gaze_estimator()(images, "arcface", torch.zeros(len(images), dtype=torch.int64))
    error, blind = GazeError(), GazeError()
    error.update(found, true)
    blind.update(torch.zeros_like(true), true)
    assert float(error.compute()) < 1.4 * NOISE_FLOOR_DEG
    assert float(blind.compute()) > 2 * NOISE_FLOOR_DEG  # looking straight ahead is not enough
    assert np.corrcoef(found[:, 0], true[:, 0])[0, 1] > 0.85
    # A mirrored face looks the other way.
    mirrored = gaze_estimator()(images.flip(-1), "arcface", torch.zeros(len(images), dtype=torch.int64))
    assert np.corrcoef(mirrored[:, 0], -true[:, 0])[0, 1] > 0.85
