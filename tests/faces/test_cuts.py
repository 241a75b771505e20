"""Cuts are found where they are, and nothing else is taken for one."""

import cv2
import numpy as np
import pytest

from simswap.faces.cuts import FLASH, CutFinder, find_cuts


def scene(seed, height=90, width=160):
    """A picture with large patches of color, wider than what is shown of it."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (12, 24, 3), np.uint8)
    return cv2.resize(small, (2 * width, height), interpolation=cv2.INTER_CUBIC)


def shown(picture, left=0, width=160):
    return np.ascontiguousarray(picture[:, left : left + width])


def cuts_of(frames):
    finder = CutFinder()
    return find_cuts(np.stack([finder.add(frame) for frame in frames]))


@pytest.fixture(scope="module")
def scenes():
    return [scene(seed) for seed in range(3)]


def test_each_cut_is_found_at_its_frame(scenes):
    frames = [shown(scenes[0])] * 12 + [shown(scenes[1])] * 5 + [shown(scenes[2])] * 9
    assert cuts_of(frames) == [12, 17]


@pytest.mark.parametrize("length", range(1, FLASH + 1))
def test_a_flash_is_no_cut(scenes, length):
    white = np.full_like(shown(scenes[0]), 250)
    assert cuts_of([shown(scenes[0])] * 10 + [white] * length + [shown(scenes[0])] * 10) == []


def test_a_shot_longer_than_a_flash_has_a_cut_on_either_side(scenes):
    frames = [shown(scenes[0])] * 10 + [shown(scenes[1])] * (FLASH + 1) + [shown(scenes[0])] * 10
    assert cuts_of(frames) == [10, 10 + FLASH + 1]


def test_a_pan_a_fade_and_noise_are_no_cuts(scenes):
    picture, random = scenes[0], np.random.default_rng(0)
    pan = [shown(picture, 5 * k) for k in range(30)]
    fade = [(shown(picture) * share).astype(np.uint8) for share in np.linspace(1, 0, 20)]
    noisy = [np.clip(shown(picture) + random.normal(0, 25, (90, 160, 3)), 0, 255).astype(np.uint8) for _ in range(10)]
    black = [random.integers(0, 3, (90, 160, 3), dtype=np.uint8) for _ in range(10)]
    for frames in (pan, fade, noisy, black):
        assert cuts_of(frames) == []


def test_one_frame_and_two_different_ones(scenes):
    assert cuts_of([shown(scenes[0])]) == []
    assert cuts_of([shown(scenes[0]), shown(scenes[1])]) == [1]


def test_a_change_of_brightness_is_no_cut(scenes):
    bright = shown(scenes[0])
    dark = (bright * 0.6).astype(np.uint8)
    assert cuts_of([bright] * 10 + [dark] * 10) == []
