"""Identity retrieval: is the swap's nearest real face one of its source person?"""

import torch
from torch import Tensor
from torch.nn import functional

from simswap.metrics.per_sample import PerSampleMetric

CHUNK = 5_000_000
"""Similarities held at a time, 20 MB of float32: some queries against the whole gallery."""
PAIRS_AT_ONCE = 4_096
"""Pairs of embeddings whose cosine is worked out in float64 at a time."""


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
    _sorted_person: Tensor
    _by_person: Tensor

    def __init__(self) -> None:
        super().__init__(("rank", "rank_without_source", "chance"))
        self.register_buffer("gallery", torch.empty(0, 0), persistent=False)
        self.register_buffer("gallery_person", torch.empty(0, dtype=torch.int64), persistent=False)
        for name in ("gallery_index", "_sorted_person", "_by_person"):
            self.register_buffer(name, torch.empty(0, dtype=torch.int64), persistent=False)

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
        self._sorted_person, self._by_person = torch.sort(self.gallery_person, stable=True)

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
        queries = functional.normalize(embeddings.detach().double(), dim=1)
        for rows in torch.arange(len(queries), device=queries.device).split(max(1, CHUNK // len(self.gallery))):
            self._compare(queries[rows], source_person[rows], source_index[rows])

    def _compare(self, queries: Tensor, person: Tensor, index: Tensor) -> None:
        """Rank a few queries, float64 [B, E] of length one: every comparison that could go either way in float32 is
        made in float64, so that the ranks are those of float64 at the price of one float32 product."""
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
        # A person whose only gallery image is the source itself cannot be retrieved without it: not defined.
        rank_without_source[nearest_without_source == -torch.inf] = torch.nan
        self.append(rank=rank, rank_without_source=rank_without_source, chance=count / len(self.gallery))

    def _product(self, queries: Tensor) -> tuple[Tensor, float]:
        """Cosines [B, N] to the whole gallery, and how far any of them can be off.

        In float32 on a CPU; a sum of E products of numbers of length one is off by at most (E + 2) 2^-24 (Higham 2002,
        section 3.1), doubled here for the rounding of the queries. Where a setting or a device multiplies in fewer
        bits, float64 is taken.
        """
        with torch.autocast(queries.device.type, enabled=False):
            if queries.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest":
                return queries.float() @ self.gallery.T, 2 * (queries.shape[1] + 2) * 2.0**-24
            return queries @ self.gallery.double().T, 2 * (queries.shape[1] + 2) * 2.0**-53

    def _others_as_near(self, queries: Tensor, product: Tensor, error: float, cosine_to_own: Tensor) -> Tensor:
        """Float64 [B]: how many images of other persons are at least as near as ``cosine_to_own`` [B]."""
        low, high = ((cosine_to_own + sign * error).to(product.dtype) for sign in (-1, 1))
        count = queries.new_zeros(len(queries))
        (open_,) = torch.nonzero(product.amax(1) >= low, as_tuple=True)  # the others have nobody nearer
        candidates = product[open_] >= low[open_, None]
        place, row = torch.nonzero(candidates, as_tuple=True)
        query = open_[place]
        certain = product[query, row] > high[query]
        count.index_add_(0, query[certain], count.new_ones(int(certain.sum())))
        query, row = query[~certain], row[~certain]
        as_near = self._cosines(queries, query, row) >= cosine_to_own[query]
        return count.index_add_(0, query, as_near.double())

    def _cosines(self, queries: Tensor, query: Tensor, row: Tensor) -> Tensor:
        """Float64 [P]: the cosines of pairs of a query and a gallery row, each summed in the same order."""
        parts = zip(query.split(PAIRS_AT_ONCE), row.split(PAIRS_AT_ONCE), strict=True)
        return torch.cat([(queries[q] * self.gallery[r].double()).sum(1) for q, r in parts])

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
        raise ValueError(
            f"{len(embeddings)} embeddings, but persons {list(persons.shape)} and indices {list(indices.shape)}"
        )
    # A NaN loses every comparison and would count as nobody being nearer: a hit.
    if not torch.isfinite(embeddings).all():
        raise ValueError("an embedding is not finite")
