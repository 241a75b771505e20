"""(swappers, pairs, judge, pose estimator) → figures: validation and evaluation both measure with this ruler.

The gallery holds images of unseen persons, the very sources and targets of the pairs among them. Each swap is
embedded by the judge and looked up in it; its head pose is compared with its target's on the same crop; a swap of
each target with itself gives the self-reconstruction.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simswap import pixels
from simswap.data.datamodule import SwapDataModule
from simswap.data.pairs import evaluation_pairs
from simswap.errors import InputError
from simswap.metrics.bootstrap import bootstrap_interval
from simswap.metrics.pose_error import PoseError
from simswap.metrics.reconstruction import SelfReconstruction
from simswap.metrics.retrieval import IdentityRetrieval
from simswap.metrics.similarity import IdentitySimilarity
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.models.pose import PoseEstimator


class Faces(NamedTuple):
    """A batch of crops: images [B, 3, S, S] in unit range and their template's views int64 [B].

    landmarks: [B, 5, 2] in px of the crops (eyes, nose, mouth corners), for swappers that ask for them.
    """

    images: Tensor
    view: Tensor
    landmarks: Tensor | None = None


@dataclass(frozen=True)
class Swapper:
    """Something that swaps: ``swap(target, source)`` gives the result; kind: trained, shipped, control or other.

    landmarks: whether it asks for the faces' landmarks.
    """

    name: str
    kind: str
    swap: Callable[[Faces, Faces], Faces]
    landmarks: bool = False


# The two controls: any figure is worth what it is above them.
DO_NOTHING = Swapper("do_nothing", "control", lambda target, source: target)
COPY_SOURCE = Swapper("copy_source", "control", lambda target, source: source)


class Figure(NamedTuple):
    """A mean and its 95 % interval, bootstrapped over the sources' persons (NaN where it cannot be told)."""

    value: float
    low: float
    high: float


def load_faces(data: SwapDataModule, rows: np.ndarray, device: torch.device, landmarks: bool = False) -> Faces:
    """The crops of these manifest rows, not augmented, on the device; with the manifest's landmarks if asked for."""
    view = torch.from_numpy(data.manifest.view[rows].astype(np.int64))
    points = torch.from_numpy(data.manifest.crop_landmarks(rows, data.size)).to(device) if landmarks else None
    return Faces(pixels.from_uint8(data.load(rows).to(device), "unit"), view.to(device), points)


def swap_faces(generator: Generator, embedder: Embedder, target: Faces, source: Faces) -> Faces:
    """A generator's swap of pictures in unit range, in the targets' views: what is validated, sampled and evaluated."""
    identity = embedder.identity(source.images, source.view)
    result = generator(pixels.to_range(target.images, generator.pixel_range), identity)
    return Faces(pixels.to_unit(result, generator.pixel_range).clamp(0, 1), target.view)


class ProtocolPairs(NamedTuple):
    """Which swaps are measured: manifest rows of the gallery, of the targets and of the sources."""

    gallery: np.ndarray
    target: np.ndarray
    source: np.ndarray


def choose_pairs(
    data: SwapDataModule, split: str, persons: int, images_per_person: int, pairs: int, seed: int
) -> ProtocolPairs:
    """Draw a gallery of up to ``persons`` x ``images_per_person`` images of a split, and cross-person pairs in it.

    A function of the split's content and the seed alone. Raises InputError where the split has under two persons.
    """
    rows = data.rows(split)
    person = data.manifest.person[rows]
    generator = np.random.default_rng(seed)
    names = np.unique(person)
    if len(names) < 2:
        raise InputError(
            f"the {split} split of {data.manifest.root} has {len(names)} person(s), and swaps need two; prepare more "
            "persons or change data.fractions"
        )
    chosen = generator.permutation(names)[:persons]
    shuffled = generator.permutation(len(rows))
    # The first images_per_person of each chosen person in the shuffled order.
    order = shuffled[np.argsort(person[shuffled], kind="stable")]
    sorted_person = person[order]
    start = np.searchsorted(sorted_person, sorted_person, side="left")
    keep = (np.arange(len(order)) - start < images_per_person) & np.isin(sorted_person, chosen)
    gallery = np.sort(rows[order[keep]])
    target, source = evaluation_pairs(data.manifest.person[gallery], pairs, seed)
    return ProtocolPairs(gallery, gallery[target], gallery[source])


