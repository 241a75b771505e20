"""Identity retrieval: is the swap's nearest real face one of its source person?"""

import torch
from torch import Tensor
from torch.nn import functional

from simswap.metrics.per_sample import PerSampleMetric

GALLERY_CHUNK = 8192
"""Gallery rows compared at a time: [B, 8192] float64 of similarities, whatever the size of the gallery."""


class IdentityRetrieval(PerSampleMetric):
    """Share of swaps whose nearest gallery face by cosine belongs to the source's person.

    The retrieval of SimSwap's Table 1 (Chen et al. 2020). The gallery is given once with :meth:`set_gallery`, the
    same on all ranks; it is no state and stays over ``reset()``. A sample's *rank* is the number of other persons'
    gallery images at least as near as the nearest one of the source's person: rank 0 is a top-1 hit, a rank under 5
    a top-5 hit. Equal similarities count against the swap, so that a network that gives every face one embedding
    gets 0 and not 100 %.
    """

    higher_is_better = True
    gallery: Tensor
    gallery_person: Tensor
    gallery_index: Tensor

    def __init__(self) -> None:
        super().__init__(("rank", "rank_without_source", "chance"))
        self.register_buffer("gallery", torch.empty(0, 0), persistent=False)
        self.register_buffer("gallery_person", torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_buffer("gallery_index", torch.empty(0, dtype=torch.int64), persistent=False)

    def set_gallery(self, embeddings: Tensor, persons: Tensor, indices: Tensor) -> None:
        """Set the gallery: embeddings float [N, E], their persons int64 [N] and manifest rows int64 [N].

        Raises ValueError for other shapes, an empty gallery or an embedding that is not finite.
        """
        if embeddings.ndim != 2 or not len(embeddings):
            raise ValueError(f"gallery embeddings must be [N, E] with N > 0, got {list(embeddings.shape)}")
        _check_rows(embeddings, persons, indices)
        self.gallery = functional.normalize(embeddings.detach().float(), dim=1).to(self.device)
        self.gallery_person = persons.to(self.device)
        self.gallery_index = indices.to(self.device)

    def update(self, embeddings: Tensor, source_person: Tensor, source_index: Tensor) -> None:
        """Add B swaps: the results' embeddings float [B, E], the sources' persons int64 [B] and manifest rows int64
        [B] (left out of the gallery in the figure without the source image).

        Raises ValueError before set_gallery, for other shapes, an embedding that is not finite, or a person of whom
        the gallery has no image.
        """
        if not len(self.gallery):
            raise ValueError("set_gallery() comes before update()")
        if embeddings.ndim != 2 or embeddings.shape[1] != self.gallery.shape[1]:
            raise ValueError(f"embeddings must be [B, {self.gallery.shape[1]}], got {list(embeddings.shape)}")
        _check_rows(embeddings, source_person, source_index)
        # float64: under autocast or TF32 neighbours that differ in the third decimal would change places.
        queries = functional.normalize(embeddings.detach().double(), dim=1)
        own, own_without_source, own_count = self._nearest_own(queries, source_person, source_index)
        if (own_count == 0).any():
            raise ValueError(f"the gallery has no image of person {int(source_person[own_count == 0][0])}")
        rank = self._others_as_near(queries, source_person, own)
        rank_without_source = self._others_as_near(queries, source_person, own_without_source)
        # A person whose only gallery image is the source itself cannot be retrieved without it: not defined.
        rank_without_source[own_without_source == -torch.inf] = torch.nan
        self.append(rank=rank, rank_without_source=rank_without_source, chance=own_count / len(self.gallery))

    def _nearest_own(self, queries: Tensor, person: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Largest cosine to an image of the query's person, with and without the source image, and their number."""
        nearest = queries.new_full((len(queries),), -torch.inf)
        nearest_without_source = nearest.clone()
        count = queries.new_zeros(len(queries))
        for rows in torch.arange(len(self.gallery), device=self.device).split(GALLERY_CHUNK):
            cosine = queries @ self.gallery[rows].double().T  # [B, chunk]
            own = self.gallery_person[rows][None] == person[:, None]
            is_source = self.gallery_index[rows][None] == index[:, None]
            nearest = torch.maximum(nearest, cosine.masked_fill(~own, -torch.inf).amax(1))
            nearest_without_source = torch.maximum(
                nearest_without_source, cosine.masked_fill(~own | is_source, -torch.inf).amax(1))
            count += own.sum(1)
        return nearest, nearest_without_source, count

    def _others_as_near(self, queries: Tensor, person: Tensor, cosine_to_own: Tensor) -> Tensor:
        """Float64 [B]: how many images of other persons are at least as near as ``cosine_to_own`` [B]."""
        count = queries.new_zeros(len(queries))
        for rows in torch.arange(len(self.gallery), device=self.device).split(GALLERY_CHUNK):
            cosine = queries @ self.gallery[rows].double().T  # [B, chunk]
            other = self.gallery_person[rows][None] != person[:, None]
            count += (other & (cosine >= cosine_to_own[:, None])).sum(1)
        return count

    def hits(self, figure: str = "top1") -> Tensor:
        """Float32 [n]: 1 where retrieved, 0 where not, NaN where not defined (see ``values`` for the order).

        ``figure``: ``top1``, ``top5`` or ``top1_without_source``. Raises ValueError for another.
        """
        rules = {"top1": ("rank", 1), "top5": ("rank", 5), "top1_without_source": ("rank_without_source", 1)}
        if figure not in rules:
            raise ValueError(f"no figure {figure!r}: there are {', '.join(rules)}")
        column, places = rules[figure]
        rank = self.values(column)
        return torch.where(rank.isnan(), rank, (rank < places).float())

    def compute(self) -> dict[str, Tensor]:
        """``top1``, ``top5``, ``top1_without_source``: shares 0..1, float64 []; ``chance``: the top-1 share of a
        gallery image drawn blindly, which is the mean share of the gallery that the source's person has."""
        figures = ("top1", "top5", "top1_without_source")
        return {**{figure: self.hits(figure).double().nanmean() for figure in figures}, "chance": self.mean("chance")}


def _check_rows(embeddings: Tensor, persons: Tensor, indices: Tensor) -> None:
    """Raise ValueError unless persons and indices have one row an embedding and every embedding is a direction."""
    if persons.shape != embeddings.shape[:1] or indices.shape != embeddings.shape[:1]:
        raise ValueError(f"{len(embeddings)} embeddings, but persons {list(persons.shape)} and indices "
                         f"{list(indices.shape)}")
    # A NaN loses every comparison and would count as nobody being nearer: a hit.
    if not torch.isfinite(embeddings).all():
        raise ValueError("an embedding is not finite")
