"""Training, resuming, evaluation and swapping on a stand-in for a GPU (`tests.device`), through the front doors."""

import copy
import csv
import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn

from simswap import evaluate, swap, train
from simswap.rendered.dataset import write_dataset
from tests.device import APPLE, DEVICE, StandIn
from tests.training.runs import SMALL


@pytest.fixture(params=[DEVICE, pytest.param(APPLE, marks=pytest.mark.slow)], ids=["cuda", "mps"])
def gpu(request, monkeypatch):
    """Everything that Lightning, or ``device=cuda`` or ``mps``, moves to a device is on the stand-in."""
    place = property(lambda self: request.param, lambda self, device: None)
    monkeypatch.setattr(SingleDeviceStrategy, "root_device", place)
    monkeypatch.setattr(CPUAccelerator, "setup_device", lambda self, device: None)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for door in (evaluate, swap):  # which would count this machine's GPUs
        monkeypatch.setattr(door, "choose_device", torch.device)
    with StandIn(request.param) as stand_in:
        yield stand_in


def test_a_run_trains_validates_draws_saves_resumes_and_is_evaluated(crops, tmp_path, door, gpu):
    run, tables = tmp_path / "run", tmp_path / "tables"  # not beside the crops, which are other tests' too
    table = ["data.cache_embeddings=true", "data.augmentation.sources=false", f"data.embeddings={tables}"]
    given = [*SMALL, *table, f"data.root={crops}", f"hydra.run.dir={run}", "trainer.precision=bf16-mixed"]
    for arguments in ([*given, "trainer.max_steps=4"], [f"resume={run}", "trainer.max_steps=6"]):
        code, _, errors = door(train.main, *arguments)
        assert code == 0, errors
    assert sorted(p.name for p in (run / "samples").iterdir()) == ["0000003.png", "0000004.png", "0000006.png"]
    with open(run / "metrics.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file) if row["val/id_retrieval"]] == ["2", "5"]

    assert gpu.calls["backward"] == 6 * 2  # the discriminators' and the generator's

    protocol = ["protocol.persons=6", "protocol.images_per_person=3", "protocol.pairs=12", "protocol.batch_size=5"]
    given = [f"checkpoint={run}/checkpoints/last.ckpt", "baselines=[classical]", "gaze=builtin", *protocol]
    found = []
    for device in (gpu.device.type, "cpu"):
        # workers=0: the stand-in is there in this thread alone
        code, _, errors = door(evaluate.main, *given, "workers=0", f"device={device}", f"out={tmp_path / device}")
        assert code == 0, errors
        found.append(json.loads((tmp_path / device / "evaluation.json").read_text())["results"])
    assert found[0] == found[1]  # the stand-in computes as the CPU does
    assert {"trained", "classical", "do_nothing", "copy_source"} == set(found[0])

    write_dataset(str(tmp_path / "faces"), persons=2, images=2, size=96, seed=8)
    photos = sorted((tmp_path / "faces").rglob("*.jpg"))
    given = [f"checkpoint={run}/checkpoints/last.ckpt", f"landmarks={tmp_path}/faces/loose_landmark.csv",
             f"only={photos[3]}", f"source={photos[0]}", f"target={photos[2]}", "threshold=-1"]  # fmt: skip
    for device in (gpu.device.type, "cpu"):
        code, _, errors = door(swap.main, *given, f"device={device}", f"out={tmp_path}/{device}.png")
        assert code == 0, errors
    assert (tmp_path / f"{gpu.device.type}.png").read_bytes() == (tmp_path / "cpu.png").read_bytes()


REFUSED = {
    "numpy": lambda there, here: there.numpy(),
    "asarray": lambda there, here: np.asarray(there),
    "index of an array": lambda there, here: np.ones(3)[there.long()],
    "sum": lambda there, here: there + here,
    "cat": lambda there, here: torch.cat([there, here]),
    "mask": lambda there, here: there.masked_fill(here > 0, 0.0),
    "from numpy": lambda there, here: torch.from_numpy(np.ones(3, np.float32)) * there,
    "index of the CPU's": lambda there, here: here[there.long()],
    "a layer left behind": lambda there, here: nn.Linear(3, 2)(there),
    "the CPU's generator": lambda there, here: torch.rand(3, device=there.device, generator=torch.Generator()),
    "in a gradient": lambda there, here: (there.requires_grad_() ** 2).sum().backward() or there.grad * here,
}


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("what", list(REFUSED))
def test_the_stand_in_refuses_what_a_gpu_refuses(what):
    with StandIn():
        there, here = torch.ones(3).to("cuda"), torch.ones(3)
        assert (there.device, here.device) == (DEVICE, torch.device("cpu"))
        with pytest.raises((TypeError, RuntimeError), match=r"numpy|device"):
            REFUSED[what](there, here)


def test_apples_stand_in_refuses_float64():
    with StandIn(APPLE):
        there = torch.ones(3, device="mps")
        for convert in (there.double, lambda: there.to(torch.float64), lambda: torch.ones(2).double().to("mps")):
            with pytest.raises(TypeError, match="Cannot convert a MPS Tensor to float64"):
                convert()
        assert there.cpu().double().dtype == torch.float64


def test_the_stand_in_allows_what_a_gpu_allows():
    with StandIn():
        there, here = torch.arange(3.0, device="cuda"), torch.arange(3)
        layer = copy.deepcopy(nn.Linear(3, 2)).to(DEVICE)
        results = [there * torch.tensor(2.0), there[here], there.cpu().to(there), layer(there), layer.weight.detach(),
                   copy.deepcopy(layer).weight,
                   there.new_zeros(2), torch.zeros_like(there), *there, there.clone().copy_(here.float())]  # fmt: skip
        assert {result.device for result in results} == {DEVICE}
        assert there.cpu().numpy().tolist() == there.tolist() == [0, 1, 2]
        assert float(there[2]) == 2
        assert torch.tensor([there[1], there[2]]).device.type == "cpu"
