"""Two ranks average their gradients in buckets, also those that only one of them has."""

import pytest
import torch
from torch import nn

from simswap.training.gradient_reduction import GradientReduction, in_buckets
from tests.waiting import side_by_side


def network():
    return nn.ModuleDict({"first": nn.Linear(2, 1, bias=False), "second": nn.Linear(2, 1), "idle": nn.Linear(2, 2)})


def backward(net, scale, second=True):
    x = torch.tensor([[1.0, 2.0]])
    loss = scale * net["first"](x).sum()
    return (loss + 10 * scale * net["second"](x).sum() if second else loss).backward()


def reduce_on_rank(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", world_size=2, rank=rank)
    net = network()
    reduction = GradientReduction(net, ranks=2, bucket_bytes=8)
    made, sent = [], []
    for step in range(3):
        net.zero_grad()
        backward(net, 100.0)  # an earlier micro-batch is not sent
        reduction.begin()
        # rank 1 does not reach the second part in the second step
        backward(net, float(1 + 2 * rank), second=not (rank and step == 1))
        sent.append(reduction._next)
        reduction.finish()
        made.append({name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()})
    try:
        net.zero_grad()
        reduction.begin()
        net["idle"](torch.ones(1, 2)).sum().backward()
        reduction.finish()
    except RuntimeError as error:
        made.append(str(error))
    reduction.close()
    net.zero_grad()
    backward(net, 1.0)  # nothing is sent any more
    made.append(net["first"].weight.grad.clone())
    torch.save({"made": made, "sent": sent}, folder / f"{rank}.pt")


def test_gradients_are_means_over_the_ranks(tmp_path):
    with side_by_side(reduce_on_rank, (0, tmp_path), (1, tmp_path)):
        pass
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for rank, (made, sent) in enumerate((rank["made"], rank["sent"]) for rank in ranks):
        # 100 of the first micro-batch on both; 1 and 3 of the second one
        x = torch.tensor([[1.0, 2.0]])
        for step in range(3):
            assert torch.equal(made[step]["first.weight"], 102 * x)
            assert torch.equal(made[step]["second.weight"], (1020 if step != 1 else 1005) * x)
            assert made[step]["idle.weight"] is None, "no rank reaches it: an optimizer must leave it alone"
        assert "idle.bias took no gradient" in made[3] or "idle.weight took no gradient" in made[3]
        assert torch.equal(made[4], x)
        assert sent == [0, 0, 0], (rank, "the idle part comes first, so every bucket waits for the end")


def test_buckets_are_filled_in_order_and_hold_one_dtype():
    sizes = [nn.Parameter(torch.zeros(n)) for n in (2, 2, 5, 1)] + [nn.Parameter(torch.zeros(1, dtype=torch.float64))]
    found = [[p.numel() for p in bucket.parameters] for bucket in in_buckets(sizes, 16)]
    assert found == [[2, 2], [5], [1], [1]]


def test_a_bucket_is_sent_as_soon_as_it_is_full(monkeypatch):
    sent = []

    class Work:
        def wait(self):
            sent.append("waited")

    def all_reduce(tensor, async_op=False):
        sent.append(tensor.clone())
        return Work()

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[1].weight.fill_(2.0)
    reduction = GradientReduction(net, ranks=2, bucket_bytes=4)
    order = []
    net[0].weight.register_post_accumulate_grad_hook(lambda _: order.append(len(sent)))
    reduction.begin()
    net(torch.tensor([[1.0, 2.0]])).sum().backward()
    # The last layer's gradient (3, halved for the sum over two ranks) left before the first layer's was there.
    assert [value.tolist() for value in sent] == [[1.5], [1.0, 2.0]]
    assert order[0] >= 1
    reduction.finish()


def test_a_gradient_that_arrives_twice_is_refused(monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, async_op=False: None)
    net = nn.Linear(1, 1)
    reduction = GradientReduction(net, ranks=2)
    reduction.begin()
    net(torch.ones(1, 1)).sum().backward()
    with pytest.raises(RuntimeError, match=r"gradient of (weight|bias) arrived twice"):
        net(torch.ones(1, 1)).sum().backward()
