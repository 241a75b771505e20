"""Identity similarity against cosines worked out on paper."""

import pytest
import torch

from simswap.metrics.similarity import IdentitySimilarity


def test_worked_out_cosines():
    metric = IdentitySimilarity()
    metric.update(torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[5.0, 0.0], [4.0, 0.0]]))
    metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(metric.values("cosine"), torch.tensor([1.0, 0.0, 0.6]))
    assert metric.compute() == pytest.approx(1.6 / 3)


def test_wrong_shapes_and_columns_raise():
    with pytest.raises(ValueError, match="same shape"):
        IdentitySimilarity().update(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="there are cosine"):
        IdentitySimilarity().values("sine")
    with pytest.raises(ValueError, match="columns are"):
        IdentitySimilarity().append(sine=torch.zeros(1))
