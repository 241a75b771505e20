"""Two ranks whose batch norms have seen other pictures go on with rank 0's statistics."""

from types import SimpleNamespace

import torch
from torch import nn

from simswap.training.callbacks.same_statistics import SameStatistics
from tests.waiting import side_by_side


def share_on_rank(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", world_size=2, rank=rank)
    module = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1), nn.BatchNorm1d(3))
    nn.init.constant_(module[1].weight, float(rank))
    for step in range(1 + rank):
        module[0](torch.full((2, 2, 2, 2), 1.0 + rank + step))
        module[2](torch.full((2, 3), 10.0 * rank))
    SameStatistics().on_train_batch_start(SimpleNamespace(world_size=2), module)
    torch.save(module.state_dict(), folder / f"{rank}.pt")


def test_buffers_are_rank_0s_and_weights_stay(tmp_path):
    with side_by_side(share_on_rank, (0, tmp_path), (1, tmp_path)):
        pass
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    # one batch of ones on rank 0, momentum 0.1; the counter of batches is an integer and comes along
    torch.testing.assert_close(first["0.running_mean"], torch.tensor([0.1, 0.1]))
    for name in ("0.running_mean", "0.running_var", "0.num_batches_tracked", "2.running_mean", "2.running_var"):
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=0)
    assert second["0.num_batches_tracked"] == 1
    assert second["1.weight"].eq(1).all()
    assert first["1.weight"].eq(0).all()


def test_one_rank_is_left_alone():
    module = nn.BatchNorm1d(3)
    SameStatistics().on_validation_start(SimpleNamespace(world_size=1), module)  # no process group: nothing is sent
    assert module.running_mean.eq(0).all()
