"""The built-in networks hold their promises on rendered people that no training saw."""

import numpy as np
import pytest
import torch

from simswap.errors import InputError
from simswap.models import builtin
from simswap.rendered.builtin import DATA_SEEDS, render_crops

TEST_SEED = 424242
PERSONS, IMAGES = 90, 12  # 5,940 pairs of the same person


def verification_accuracy(vectors: np.ndarray, person: np.ndarray, pairs: int, seed: int) -> float:
    """Share of pairs (half of the same person, half not) told rightly by a cosine threshold.

    Ten folds: the threshold of each is the best one on the other nine, as LFW's protocol has it.
    """
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(len(person), 1)  # every pair once, so that no fold knows another's
    same = person[first] == person[second]
    assert same.sum() >= pairs // 2
    kinds = np.flatnonzero(same), np.flatnonzero(~same)
    kept = np.concatenate([rng.choice(kind, pairs // 2, replace=False) for kind in kinds])
    cosine, same = np.einsum("ne,ne->n", vectors[first[kept]], vectors[second[kept]]), same[kept]
    thresholds = np.linspace(-1, 1, 401)
    right = (cosine[None] > thresholds[:, None]) == same  # [401, pairs]
    fold = rng.permutation(pairs) % 10
    return float(np.mean([right[right[:, fold != k].mean(1).argmax(), fold == k].mean() for k in range(10)]))


@pytest.fixture(scope="module")
def unseen():
    """Crops in unit range [N, 3, 64, 64], person [N], true (yaw, pitch, roll) [N, 3] in the crop."""
    assert TEST_SEED not in DATA_SEEDS.values()
    crops, poses = render_crops(TEST_SEED, PERSONS, IMAGES)
    images = torch.from_numpy(crops.reshape(-1, *crops.shape[2:])).float() / 255
    return images, np.repeat(np.arange(PERSONS), IMAGES), poses.reshape(-1, 3)


def embed(network, images: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([network(part) for part in images.split(128)]).numpy()


def test_accuracy_of_known_vectors():
    person = np.repeat(np.arange(20), 10)
    perfect = np.eye(20)[person]
    assert verification_accuracy(perfect, person, 1500, 0) == 1.0
    alike = np.ones((200, 1))  # every cosine is 1: one half of the pairs is right, whatever the threshold
    assert verification_accuracy(alike, person, 1500, 0) == pytest.approx(0.5, abs=0.03)
    noise = np.random.default_rng(0).standard_normal((200, 64))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert verification_accuracy(noise, person, 1500, 0) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("which", ["recognizer", "judge"])
def test_unseen_people_are_verified(unseen, which):
    images, person, _ = unseen
    accuracy = verification_accuracy(embed(getattr(builtin, which)(), images), person, 10_000, 1)
    assert accuracy >= 0.99, accuracy


def test_pose_of_unseen_faces_is_within_two_degrees(unseen):
    images, _, poses = unseen
    estimator = builtin.pose_estimator()
    with torch.no_grad():
        found = torch.cat([estimator(p, "arcface", torch.zeros(len(p), dtype=torch.int64)) for p in images.split(128)])
    error = np.abs(found.numpy() - poses).mean(0)
    assert (error <= 2.0).all(), error
    assert error.max() < 0.25 * np.abs(poses[:, 0]).mean()  # far better than a guess of zero for the yaw
    # the floor that tables print beside the figures is the mean L2 error
    assert estimator.noise_floor_deg == pytest.approx(np.linalg.norm(found.numpy() - poses, axis=1).mean(), rel=0.35)


@pytest.mark.parametrize("make", [builtin.recognizer, builtin.judge, builtin.pose_estimator])
def test_frozen_and_differentiable(make):
    network = make().train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    if make is builtin.pose_estimator:
        outputs = network(images, "arcface", torch.zeros(2, dtype=torch.int64))
    else:
        outputs = network(images)
        torch.testing.assert_close(outputs.norm(dim=1), torch.ones(2))
    outputs[:, 0].sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(dim=(1, 2, 3)) > 0).all()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_recognizer_and_judge_are_two_networks():
    first, second = builtin.recognizer(), builtin.judge()
    assert first.sha256 != second.sha256
    assert [type(m) for m in first.network.modules()] != [type(m) for m in second.network.modules()]
    assert builtin.recognizer().sha256 == first.sha256


def test_weights_are_small_plain_tensors():
    for name in ("recognizer", "judge", "pose"):
        path = builtin.WEIGHTS / f"{name}.pt"
        assert path.stat().st_size < 1_000_000
        assert all(isinstance(v, torch.Tensor) for v in torch.load(path, weights_only=True).values())


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match=r"judge\.pt.*--which judge"):
        builtin.judge()
    (tmp_path / "judge.pt").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"judge\.pt is a text file .cut off., not the built-in network"):
        builtin.judge()
