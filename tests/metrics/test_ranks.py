"""Metrics over two processes give what one process gives, also when one of them saw nothing."""

import torch
import torch.distributed
import torch.multiprocessing

from simswap.metrics.feature_distance import FeatureDistance
from simswap.metrics.gaze_error import GazeError
from simswap.metrics.landmark_error import LandmarkError
from simswap.metrics.pose_error import PoseError
from simswap.metrics.reconstruction import SelfReconstruction
from simswap.metrics.retrieval import IdentityRetrieval
from simswap.metrics.similarity import IdentitySimilarity
from simswap.metrics.temporal_jitter import TemporalJitter


def _figures(rows: slice) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    gallery, persons = torch.randn(30, 6, generator=generator), torch.arange(30) // 3
    person = torch.arange(10)
    results = gallery[person * 3] + 0.7 * torch.randn(10, 6, generator=generator)
    poses = torch.randn(2, 10, 3, generator=generator)
    poses[0, 8] = torch.nan
    retrieval, similarity, pose = IdentityRetrieval(), IdentitySimilarity(), PoseError()
    reconstruction, landmarks, gaze = SelfReconstruction(), LandmarkError(), GazeError()
    jitter, distance = TemporalJitter(), FeatureDistance(6)
    pictures = torch.rand(2, 10, 3, 12, 12, generator=generator)
    retrieval.set_gallery(gallery, persons, torch.arange(30))
    if len(person[rows]):
        retrieval.update(results[rows], person[rows], person[rows] * 3)
        similarity.update(results[rows], gallery[person * 3][rows])
        pose.update(poses[0][rows], poses[1][rows])
        reconstruction.update(pictures[0][rows], pictures[1][rows])
        landmarks.update(pictures[0, :, 0, :5, :2][rows], pictures[1, :, 0, :5, :2][rows])
        gaze.update(poses[0, :, :2][rows], poses[1, :, :2][rows])
        jitter.update(pictures[0, :, 0, :3, :3][rows], pictures[0, :, 1, :3][rows])
        distance.update(results[rows].double(), real=False)
        distance.update(gallery[person * 3][rows].double(), real=True)
    return {
        **retrieval.compute(),
        "similarity": similarity.compute(),
        **pose.compute(),
        **reconstruction.compute(),
        "landmarks": landmarks.compute(),
        "gaze": gaze.compute(),
        "fid": distance.compute(),
        **{f"jitter {name}": value for name, value in jitter.compute().items()},
    }


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    uneven = _figures(slice(0, 7) if rank == 0 else slice(7, 10))
    one_empty = _figures(slice(0, 10) if rank == 0 else slice(0, 0))
    torch.save([uneven, one_empty], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks_equal_one(tmp_path):
    torch.multiprocessing.spawn(_rank, args=(str(tmp_path),), nprocs=2)
    alone = _figures(slice(0, 10))
    assert 0 < alone["top1"] < 1
    assert alone["missed"] == 1
    for rank in (0, 1):
        for figures in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            torch.testing.assert_close(figures, alone, rtol=1e-12, atol=1e-10)
