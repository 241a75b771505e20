"""Identity retrieval against galleries small enough to be worked out on paper."""

import pytest
import torch

from simswap.metrics import retrieval
from simswap.metrics.retrieval import IdentityRetrieval


def directions(*degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], dim=1).float()


def rows(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def paper_metric() -> IdentityRetrieval:
    """Three persons on a circle: person 0 at 0° and 30°, person 1 at 90° and 100°, person 2 at 200°."""
    metric = IdentityRetrieval()
    metric.set_gallery(directions(0, 30, 90, 100, 200), rows(0, 0, 1, 1, 2), rows(10, 11, 12, 13, 14))
    return metric


def test_worked_out_figures():
    metric = paper_metric()
    # 5°, person 0, source row 10: nearest 0° (own): hit; without row 10 the nearest own is 30°, still before 90°: hit.
    # 62°, person 0, source row 11: nearest is 90° (28°) before 30° (32°): miss, but second: top-5 hit.
    # 95°, person 1: hit with and without its source.
    # 200°, person 2, source row 14, its only image: hit; not defined without it.
    metric.update(directions(5, 62), rows(0, 0), rows(10, 11))
    metric.update(directions(95, 200), rows(1, 2), rows(12, 14))
    assert metric.hits().tolist() == [1, 0, 1, 1]
    assert metric.values("rank").tolist() == [0, 1, 0, 0]
    without = metric.hits("top1_without_source")
    assert without[:3].tolist() == [1, 0, 1]
    assert without[3].isnan()
    figures = metric.compute()
    assert figures["top1"] == pytest.approx(3 / 4)
    assert figures["top5"] == pytest.approx(1.0)
    assert figures["top1_without_source"] == pytest.approx(2 / 3)
    assert figures["chance"] == pytest.approx((2 / 5 + 2 / 5 + 2 / 5 + 1 / 5) / 4)


def test_without_source_takes_only_the_very_source_image_out():
    metric = paper_metric()
    metric.update(directions(55, 55), rows(0, 0), rows(10, 11))  # 30° is nearest (25°); next are 90° (35°), 0° (55°)
    assert metric.hits().tolist() == [1, 1]
    assert metric.hits("top1_without_source").tolist() == [1, 0]


def test_top_five_counts_images():
    metric = IdentityRetrieval()
    metric.set_gallery(directions(0, 1, 2, 3, 4, 5), rows(0, 1, 1, 1, 1, 2), rows(0, 1, 2, 3, 4, 5))
    metric.update(directions(-1, 6), rows(2, 0), rows(5, 0))
    assert metric.values("rank").tolist() == [5, 5]
    assert metric.hits("top5").tolist() == [0, 0]
    metric.reset()
    metric.update(directions(7), rows(1), rows(4))
    assert metric.values("rank").tolist() == [1]  # only 5° is before 4°
    assert metric.hits("top5").tolist() == [1]


def test_length_of_embeddings_does_not_matter():
    metric = IdentityRetrieval()
    metric.set_gallery(directions(0, 90) * torch.tensor([[0.1], [100.0]]), rows(0, 1), rows(0, 1))
    metric.update(7 * directions(40), rows(0), rows(0))
    assert metric.compute()["top1"] == 1


def test_one_embedding_for_all_faces_scores_nothing():
    metric = IdentityRetrieval()
    metric.set_gallery(torch.ones(6, 4), rows(0, 0, 1, 1, 2, 2), rows(0, 1, 2, 3, 4, 5))
    metric.update(torch.ones(3, 4), rows(0, 1, 2), rows(0, 2, 4))
    assert metric.compute()["top1"] == 0


def test_chunks_do_not_change_the_figures(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    gallery, persons = torch.randn(101, 8, generator=generator), torch.arange(101) // 4
    person = torch.randint(0, 26, (37,), generator=generator)
    queries = gallery[person * 4 % 101] + 0.8 * torch.randn(37, 8, generator=generator)

    def figures() -> dict[str, torch.Tensor]:
        metric = IdentityRetrieval()
        metric.set_gallery(gallery, persons, torch.arange(101))
        metric.update(queries, person, person * 4)
        return {name: metric.values(name) for name in ("rank", "rank_without_source", "chance")}

    whole = figures()
    assert 0 < (whole["rank"] == 0).sum() < 37
    monkeypatch.setattr(retrieval, "CHUNK", 303)  # three queries at a time
    monkeypatch.setattr(retrieval, "PAIRS_AT_ONCE", 2)
    chunked = figures()
    for name in whole:
        torch.testing.assert_close(whole[name], chunked[name], equal_nan=True)


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_ranks_are_those_of_float64_by_brute_force(precision):
    """Also among near-duplicates, which float32 cannot tell apart."""
    generator = torch.Generator().manual_seed(2)
    base = torch.randn(40, 16, generator=generator)
    gallery = (base[:, None] + 1e-7 * torch.randn(40, 5, 16, generator=generator)).reshape(-1, 16)
    gallery[::7] = gallery[3]  # ties, of other persons too
    persons, indices = torch.arange(200) % 23, torch.arange(200)
    source = torch.randint(0, 200, (60,), generator=generator)
    queries = gallery[source] + 1e-3 * torch.randn(60, 16, generator=generator)
    metric = IdentityRetrieval()
    metric.set_gallery(gallery, persons, indices)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        metric.update(queries, persons[source], source)
    finally:
        torch.set_float32_matmul_precision(before)
    unit = torch.nn.functional.normalize(gallery.float(), dim=1).double()
    for k in range(60):
        cosine = (torch.nn.functional.normalize(queries[k].double(), dim=0) * unit).sum(1)
        own = persons == persons[source[k]]
        kept = own & (indices != source[k])
        assert metric.values("rank")[k] == (cosine[~own] >= cosine[own].max()).sum()
        assert metric.values("rank_without_source")[k] == (cosine[~own] >= cosine[kept].max()).sum()


def test_before_the_first_sample_the_figures_are_nan():
    metric = paper_metric()
    with pytest.warns(UserWarning, match="compute"):
        assert metric.compute()["top1"].isnan()


@pytest.mark.parametrize(
    ("embeddings", "person", "index", "message"),
    [
        (torch.zeros(2, 3), rows(0, 0), rows(0, 0), r"must be \[B, 2\]"),
        (directions(0), rows(0, 0), rows(0), "1 embeddings"),
        (torch.tensor([[float("nan"), 0.0]]), rows(0), rows(10), "not finite"),
        (directions(0), rows(7), rows(10), "no image of person 7"),
    ],
)
def test_bad_samples_raise(embeddings, person, index, message):
    with pytest.raises(ValueError, match=message):
        paper_metric().update(embeddings, person, index)


def test_gallery_comes_first_and_unknown_figures_raise():
    with pytest.raises(ValueError, match="set_gallery"):
        IdentityRetrieval().update(directions(0), rows(0), rows(0))
    with pytest.raises(ValueError, match="top1, top5"):
        paper_metric().hits("top2")
    with pytest.raises(ValueError, match="N > 0"):
        IdentityRetrieval().set_gallery(torch.empty(0, 4), rows(), rows())


@pytest.mark.slow
def test_ten_thousand_in_ten_thousand_fit_two_cores():
    """2 s and 1 GB on two idle cores, held as CPU time with room for a busy machine."""
    import subprocess
    import sys

    code = "import torch; torch.set_num_threads(1); from benchmarks import retrieval as r; print(*r.measure().values())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    _, busy, mib, top1 = map(float, done.stdout.split())
    assert top1 > 0.9
    assert mib < 1024
    assert busy < 8
