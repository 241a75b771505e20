"""Videos from end to end: who is swapped on which frame, what stays as it is, and how a swap is resumed."""

import gc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from simswap.errors import InputError
from simswap.inference import video_job
from simswap.inference.video import finding, segments, source
from simswap.inference.video.settings import Cast, VideoSettings
from simswap.inference.video_job import swap_video
from simswap.video.joining import read_metadata
from simswap.video.reader import Frame, read_video
from tests.inference.clips import SIDE, picture_of, swapper_for, write_clip, write_photo_of

FRAMES, MISSING, EMPTY = 24, (6, 7), (18, 19, 20, 21, 22, 23)
EXACT = VideoSettings(codec="ffv1", mark=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", FRAMES, MISSING, EMPTY)


@pytest.fixture(scope="module")
def photos(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return {who: write_photo_of(who, folder / f"{who}.png", clip.detector) for who in ("ann", "bob", "eve")}


def frames_of(path):
    return [(frame.time, frame.pixels.astype(int)) for frame in read_video(path)]


def changes(clip, out):
    """For each frame how much changed on the left and on the right, in shares of the pixels."""
    found = []
    for (time, before), (moment, after) in zip(frames_of(clip.path), frames_of(out), strict=True):
        assert time == moment
        changed = (before != after).any(-1)
        found.append([changed[:, :SIDE].mean(), changed[:, SIDE:].mean()])
    return np.array(found)


def test_all_faces_are_swapped_gaps_are_filled_and_other_frames_stay_bit_for_bit(clip, photos, tmp_path):
    out, steps = tmp_path / "b.mkv", []
    done = swap_video(
        swapper_for(clip.detector), photos["eve"], clip.path, out, replace(EXACT, faces="all"),
        lambda *step: steps.append(step),
    )  # fmt: skip
    assert (done.finished, done.frames, done.swapped) == (True, FRAMES, FRAMES - len(EMPTY))
    found = changes(clip, out)
    assert (found[:18] > 0.03).all()
    assert not found[18:].any()
    assert steps[-1] == (2 * FRAMES, 2 * FRAMES)
    assert [step for step, _ in steps] == sorted(step for step, _ in steps)
    assert [path.name for path in tmp_path.iterdir()] == ["b.mkv"]
    words = read_metadata(out)
    assert words["description"] == "synthetic face swap"
    assert words["checkpoint"] == "sha256:" + "1" * 64


def test_a_person_is_swapped_on_every_frame_and_nobody_else(clip, photos, tmp_path):
    for who, side in (("ann", 0), ("bob", 1)):
        out = tmp_path / f"{who}.mkv"
        swap_video(swapper_for(clip.detector), Cast([photos["eve"]], [photos[who]]), clip.path, out, EXACT)
        found = changes(clip, out)
        assert (found[:18, side] > 0.03).all()
        assert not found[:, 1 - side].any()


def test_two_persons_by_two_sources(clip, photos, tmp_path):
    swapper, both = swapper_for(clip.detector), tmp_path / "both.mkv"
    cast = Cast([photos["bob"], photos["ann"]], [photos["ann"], photos["bob"]])
    swap_video(swapper, cast, clip.path, both, EXACT)
    alone = tmp_path / "alone.mkv"
    swap_video(swapper, Cast([photos["bob"]], [photos["ann"]]), clip.path, alone, EXACT)
    for (_, one), (_, other) in zip(frames_of(both), frames_of(alone), strict=True):
        np.testing.assert_array_equal(one[:, : SIDE - 2], other[:, : SIDE - 2])
    assert (changes(clip, both)[:18] > 0.03).all()


def test_largest_swaps_one_face_at_a_time(clip, photos, tmp_path):
    out = tmp_path / "b.mkv"
    swap_video(swapper_for(clip.detector), photos["eve"], clip.path, out, EXACT)
    found = changes(clip, out)[:18] > 0
    assert found.any(0).sum() == 1
    assert found.any(1).all()


def test_the_mark_is_on_swapped_frames_alone(clip, photos, tmp_path):
    marked = tmp_path / "marked.mkv"
    swap_video(swapper_for(clip.detector), photos["eve"], clip.path, marked, replace(EXACT, mark=True))
    corners = [(after - before)[-12:, -20:].any() for (_, before), (_, after)
               in zip(frames_of(clip.path), frames_of(marked), strict=True)]  # fmt: skip
    assert corners == [True] * 18 + [False] * 6


class Stop(Exception):
    """A process that is killed."""


def until(step, what):
    def progress(done, total):
        if done >= step:
            raise what

    return progress


@pytest.fixture
def short(monkeypatch):
    """Pieces of half a second, and files of ten frames."""
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 0.5)
    monkeypatch.setattr(finding, "CHUNK", 10)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("way", ["cancelled", "interrupted", "killed"])
def test_what_is_finished_stays_and_the_same_swap_resumes(clip, photos, tmp_path, way):
    swapper, out, part = swapper_for(clip.detector), tmp_path / "b.mkv", tmp_path / "b.part.mkv"
    whole = tmp_path / "whole.mkv"
    swap_video(swapper, photos["eve"], clip.path, whole, EXACT)
    job = (swapper, photos["eve"], clip.path, out, EXACT)
    step = FRAMES + 13  # the 13th frame of the second pass
    if way == "cancelled":
        seen = []
        left = swap_video(*job, lambda done, _: seen.append(done), lambda: seen[-1] >= step)
        assert (left.path, left.finished) == (part, False)
    elif way == "interrupted":
        with pytest.raises(KeyboardInterrupt, match=r"b\.part\.mkv holds the first 13 frames; run the same command"):
            swap_video(*job, until(step, KeyboardInterrupt))
    else:
        with pytest.raises(Stop):
            swap_video(*job, until(step, Stop))
        pieces = sorted((tmp_path / ".b.mkv.swap").glob("0*.mkv"))
        pieces[-1].rename(tmp_path / ".b.mkv.swap" / ".open.mkv.123.part")  # begun, and never finished
    assert not out.exists()
    if way != "killed":
        begun = frames_of(part)
        assert len(begun) == 13
        for (time, pixels), (moment, expected) in zip(begun, frames_of(whole), strict=False):
            assert time == moment
            np.testing.assert_array_equal(pixels, expected)
    asked = clip.detector.asked
    steps = []
    done = swap_video(*job, lambda done, _: steps.append(done))
    assert done.finished
    assert clip.detector.asked == asked + 1  # the source's photo alone: the faces of the video are known
    assert min(step for step in steps if step > FRAMES) > FRAMES + 5
    for (time, pixels), (moment, expected) in zip(frames_of(out), frames_of(whole), strict=True):
        assert time == moment
        np.testing.assert_array_equal(pixels, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.mkv", "whole.mkv"]


@pytest.mark.usefixtures("short")
def test_a_stop_before_the_second_pass_is_resumed_leaves_the_part(clip, photos, tmp_path, monkeypatch):
    job = (swapper_for(clip.detector), photos["eve"], clip.path, tmp_path / "b.mkv", EXACT)
    with pytest.raises(KeyboardInterrupt):
        swap_video(*job, until(FRAMES + 13, KeyboardInterrupt))
    monkeypatch.setattr(video_job, "follow", lambda files: until(0, KeyboardInterrupt)(0, 0))
    with pytest.raises(KeyboardInterrupt, match=r"b\.part\.mkv holds the first 10 frames"):
        swap_video(*job)
    assert len(frames_of(tmp_path / "b.part.mkv")) == 13


@pytest.mark.usefixtures("short")
def test_a_stop_while_faces_are_searched_keeps_those_found(clip, photos, tmp_path):
    job = (swapper_for(clip.detector), photos["eve"], clip.path, tmp_path / "b.mkv", EXACT)
    with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
        swap_video(*job, until(15, KeyboardInterrupt))
    asked = clip.detector.asked
    assert swap_video(*job).finished
    # one for the source, and two for each of the empty frames, which are searched again with a margin
    assert clip.detector.asked - asked == 1 + (FRAMES - 10) + len(EMPTY)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("change", ["source", "setting", "checkpoint", "part", "result"])
def test_another_swap_is_not_mixed_in_and_nothing_is_overwritten(clip, photos, tmp_path, change):
    swapper, out = swapper_for(clip.detector), tmp_path / "b.mkv"
    given, settings = photos["eve"], EXACT
    if change == "result":
        out.write_bytes(b"mine")
    elif change == "part":
        (tmp_path / "b.part.mkv").write_bytes(b"mine")
    else:
        with pytest.raises(KeyboardInterrupt):
            swap_video(swapper, given, clip.path, out, settings, until(FRAMES + 13, KeyboardInterrupt))
        if change == "source":
            given = photos["bob"]
        elif change == "setting":
            settings = replace(EXACT, smoothing=0.0)
        else:
            swapper.checkpoint.sha256 = "2" * 64
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"exists|beginning of another swap") as refused:
        swap_video(swapper, given, clip.path, out, settings)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_process_at_work_is_not_disturbed(clip, photos, tmp_path):
    job = (swapper_for(clip.detector), photos["eve"], clip.path, tmp_path / "b.mkv", EXACT)

    def second(done, total):
        if done == 5:
            with pytest.raises(InputError, match="is in use: swapping by process"):
                swap_video(*job)

    assert swap_video(*job, second).finished


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (replace(EXACT, start=1.8), "no face found in it"),
        (replace(EXACT, start=7.0), "no frame lies between"),
        (replace(EXACT, start=0.6, end=0.8), "no face found in it"),
    ],
)
def test_a_video_without_a_face_is_one_line_and_leaves_nothing(clip, photos, tmp_path, settings, words):
    with pytest.raises(InputError, match=words) as refused:
        swap_video(swapper_for(clip.detector), photos["eve"], clip.path, tmp_path / "b.mkv", settings)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_small_faces_and_strangers_are_one_line(clip, photos, tmp_path):
    job = (clip.path, tmp_path / "b.mkv", EXACT)
    with pytest.raises(InputError, match="nobody there is like the given person"):
        swap_video(
            swapper_for(clip.detector), Cast([photos["ann"]], [photos["eve"]]), *job[:2], replace(EXACT, threshold=0.9)
        )
    first = tmp_path / "first.png"
    Image.fromarray(next(iter(read_video(clip.path))).pixels).save(first)
    with pytest.raises(InputError, match=r"2 faces, and one must say whose identity"):
        swap_video(swapper_for(clip.detector), first, *job)
    assert [path.name for path in tmp_path.iterdir()] == ["first.png"]