class Ruler:
    """The fixed side of a measurement: pairs, the judge's word and the pose of every gallery image.

    batch_size: pictures at a time. The gallery is read and embedded once, at construction. trained: the recogniser that
    the swapper was trained with, for the identity loss beside the judge's word; None leaves that figure out.
    """

    def __init__(
        self,
        data: SwapDataModule,
        pairs: ProtocolPairs,
        judge: Embedder,
        pose: PoseEstimator,
        batch_size: int,
        device: torch.device,
        progress: Callable[[Iterator], Iterator] | None = None,
        trained: Embedder | None = None,
    ) -> None:
        self.data, self.pairs, self.judge, self.pose = data, pairs, judge.to(device), pose.to(device)
        self.trained = None if trained is None else trained.to(device)
        self.batch_size, self.device = batch_size, device
        self._progress = progress or (lambda steps: steps)
        self.template = data.manifest.template
        self._person = torch.from_numpy(data.manifest.person.astype(np.int64))
        embeddings, poses, identities = [], [], []
        for rows in self._progress(self._chunks(pairs.gallery)):
            faces = self.faces(rows)
            embeddings.append(_embed(self.judge, faces))
            poses.append(self._pose(faces))
            if self.trained is not None:
                identities.append(_embed(self.trained, faces))
        self.embeddings, self.poses = torch.cat(embeddings), torch.cat(poses)  # [N, E], [N, 3]
        self.identities = torch.cat(identities) if identities else None  # [N, E'] by the trained recogniser

    def faces(self, rows: np.ndarray, landmarks: bool = False) -> Faces:
        """The crops of these manifest rows, on the device."""
        return load_faces(self.data, rows, self.device, landmarks)

    def _chunks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        return iter(np.array_split(rows, max(1, -(-len(rows) // self.batch_size))))

    @torch.no_grad()
    def _pose(self, faces: Faces) -> Tensor:
        return self.pose(faces.images.clamp(0, 1), self.template, faces.view).float()

    def measure(self, swapper: Swapper) -> "Measured":
        """Swap every pair, and every target with itself."""
        measured = Measured(self)
        for chunk in self._progress(self._chunks(np.arange(len(self.pairs.target)))):
            self.measure_chunk(swapper, chunk, measured)
        return measured

    @torch.no_grad()
    def measure_chunk(self, swapper: Swapper, chunk: np.ndarray, measured: "Measured") -> None:
        """Swap some of the pairs (by their place in the protocol) and add what is measured."""
        target_rows, source_rows = self.pairs.target[chunk], self.pairs.source[chunk]
        target, source = (self.faces(rows, swapper.landmarks) for rows in (target_rows, source_rows))
        result = swapper.swap(target, source)
        identity = None if self.trained is None else _embed(self.trained, result)
        measured.add(_embed(self.judge, result), self._pose(result), target_rows, source_rows, identity)
        measured.self_reconstruction.update(swapper.swap(target, target).images, target.images)

    def gallery_positions(self, rows: np.ndarray) -> np.ndarray:
        """Where manifest rows stand in the gallery."""
        return np.searchsorted(self.pairs.gallery, rows)

    def persons(self, rows: np.ndarray) -> Tensor:
        """The persons of manifest rows, int64."""
        return self._person[torch.from_numpy(rows)].to(self.device)


@torch.no_grad()
def _embed(embedder: Embedder, faces: Faces) -> Tensor:
    return embedder(faces.images.clamp(0, 1), faces.view).float()


class Measured:
    """What was measured of one swapper; every figure's samples are in the order of the pairs."""

    def __init__(self, ruler: Ruler) -> None:
        self._ruler = ruler
        gallery = torch.from_numpy(ruler.pairs.gallery).to(ruler.device)
        self.retrieval = IdentityRetrieval().to(ruler.device)
        self.retrieval.set_gallery(ruler.embeddings, ruler.persons(ruler.pairs.gallery), gallery)
        self.to_source = IdentitySimilarity().to(ruler.device)
        self.to_target = IdentitySimilarity().to(ruler.device)
        self.to_identity = IdentitySimilarity().to(ruler.device)
        self.pose_error = PoseError().to(ruler.device)
        self.self_reconstruction = SelfReconstruction().to(ruler.device)
        self.source_person: list[Tensor] = []

    def add(
        self, embedding: Tensor, pose: Tensor, target_rows: np.ndarray, source_rows: np.ndarray,
        identity: Tensor | None = None,
    ) -> None:
        """One batch of results: embeddings [B, E] and poses [B, 3] in degrees, with their pairs' manifest rows.

        identity: [B, E'] by the recogniser trained with, where the ruler has one.
        """
        ruler = self._ruler
        targets, sources = ruler.gallery_positions(target_rows), ruler.gallery_positions(source_rows)
        person = ruler.persons(source_rows)
        self.source_person.append(person)
        self.retrieval.update(embedding, person, torch.from_numpy(source_rows).to(ruler.device))
        self.to_source.update(embedding, ruler.embeddings[sources])
        self.to_target.update(embedding, ruler.embeddings[targets])
        self.pose_error.update(pose, ruler.poses[targets])
        if identity is not None and ruler.identities is not None:
            self.to_identity.update(identity, ruler.identities[sources])

    def samples(self) -> dict[str, Tensor]:
        """Every figure's value per pair, float [n], NaN where it is not defined."""
        loss = {} if self._ruler.trained is None else {"identity_loss": 1 - self.to_identity.values("cosine")}
        return {
            "id_retrieval": self.retrieval.hits("top1"),
            "id_retrieval_top5": self.retrieval.hits("top5"),
            "id_retrieval_without_source": self.retrieval.hits("top1_without_source"),
            "id_similarity": self.to_source.values("cosine"),
            **loss,
            "target_similarity": self.to_target.values("cosine"),
            "pose_error_deg": self.pose_error.values("pose"),
            "yaw_error_deg": self.pose_error.values("yaw"),
            "pitch_error_deg": self.pose_error.values("pitch"),
            "roll_error_deg": self.pose_error.values("roll"),
            "self_reconstruction_l1": self.self_reconstruction.values("l1"),
        }

    def figures(self, seed: int, chosen: np.ndarray | None = None) -> dict[str, Figure]:
        """Means with intervals, over all pairs or the ``chosen`` ones (bool [n])."""
        person = torch.cat(self.source_person).cpu().numpy()
        chosen = np.ones(len(person), dtype=bool) if chosen is None else chosen
        return {
            name: Figure(*bootstrap_interval(values.cpu().numpy()[chosen], person[chosen], seed))
            for name, values in self.samples().items()
        }

    def means(self, distributed: bool = True) -> dict[str, float]:
        """The figures of a validation, over all ranks together, or of this process alone."""
        for metric in (self.retrieval, self.to_source, self.to_target, self.pose_error, self.self_reconstruction):
            metric._to_sync = distributed
        return {
            "id_retrieval": float(self.retrieval.compute()["top1"]),
            "id_similarity": float(self.to_source.compute()),
            "target_similarity": float(self.to_target.compute()),
            "pose_error_deg": float(self.pose_error.compute()["pose_error_deg"]),
            "self_reconstruction": float(self.self_reconstruction.compute()),
        }

    @property
    def missed_poses(self) -> int:
        """Pairs in which no face was found on the result or on the target: no pose error can be told there."""
        return int(self.pose_error.values("pose").isnan().sum())

    @property
    def chance(self) -> float:
        """Top-1 retrieval of a gallery image drawn blindly."""
        return float(self.retrieval.values("chance").double().nanmean())
