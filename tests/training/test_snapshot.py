from collections import OrderedDict

import pytest
import torch

from simswap.training.snapshot import Snapshots
from tests.device import StandIn


def content():
    weights = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), empty=torch.empty(0, 4))
    weights._metadata = {"": {"version": 1}}
    wide = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    return {
        "state_dict": weights,
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": wide}}, "groups": [{"lr": 0.1}]}],
        "half": (torch.ones(5, dtype=torch.bfloat16), torch.arange(3), "text"),
        "same": weights["weight"],
    }


def test_a_snapshot_keeps_the_values_types_and_memory_formats_of_its_moment(tmp_path):
    live = content()
    torch.save(live, tmp_path / "now.pt")
    taken = Snapshots().take(live)
    torch.save(taken, tmp_path / "out.pt")
    assert (tmp_path / "out.pt").stat().st_size == (tmp_path / "now.pt").stat().st_size
    for tensor in (live["state_dict"]["weight"], live["half"][0]):
        tensor.fill_(9)
    live["optimizer_states"][0]["groups"][0]["lr"] = 0.5
    read = torch.load(tmp_path / "now.pt", weights_only=True)
    for found in (taken, torch.load(tmp_path / "out.pt", weights_only=True)):
        assert torch.equal(found["state_dict"]["weight"], read["state_dict"]["weight"])
        assert found["state_dict"]["empty"].shape == (0, 4)
        assert found["state_dict"]._metadata == {"": {"version": 1}}
        assert found["optimizer_states"][0]["groups"] == [{"lr": 0.1}]
        moment = found["optimizer_states"][0]["state"][0]["exp_avg"]
        assert torch.equal(moment, read["optimizer_states"][0]["state"][0]["exp_avg"])
        assert moment.is_contiguous(memory_format=torch.channels_last)
        assert found["half"][0].dtype == torch.bfloat16
        assert found["half"][0].tolist() == [1] * 5
        assert found["half"][1:] == (found["half"][1], "text")
        assert found["same"].data_ptr() == found["state_dict"]["weight"].data_ptr()


def test_the_memory_is_used_again_unless_the_content_has_changed():
    snapshots, live = Snapshots(), content()
    first = snapshots.take(live)["state_dict"]["weight"]
    live["state_dict"]["weight"] += 1
    second = snapshots.take(live)["state_dict"]["weight"]
    assert first.data_ptr() == second.data_ptr()
    assert second.tolist() == [[1, 2, 3], [4, 5, 6]]
    live["state_dict"]["weight"] = torch.zeros(7)
    assert snapshots.take(live)["state_dict"]["weight"].tolist() == [0] * 7


def test_no_two_tensors_share_memory():
    live = {f"{size}": torch.full((size,), size, dtype=torch.uint8) for size in range(1, 200)}
    taken = Snapshots().take(live)
    assert all(taken[name].tolist() == values.tolist() for name, values in live.items())


def test_tensors_of_a_device_are_copied_to_the_host():
    with StandIn() as gpu:
        there = torch.arange(4.0).to("cuda")
        taken = Snapshots().take({"a": [there]})["a"][0]
        assert not gpu.is_there(taken)
        assert taken.numpy().tolist() == [0, 1, 2, 3]


@pytest.mark.gpu
def test_a_gpus_values_are_those_of_the_moment_though_nobody_waits():
    weight, snapshots = torch.zeros(4096, 4096, device="cuda"), Snapshots()
    other = torch.rand(4096, 4096, device="cuda")
    snapshots.take({"weight": weight})  # pins the memory, for which the host waits
    torch.cuda.synchronize()
    for _ in range(20):
        other = other @ other / 4096  # work that keeps the device busy
    torch.cuda.set_sync_debug_mode("error")
    try:
        taken = snapshots.take({"weight": weight, "steps": 3})
    finally:
        torch.cuda.set_sync_debug_mode("default")
    weight += 1
    snapshots.wait()
    assert taken["weight"].is_pinned()
    assert taken["steps"] == 3
    assert float(taken["weight"].abs().max()) == 0
    assert float(weight.min()) == 1
