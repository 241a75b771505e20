"""Batches: the same on any number of ranks and workers, from any iteration on, with bad crops among them."""

import pickle
from itertools import islice

import cv2
import lightning
import numpy as np
import pytest
import torch
from tests.data.prepared_noise import SIZE, write_prepared

from simswap.data.datamodule import SwapDataModule
from simswap.data.pairs import MIXING_PURPOSE, random_words, split_persons, unit
from simswap.errors import InputError

ALL_TRAIN = {"train": 1.0}
AUGMENTATION = {"flip": 0.5, "color": 0.2}
ROBUST = AUGMENTATION | {
    "transforms": [
        {"_target_": "albumentations.ImageCompression", "quality_range": [20, 90], "p": 0.5},
        {"_target_": "albumentations.GaussNoise", "std_range": [0.02, 0.1], "p": 0.5},
        {"_target_": "albumentations.HueSaturationValue", "p": 0.5},
    ]
}
KEYS = {"target", "source", "same_identity", "target_index", "source_index", "target_view", "source_view", "mix"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("prepared"))


def module(root, **settings):
    return SwapDataModule(root, **({"batch_size": 8, "workers": 0, "fractions": ALL_TRAIN} | settings))


def batches(data, count, start=None):
    data.start_iteration = start
    return list(islice(iter(data.train_dataloader()), count))