def test_a_part_of_the_video_with_every_second_frame(clip, photos, tmp_path):
    out = tmp_path / "b.mkv"
    part = replace(EXACT, start=0.5, end=1.5, every=2)
    done = swap_video(swapper_for(clip.detector), photos["eve"], clip.path, out, part)
    assert done.frames == 5
    times = [float(time) for time, _ in frames_of(out)]
    np.testing.assert_allclose(np.diff(times), 0.2, atol=1e-6)


def test_the_frames_in_memory_are_limited_whatever_the_length(clip, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "QUEUE_BYTES", 1)  # two frames wait in front of each step
    alive = []

    def count(done, total):
        alive.append(sum(type(thing) is Frame for thing in gc.get_objects()))

    swap_video(swapper_for(clip.detector, batch_size=2), photos["eve"], clip.path, tmp_path / "b.mkv", EXACT, count)
    # two and the one at hand: read ahead, in the batch, and in front of the encoder
    assert 2 < max(alive) <= 10 < FRAMES


@pytest.fixture
def frames(clip, tmp_path):
    """The first five frames as pictures."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for frame in read_video(clip.path, end=0.5):
        Image.fromarray(frame.pixels).save(folder / f"{frame.number}.png")
    return folder


def test_a_folder_of_frames_becomes_pictures_or_a_video(clip, photos, tmp_path, frames):
    swapper, pictures, video = swapper_for(clip.detector), tmp_path / "out", tmp_path / "out.mkv"
    assert swap_video(swapper, photos["eve"], frames, pictures, EXACT).frames == 5
    assert swap_video(swapper, photos["eve"], frames, video, replace(EXACT, rate=12.5)).finished
    assert [path.name for path in sorted(pictures.iterdir())] == [f"{k}.png" for k in range(5)]
    shown = frames_of(video)
    assert [float(time) for time, _ in shown] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
    for number, (_, pixels) in enumerate(shown):
        with Image.open(pictures / f"{number}.png") as image:
            assert image.text["Description"] == "synthetic face swap"
            made = np.asarray(image).astype(int)
        assert np.abs(made - pixels).mean() < 4  # the video halves the resolution of color
    assert swap_video(swapper, photos["eve"], frames, pictures, EXACT).finished  # again: nothing to do
    with pytest.raises(InputError, match="is the folder of the frames"):
        swap_video(swapper, photos["eve"], frames, frames, EXACT)
    (pictures / "2.png").write_bytes((frames / "2.png").read_bytes())
    with pytest.raises(InputError, match=r"2\.png already exists"):
        swap_video(swapper, photos["eve"], frames, pictures, EXACT)


def test_frames_of_two_sizes_are_one_line(clip, photos, tmp_path, frames):
    Image.fromarray(picture_of("ann").image).save(frames / "3.png")
    with pytest.raises(InputError, match=r"3\.png: 64 x 64 px, and the first frame of its folder has 128 x 64"):
        swap_video(swapper_for(clip.detector), photos["eve"], frames, tmp_path / "out", EXACT)
