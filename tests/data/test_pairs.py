"""Pairs: what may meet, how often, and that nothing but (seed, iteration, position) decides it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simswap.data.pairs import (
    PAIR_PURPOSE,
    PairSampler,
    PersonIndex,
    below,
    evaluation_pairs,
    random_words,
    split_persons,
    unit,
)
from simswap.errors import InputError

# Rows 0..6: person 7 owns rows 0, 2, 5; person 3 rows 1, 6; person 9 row 3; person 4 row 4.
FIRST_WORDS = [7011561734739495325, 2554946559873638496, 4432747524406926853, 7001914645645908495]
PERSON = np.array([7, 3, 7, 9, 4, 7, 3])
persons_strategy = st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(
    lambda people: len(set(people)) > 1 and len(set(people)) < len(people)
)


def test_person_index_puts_persons_with_one_image_last():
    index = PersonIndex(PERSON)
    # np.unique's order is 3, 4, 7, 9; those with two images first: 3, 7, then 4, 9
    assert index.order.tolist() == [1, 6, 0, 2, 5, 4, 3]
    assert index.counts.tolist() == [2, 3, 1, 1]
    assert index.offsets.tolist() == [0, 2, 5, 6, 7]
    assert (index.paired, index.persons) == (5, 4)
    assert index.person_of(np.arange(7)).tolist() == [0, 0, 1, 1, 1, 2, 3]


def test_words_are_a_function_of_the_position_alone():
    whole = random_words(3, PAIR_PURPOSE, 11, 0, 10)
    assert np.array_equal(whole[4:7], random_words(3, PAIR_PURPOSE, 11, 4, 7))
    others = [random_words(*key, 0, 10) for key in ((4, PAIR_PURPOSE, 11), (3, PAIR_PURPOSE, 12), (3, 9, 11))]
    assert not any(np.isin(whole, other).any() for other in others)


def test_words_keep_their_values():
    """A resumed experiment on another numpy must go on with the same pairs: the first words, as once drawn."""
    first = np.random.Philox(key=(1 << 64) | 5, counter=(2 << 64) - 1).random_raw(4)
    assert np.array_equal(random_words(5, 1, 2, 0, 1)[0], first)
    assert random_words(5, 1, 2, 0, 1)[0].tolist() == FIRST_WORDS


def test_draws_by_hand():
    words = np.array([0, 1 << 63, (1 << 64) - 1], dtype=np.uint64)
    assert unit(words).tolist() == [0.0, 0.5, 1 - 2.0**-53]
    assert below(words, 7).tolist() == [0, 3, 6]
    assert below(words, np.array([1, 2, 3])).tolist() == [0, 1, 2]


@settings(max_examples=60, deadline=None)
@given(persons_strategy, st.integers(-5, 2**70), st.integers(0, 10**12), st.sampled_from(["alternate", "mixed"]))
def test_a_pair_is_what_it_says(people, seed, iteration, pairing):
    person = np.array(people)
    pairs = PairSampler(person, seed, 16, pairing).pairs(iteration, 0, 64)
    assert np.array_equal(person[pairs.target] == person[pairs.source], pairs.same)
    assert np.all(pairs.target != pairs.source)
    if pairing == "alternate":
        assert np.all(pairs.same == (iteration % 2 == 0))


@settings(max_examples=30, deadline=None)
@given(persons_strategy, st.integers(0, 1000), st.integers(0, 30), st.integers(1, 30))
def test_any_slice_of_a_batch_is_the_batch(people, iteration, start, length):
    sampler = PairSampler(np.array(people), 1, 60, "mixed")
    whole = sampler.pairs(iteration, 0, 60)
    part = sampler.pairs(iteration, start, start + length)
    for all_of_it, some in zip(whole, part, strict=True):
        assert np.array_equal(all_of_it[start : start + length], some)
    assert sampler.pair(iteration, start) == (whole.target[start], whole.source[start], whole.same[start])


def test_different_pairs_are_uniform_over_target_rows_and_source_persons():
    pairs = PairSampler(PERSON, 0, 8).pairs(1, 0, 70_000)
    assert np.allclose(np.bincount(pairs.target) / 70_000, 1 / 7, atol=0.006)
    # Target of person 9: the source is one of three persons with 1/3 each, person 7's three rows with 1/9 each.
    sources = pairs.source[pairs.target == 3]
    expected = np.array([1 / 9, 1 / 6, 1 / 9, 0, 1 / 3, 1 / 9, 1 / 6])
    assert np.allclose(np.bincount(sources, minlength=7) / len(sources), expected, atol=0.016)


def test_same_pairs_are_uniform_and_leave_out_persons_with_one_image():
    pairs = PairSampler(PERSON, 0, 8).pairs(0, 0, 50_000)
    shares = np.bincount(pairs.target, minlength=7) / 50_000
    assert np.allclose(shares, [0.2, 0.2, 0.2, 0, 0, 0.2, 0.2], atol=0.007)
    sources = pairs.source[pairs.target == 2]  # person 7's other rows, half each
    assert np.allclose(np.bincount(sources, minlength=6) / len(sources), [0.5, 0, 0, 0, 0, 0.5], atol=0.02)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_mixed_draws_same_with_its_probability(probability):
    same = PairSampler(PERSON, 5, 8, "mixed", probability).pairs(3, 0, 40_000).same
    assert abs(same.mean() - probability) < 0.008
    assert probability not in (0.0, 1.0) or same.mean() == probability


def test_iterations_and_seeds_differ():
    sampler = PairSampler(np.arange(1000) // 2, 0, 32)
    first = sampler.pairs(0, 0, 32).target
    assert not np.array_equal(first, sampler.pairs(2, 0, 32).target)
    assert not np.array_equal(first, PairSampler(np.arange(1000) // 2, 1, 32).pairs(0, 0, 32).target)


@pytest.mark.parametrize(
    ("person", "settings_", "word"),
    [
        ([1, 1, 1], {}, "1 person"),
        ([], {}, "0 person"),
        ([1, 2, 3], {}, "no person with two images"),
        ([1, 1, 2], {"pairing": "random"}, "alternate, mixed"),
        ([1, 1, 2], {"same_probability": 1.5}, "same_probability"),
        ([1, 1, 2], {"batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_pairs_are_named(person, settings_, word):
    arguments = {"seed": 0, "batch_size": 4} | settings_
    with pytest.raises(InputError, match=word):
        PairSampler(np.array(person, dtype=np.int64), **arguments)


def test_one_kind_of_pair_is_enough_for_mixed():
    assert not PairSampler(np.array([1, 2, 3]), 0, 4, "mixed", 0.0).pairs(0, 0, 50).same.any()
    alone = PairSampler(np.array([1, 1]), 0, 4, "mixed", 1.0).pairs(0, 0, 50)
    assert alone.same.all()
    assert np.array_equal(alone.target + alone.source, np.ones(50))


def test_splits_do_not_move_when_persons_are_added():
    fractions = {"train": 0.8, "val": 0.1, "test": 0.1}
    names = [f"n{number:06d}" for number in range(5000)]
    all_of_them = split_persons(names, fractions)
    assert np.array_equal(all_of_them[::3], split_persons(names[::3], fractions))
    assert np.allclose(np.bincount(all_of_them) / 5000, [0.8, 0.1, 0.1], atol=0.015)
    assert all_of_them.dtype == np.int8
    assert not np.array_equal(all_of_them, split_persons(names, fractions, salt="another"))


def test_splits_at_the_edges():
    names = ["Zoë Müller", "名前", "a b"]
    assert split_persons(names, {"train": 0.0, "val": 1.0, "test": 0.0}).tolist() == [1, 1, 1]
    assert split_persons(names, {"train": 0.0, "test": 1.0}).tolist() == [1, 1, 1]
    assert split_persons(["Zoe\u0308"], {"a": 0.5, "b": 0.5}) == split_persons(["Zoë"], {"a": 0.5, "b": 0.5})
    for wrong in ({"train": 0.8, "val": 0.1}, {"train": 1.2, "val": -0.2}, {"train": float("nan")}, {}):
        with pytest.raises(InputError, match="fractions"):
            split_persons(names, wrong)


def test_evaluation_pairs_are_fixed_balanced_and_cross_person():
    person = np.repeat(np.arange(5), [1, 2, 30, 4, 5])
    targets, sources = evaluation_pairs(person, 20, seed=3)
    assert np.all(person[targets] != person[sources])
    assert np.bincount(person[targets]).tolist() == [4] * 5
    assert np.bincount(person[sources]).tolist() == [4] * 5
    again = evaluation_pairs(person, 7, seed=3)
    assert np.array_equal(again[0], targets[:7])
    assert np.array_equal(again[1], sources[:7])
    assert not np.array_equal(evaluation_pairs(person, 20, seed=4)[0], targets)
    with pytest.raises(InputError, match="two"):
        evaluation_pairs(np.zeros(5, dtype=np.int32), 3, seed=0)
    with pytest.raises(InputError, match="at least 1"):
        evaluation_pairs(person, 0, seed=0)


def test_index_is_small_for_millions_of_rows():
    person = np.random.default_rng(0).integers(0, 9000, 1_000_000).astype(np.int32)
    index = PersonIndex(person)
    assert index.order.nbytes + index.offsets.nbytes + index.counts.nbytes < 4.2e6