def assert_equal(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys() == KEYS
        for key in KEYS:
            assert torch.equal(one[key], other[key]), key


def test_a_batch_holds_what_its_rows_hold(root):
    data = module(root)
    for iteration, batch in enumerate(batches(data, 4)):
        assert batch.keys() == KEYS
        for face in ("target", "source"):
            assert batch[face].dtype == torch.uint8
            assert batch[face].shape == (8, 3, SIZE, SIZE)
            assert batch[face].is_contiguous()
            index = batch[f"{face}_index"]
            assert index.dtype == torch.int64
            # The red channel is the manifest row, the view is the row modulo 5 (write_prepared).
            assert torch.equal(batch[face][:, 0].long(), index[:, None, None].expand(8, SIZE, SIZE))
            assert torch.equal(batch[f"{face}_view"], index % 5)
        person = torch.from_numpy(data.manifest.person)
        same = person[batch["target_index"]] == person[batch["source_index"]]
        assert torch.equal(batch["same_identity"], same)
        assert bool(same.all()) == bool(same.any()) == (iteration % 2 == 0)


@pytest.mark.parametrize("augmentation", [AUGMENTATION, ROBUST])
def test_two_workers_give_what_none_gives(root, augmentation):
    settings = {"augmentation": augmentation, "pairing": "mixed", "cache_mb": 1}
    ahead = batches(module(root, workers=2, prefetch=4, **settings), 7)
    assert_equal(ahead, batches(module(root, workers=2, **settings), 7))
    assert_equal(batches(module(root, workers=2, **settings), 7), batches(module(root, workers=0, **settings), 7))


@pytest.mark.parametrize("augmentation", [AUGMENTATION, ROBUST])
def test_two_ranks_give_what_one_gives(root, augmentation):
    data = module(root, augmentation=augmentation, pairing="mixed")
    whole = data.train_batches()[5]
    halves = [data.train_batches(rank, 2)[5] for rank in (0, 1)]
    for key in KEYS:
        assert torch.equal(whole[key], torch.cat([half[key] for half in halves])), key
    with pytest.raises(InputError, match=r"batch_size.* 8 .*3 ranks"):
        data.train_batches(0, 3)


@pytest.mark.parametrize("augmentation", [AUGMENTATION, ROBUST])
def test_a_resumed_run_goes_on(root, augmentation):
    whole = batches(module(root, augmentation=augmentation), 9)
    assert_equal(batches(module(root, augmentation=augmentation), 5, start=4), whole[4:])
    changed = batches(module(root, augmentation={**augmentation, "transforms": []}), 9)
    assert any(not torch.equal(one["target"], other["target"]) for one, other in zip(whole, changed, strict=True)) is (
        "transforms" in augmentation
    )


def test_seeds_differ(root):
    assert not torch.equal(batches(module(root, seed=1), 1)[0]["target"], batches(module(root, seed=2), 1)[0]["target"])


def test_augmentation_mirrors_and_relights(root):
    plain, mirrored = (module(root, augmentation={"flip": flip}).train_batches()[3] for flip in (0.0, 1.0))
    assert torch.equal(mirrored["target"], plain["target"].flip(-1))
    assert torch.equal(mirrored["source_view"], 4 - plain["source_view"])
    relit = module(root, augmentation={"color": 0.3}).train_batches()[3]
    assert torch.equal(relit["target_index"], plain["target_index"])
    assert not torch.equal(relit["target"], plain["target"])


def test_the_cache_changes_nothing_and_stops_at_its_budget(tmp_path):
    root = write_prepared(tmp_path, persons=6, images=10, size=112)
    cached = module(root, cache_mb=1)
    loader = cached.train_batches()
    assert loader.cache.capacity == 2**20 // (112 * 112 * 3) == 27
    plain = module(root).train_batches()
    for iteration in [*range(20), 0, 1]:
        one, other = loader[iteration], plain[iteration]
        assert all(torch.equal(one[key], other[key]) for key in KEYS)
    assert loader.cache.get(27) is None
    kept = next(place for place in range(27) if loader.cache.get(place) is not None)
    assert np.array_equal(loader.cache.get(kept), cached.load([kept])[0].permute(1, 2, 0).numpy())
    with pytest.raises(ValueError, match="read-only"):
        loader.cache.get(kept)[:] = 0


def test_batch_of_one_and_other_size(root):
    data = module(root, batch_size=1, size=8)
    assert batches(data, 2)[1]["source"].shape == (1, 3, 8, 8)
    assert data.size == 8
    assert data.load([3, 4]).shape == (2, 3, 8, 8)
    assert data.load([]).shape == (0, 3, 8, 8)
    assert module(root, size=32).load([3]).shape == (1, 3, 32, 32)


def test_splits_are_by_person(root):
    fractions = {"train": 0.5, "val": 0.25, "test": 0.25}
    data = module(root, fractions=fractions)
    rows = [data.rows(split) for split in fractions]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(60))
    names = np.array(data.manifest.person_names)
    for split, split_rows in zip(fractions, rows, strict=True):
        persons = data.persons(split)
        assert set(persons) == set(data.manifest.person[split_rows])
        assert len(split_rows) == 5 * len(persons)
        position = list(fractions).index(split)
        assert np.all(split_persons(list(names[persons]), fractions) == position)
    used = torch.cat([torch.cat([b["target_index"], b["source_index"]]) for b in batches(data, 20)])
    assert set(used.tolist()) <= set(rows[0].tolist())
    with pytest.raises(InputError, match=r"'training'.*train, val, test"):
        data.rows("training")


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_crops_are_replaced_counted_and_listed(tmp_path, workers):
    root = write_prepared(tmp_path)
    whole = batches(module(root), 8)
    bad = [int(whole[1]["target_index"][2]), int(whole[1]["source_index"][5])]
    data = module(root, workers=workers, max_unreadable_share=0.05)
    data.manifest.path(bad[0]).write_text("no picture")
    cv2.imwrite(str(data.manifest.path(bad[1])), np.zeros((SIZE, SIZE + 1, 3), np.uint8))
    replaced = batches(data, 8)
    assert set(data.unreadable.reasons) == set(bad)
    assert "17x16" in data.unreadable.reasons[bad[1]]
    assert data.unreadable.asked == 8 * 16 + data.unreadable.failed
    sampler = data.train_batches().sampler
    for iteration, (before, after) in enumerate(zip(whole, replaced, strict=True)):
        for item in range(8):
            expected = int(before["target_index"][item]), int(before["source_index"][item])
            further = item
            while set(expected) & set(bad):
                further += 8  # the next position that no batch uses
                expected = sampler.pair(iteration, further)[:2]
            found = int(after["target_index"][item]), int(after["source_index"][item])
            assert found == expected
            assert torch.equal(after["target"][item], data.load([expected[0]])[0])
    assert_equal(replaced, batches(module(root, max_unreadable_share=0.05), 8))
    with pytest.raises(InputError, match=r"n\d{3}.*simswap-prepare"):
        data.load(bad)


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_unreadable_crops_stop_the_run(tmp_path, workers):
    root = write_prepared(tmp_path)
    data = module(root, workers=workers)
    for row in range(0, 60, 3):
        data.manifest.path(row).write_bytes(b"")
    with pytest.raises(InputError, match=r"of 60 training crops are unreadable.*share=0\.01") as caught:
        batches(data, 20)
    assert "\n" not in str(caught.value)
    for row in range(60):
        data.manifest.path(row).unlink(missing_ok=True)
    with pytest.raises(InputError, match="pairs in a row") as caught:
        batches(module(root, workers=workers, max_unreadable_share=1.0), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"size": 0}, "size"),
        ({"augmentation": {"hue": 0.1}}, "augmentation.hue"),
        ({"augmentation": {"flip": 2.0}}, "augmentation.flip"),
        ({"pairing": "both"}, "pairing"),
        ({"cache_embeddings": True, "augmentation": {"flip": 0.5}}, r"cache_embeddings.*augmentation\.sources=false"),
        ({"fractions": {"train": 0.5}}, "fractions"),
        ({"fractions": {"train": 0.0, "val": 1.0}}, "split train"),
        ({"fractions": {"val": 1.0}}, "no split 'train'"),
    ],
)
def test_bad_settings_are_named(root, settings, word):
    with pytest.raises(InputError, match=word):
        module(root, **settings).train_dataloader()


