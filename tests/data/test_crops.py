"""Crops as planes, the layout that networks take."""

import numpy as np

from simswap.data.crops import into_planes


def test_planes_are_written_in_place():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image.setflags(write=False)  # as the cache's crops are
    batch = np.zeros((2, 3, 5, 7), np.uint8)
    into_planes(image, batch[1])
    np.testing.assert_array_equal(batch[1], image.transpose(2, 0, 1))
    into_planes(image[:, ::-1], batch[0])  # a mirrored view
    np.testing.assert_array_equal(batch[0], image[:, ::-1].transpose(2, 0, 1))
