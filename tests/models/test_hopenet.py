"""Hopenet: angles from given bins, the signs, the published names, and weights that do not fit."""

import hashlib

import pytest
import torch

from simswap.errors import InputError
from simswap.models.hopenet import BINS, HopenetNetwork, HopenetPose, degrees

VIEW = torch.zeros(2, dtype=torch.int64)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    network = HopenetNetwork()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.state_dict()


def save(state, path):
    torch.save(state, path)
    return str(path)


def test_angles_are_the_mean_of_the_bins():
    even = torch.zeros(BINS)
    one = torch.full((BINS,), -1e9)
    one[40] = 0  # -99 + 3 * 40
    two = one.clone()
    two[34] = torch.log(torch.tensor(3.0))  # three times as likely: (3 * 3 + 21) / 4
    # Even: the mean of -99, -96 … 96.
    assert degrees(torch.stack([even, one, two])).tolist() == pytest.approx([-1.5, 21.0, 7.5], abs=1e-4)


def test_the_networks_names_and_sizes_are_the_published_ones(state):
    names = {
        "conv1.weight": [64, 3, 7, 7], "bn1.running_var": [64], "layer1.0.conv1.weight": [64, 64, 1, 1],
        "layer1.0.downsample.0.weight": [256, 64, 1, 1], "layer2.0.downsample.1.weight": [512],
        "layer3.5.conv2.weight": [256, 256, 3, 3], "layer4.2.bn3.bias": [2048], "fc_yaw.weight": [66, 2048],
        "fc_pitch.bias": [66], "fc_roll.weight": [66, 2048],
    }  # fmt: skip
    assert {name: list(state[name].shape) for name in names} == names
    assert "layer1.1.downsample.0.weight" not in state
    # torchvision's ResNet-50 without its last layer has 23,508,032 parameters.
    parameters = sum(v.numel() for k, v in state.items() if "running" not in k and "num_batches" not in k)
    assert parameters == 23_508_032 + 3 * (2048 * 66 + 66)


def test_a_stage_halves_the_picture_at_its_first_3x3():
    network = HopenetNetwork()
    assert network.layer2[0].conv2.stride == (2, 2)
    assert network.layer2[0].conv1.stride == (1, 1)
    sizes = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        stage.register_forward_hook(lambda m, i, o: sizes.append(o.shape[-1]))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 3, 66)
    assert sizes == [56, 28, 14, 7]


def test_bins_become_the_projects_angles(state, tmp_path):
    # Heads that answer the same for every picture: Hopenet's yaw 30, pitch 12, roll -9.
    fixed = {k: v.clone() for k, v in state.items()}
    for head, answer in {"yaw": 30, "pitch": 12, "roll": -9}.items():
        fixed[f"fc_{head}.weight"].zero_()
        fixed[f"fc_{head}.bias"].fill_(-1e4)[(answer + 99) // 3] = 0
    path = save(fixed, tmp_path / "fixed.pkl")
    estimator = HopenetPose(path)
    poses = estimator(torch.rand(2, 3, 64, 64), "arcface", VIEW)
    assert poses.tolist() == [pytest.approx([-30, 12, -9], abs=1e-3)] * 2  # its yaw > 0 is to the image's left
    assert estimator.sha256 == hashlib.sha256((tmp_path / "fixed.pkl").read_bytes()).hexdigest()
    assert (estimator.name, estimator.noise_floor_deg) == ("Hopenet (fixed)", None)


def test_files_of_the_published_form_load(state, tmp_path):
    """With the unused layer and without the counters that older versions of torch did not keep."""
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    extra = {"fc_finetune.weight": torch.zeros(3, 2051), "fc_finetune.bias": torch.zeros(3)}
    images = torch.rand(2, 3, 112, 112)
    poses = HopenetPose(save(old | extra, tmp_path / "old.pkl"))(images, "arcface", VIEW)
    assert torch.equal(poses, HopenetPose(save(state, tmp_path / "new.pkl"))(images, "arcface", VIEW))
    assert not torch.equal(poses[0], poses[1])


def test_weights_that_do_not_fit_are_named(state, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        HopenetPose(str(tmp_path / "none.pkl"))
    (tmp_path / "junk.pkl").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"is a text file .junk., not Hopenet's weights"):
        HopenetPose(str(tmp_path / "junk.pkl"))
    with pytest.raises(InputError, match="holds no state dict"):
        HopenetPose(save([1], tmp_path / "list.pkl"))
    broken = {k: v for k, v in state.items() if k != "fc_roll.bias"}
    broken |= {"fc_gaze.bias": torch.zeros(66), "conv1.weight": torch.zeros(64, 1, 7, 7)}
    with pytest.raises(InputError) as told:
        HopenetPose(save(broken, tmp_path / "broken.pkl"))
    assert "it lacks fc_roll.bias; it has unknown fc_gaze.bias" in str(told.value)
    assert "conv1.weight [64, 1, 7, 7] instead of [64, 3, 7, 7]" in str(told.value)