def test_a_root_that_is_not_prepared_says_what_to_run(tmp_path):
    for root in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match="simswap-prepare"):
            module(root).setup("fit")


class Recorder(lightning.LightningModule):
    """Trains one number and notes which rows came."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_index):
        assert batch.keys() == KEYS
        self.seen.append(batch["target_index"])
        return self.weight * batch["target"].float().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_lightning_starts_where_the_trainer_stands(root, tmp_path):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    expected = [batch["target_index"] for batch in batches(module(root), 6)]
    first = Recorder()
    trainer = lightning.Trainer(max_steps=4, enable_checkpointing=False, limit_train_batches=2, **quiet)
    trainer.fit(first, datamodule=module(root))  # two epochs of two: the second must not repeat the first
    trainer.save_checkpoint(tmp_path / "four.ckpt")
    second = Recorder()
    trainer = lightning.Trainer(max_steps=6, enable_checkpointing=False, **quiet)
    trainer.fit(second, datamodule=module(root), ckpt_path=tmp_path / "four.ckpt", weights_only=True)
    assert torch.equal(torch.stack(first.seen + second.seen), torch.stack(expected))


def test_forked_workers_fill_one_cache(root):
    loader = module(root, workers=2, cache_mb=1).train_dataloader()
    seen = torch.cat([batch["target_index"] for batch in islice(iter(loader), 4)]).unique()
    cache = loader.loader.dataset.cache
    assert all(cache.get(row) is not None for row in seen.tolist())
    assert sum(cache.get(row) is not None for row in range(60)) < 60


def test_batches_travel_to_spawned_workers(root):
    here = module(root, cache_mb=1, augmentation=AUGMENTATION).train_batches()
    there = pickle.loads(pickle.dumps(here))
    assert all(torch.equal(here[3][key], there[3][key]) for key in KEYS)
    assert there.cache.capacity == 60


def test_further_draws_of_an_iteration_are_batches_of_their_own(root):
    once, thrice = module(root, augmentation=AUGMENTATION), module(root, augmentation=AUGMENTATION)
    thrice.prepare_training(draws=3)
    for single, triple in zip(batches(once, 4, start=0), batches(thrice, 4, start=0), strict=True):
        assert triple.keys() == KEYS
        draws = [{key: triple[key][8 * draw : 8 * draw + 8] for key in KEYS} for draw in range(3)]
        assert_equal([draws[0]], [single])  # the generator's pairs do not depend on the number of draws
        for other in draws[1:]:
            assert torch.equal(other["same_identity"], single["same_identity"])  # one kind of pair an iteration
            assert not torch.equal(other["target_index"], single["target_index"])
        assert not torch.equal(draws[1]["target_index"], draws[2]["target_index"])
    thrice.start_iteration = 0
    halves = [thrice.train_batches(rank, 2)[0] for rank in (0, 1)]
    whole = thrice.train_batches()[0]
    for key in KEYS:
        by_draw = [torch.cat([half[key].chunk(3)[draw] for half in halves]) for draw in range(3)]
        assert torch.equal(torch.cat(by_draw), whole[key]), key


def test_mixing_weights_count_the_pairs_of_all_ranks_draw_after_draw(root):
    expected = unit(random_words(9, MIXING_PURPOSE, 5, 0, 24)[:, 0]).reshape(3, 2, 4)  # draw, rank, pair
    for rank in (0, 1):
        data = module(root, seed=9)
        data.prepare_training(draws=3)
        mix = data.train_batches(rank, 2)[5]["mix"]
        assert mix.dtype == torch.float64
        assert mix.reshape(3, 4).tolist() == expected[:, rank].tolist()
