"""Identity retrieval: does the real face nearest to a result show the source's person?"""

import torch
from torch import Tensor
from torch.nn import functional

from simswap.metrics.per_sample import PerSampleMetric

CHUNK = 5_000_000
"""Similarities held at a time, 20 MB of float32: some queries against the entire gallery."""
PAIRS_AT_ONCE = 4_096
"""Pairs of embeddings whose cosine is computed in float64 at a time."""


class IdentityRetrieval(PerSampleMetric):
    """The share of results whose nearest gallery image by cosine shows the source's person.

    This is the retrieval of SimSwap's Table 1 (Chen et al. 2020). The gallery is set once with :meth:`set_gallery`,
    the same on all ranks; it is not a state and survives ``reset()``. A sample's *rank* is the number of other persons'
    gallery images that are at least as near as the nearest image of the source's person: rank 0 is a top-1 hit, a rank
    below 5 a top-5 hit. Ties count against the swap, so that a network that gives every face the same embedding scores
    0 % and not 100 %.
    """

    higher_is_better = True
    gallery: Tensor
    gallery_person: Tensor
    gallery_index: Tensor
    _sorted_person: Tensor
    _by_person: Tensor

    def __init__(self) -> None:
        super().__init__(("rank", "rank_without_source", "chance"))
        self.register_buffer("gallery", torch.empty(0, 0), persistent=False)
        self.register_buffer("gallery_person", torch.empty(0, dtype=torch.int64), persistent=False)
        for name in ("gallery_index", "_sorted_person", "_by_person"):
            self.register_buffer(name, torch.empty(0, dtype=torch.int64), persistent=False)

    def set_gallery(self, embeddings: Tensor, persons: Tensor, indices: Tensor) -> None:
        """Set the gallery.

        Args:
            embeddings: Float [N, E], normalized or not.
            persons: int64 [N].
            indices: int64 [N], the manifest rows of the images.

        Raises:
            ValueError: For other shapes, an empty gallery or an embedding that is not finite.
        """
        if embeddings.ndim != 2 or not len(embeddings):
            raise ValueError(f"gallery embeddings must be [N, E] with N > 0, got {list(embeddings.shape)}")
        _check_rows(embeddings, persons, indices)
        self.gallery = functional.normalize(embeddings.detach().float(), dim=1).to(self.device)
        self.gallery_person = persons.to(self.device)
        self.gallery_index = indices.to(self.device)
        self._sorted_person, self._by_person = torch.sort(self.gallery_person, stable=True)

    def update(self, embeddings: Tensor, source_person: Tensor, source_index: Tensor) -> None:
        """Add B swaps.

        Args:
            embeddings: The results' embeddings, float [B, E].
            source_person: The sources' persons, int64 [B].
            source_index: The sources' manifest rows, int64 [B], which ``top1_without_source`` leaves out of the
                gallery.

        Raises:
            ValueError: Before set_gallery, for other shapes, for an embedding that is not finite, or for a person
                without a gallery image.
        """
        if not len(self.gallery):
            raise ValueError("set_gallery() comes before update()")
        if embeddings.ndim != 2 or embeddings.shape[1] != self.gallery.shape[1]:
            raise ValueError(f"embeddings must be [B, {self.gallery.shape[1]}], got {list(embeddings.shape)}")
        _check_rows(embeddings, source_person, source_index)
        queries = functional.normalize(embeddings.detach().double(), dim=1)
        for rows in torch.arange(len(queries), device=queries.device).split(max(1, CHUNK // len(self.gallery))):
            self._compare(queries[rows], source_person[rows], source_index[rows])

    def _compare(self, queries: Tensor, person: Tensor, index: Tensor) -> None:
        """Rank a few queries, float64 [B, E] of unit length.

        Comparisons that float32 cannot decide are repeated in float64, so the ranks are those of float64 at the cost
        of one float32 product.
        """
        start = torch.searchsorted(self._sorted_person, person)
        count = torch.searchsorted(self._sorted_person, person, right=True) - start
        if (count == 0).any():
            raise ValueError(f"the gallery has no image of person {int(person[count == 0][0])}")
        # The own images of each query, as (query, gallery row) pairs.
        query = torch.repeat_interleave(torch.arange(len(queries), device=queries.device), count)
        first = torch.cumsum(count, 0) - count
        own = self._by_person[torch.arange(len(query), device=query.device) - (first - start)[query]]
        cosine = self._cosines(queries, query, own)
        lowest = queries.new_full((len(queries),), -torch.inf)
        nearest = lowest.scatter_reduce(0, query, cosine, "amax")
        kept = self.gallery_index[own] != index[query]
        nearest_without_source = lowest.scatter_reduce(0, query[kept], cosine[kept], "amax")

        product, error = self._product(queries)  # [B, N]
        product[query, own] = -torch.inf  # only other persons compete
        rank = self._others_as_near(queries, product, error, nearest)
        rank_without_source = self._others_as_near(queries, product, error, nearest_without_source)
        # A person whose only gallery image is the source cannot be retrieved without it: undefined.
        rank_without_source[nearest_without_source == -torch.inf] = torch.nan
        self.append(rank=rank, rank_without_source=rank_without_source, chance=count / len(self.gallery))

    def _product(self, queries: Tensor) -> tuple[Tensor, float]:
        """Cosines [B, N] to the entire gallery, and a bound on their error.

        On a CPU they are float32: the inner product of two unit vectors of E numbers is off by at most (E + 2) 2^-24
        (Higham 2002, section 3.1), doubled here for the rounding of the queries. If a setting or a device multiplies
        with fewer bits, they are float64.
        """
        with torch.autocast(queries.device.type, enabled=False):
            if queries.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest":
                return queries.float() @ self.gallery.T, 2 * (queries.shape[1] + 2) * 2.0**-24
            return queries @ self.gallery.double().T, 2 * (queries.shape[1] + 2) * 2.0**-53

    def _others_as_near(self, queries: Tensor, product: Tensor, error: float, cosine_to_own: Tensor) -> Tensor:
        """The number of other persons' images at least as near as ``cosine_to_own`` [B], float64 [B]."""
        low, high = ((cosine_to_own + sign * error).to(product.dtype) for sign in (-1, 1))
        count = queries.new_zeros(len(queries))
        (open_,) = torch.nonzero(product.amax(1) >= low, as_tuple=True)  # all other queries have nobody nearer
        candidates = product[open_] >= low[open_, None]
        place, row = torch.nonzero(candidates, as_tuple=True)
        query = open_[place]
        certain = product[query, row] > high[query]
        count.index_add_(0, query[certain], count.new_ones(int(certain.sum())))
        query, row = query[~certain], row[~certain]
        as_near = self._cosines(queries, query, row) >= cosine_to_own[query]
        return count.index_add_(0, query, as_near.double())

    def _cosines(self, queries: Tensor, query: Tensor, row: Tensor) -> Tensor:
        """The cosines of P pairs of a query and a gallery row, float64 [P], all summed in the same order."""
        parts = zip(query.split(PAIRS_AT_ONCE), row.split(PAIRS_AT_ONCE), strict=True)
        return torch.cat([(queries[q] * self.gallery[r].double()).sum(1) for q, r in parts])

    def hits(self, figure: str = "top1") -> Tensor:
        """Whether each sample was retrieved, float32 [n]: 1, 0, or NaN where undefined; in the order of ``values``.

        Args:
            figure: ``top1``, ``top5`` or ``top1_without_source``.

        Raises:
            ValueError: For another figure.
        """
        rules = {"top1": ("rank", 1), "top5": ("rank", 5), "top1_without_source": ("rank_without_source", 1)}
        if figure not in rules:
            raise ValueError(f"no figure {figure!r}: there are {', '.join(rules)}")
        column, places = rules[figure]
        rank = self.values(column)
        return torch.where(rank.isnan(), rank, (rank < places).float())

    def compute(self) -> dict[str, Tensor]:
        """The shares, float64 [] in 0..1.

        Returns:
            ``top1``, ``top5``, ``top1_without_source``, and ``chance``: the top-1 share of a gallery image drawn at
            random, which is the mean share of gallery images that show the source's person.
        """
        figures = ("top1", "top5", "top1_without_source")
        return {**{figure: self.hits(figure).double().nanmean() for figure in figures}, "chance": self.mean("chance")}


def _check_rows(embeddings: Tensor, persons: Tensor, indices: Tensor) -> None:
    """Raise ValueError unless persons and indices have one row per embedding and every embedding is finite."""
    if persons.shape != embeddings.shape[:1] or indices.shape != embeddings.shape[:1]:
        raise ValueError(
            f"{len(embeddings)} embeddings, but persons {list(persons.shape)} and indices {list(indices.shape)}"
        )
    # A NaN loses every comparison, so nobody would be nearer: it would count as a hit.
    if not torch.isfinite(embeddings).all():
        raise ValueError("an embedding is not finite")
