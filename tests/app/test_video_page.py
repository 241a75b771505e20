"""Videos and the camera on the page, in a real browser: a swap that plays and is saved, progress, and Cancel."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest

from simswap.video.joining import read_metadata
from simswap.video.reader import Frame, read_video
from simswap.video.writer import VideoWriter
from tests.app.served import rendered_face
from tests.app.visits import UNNAMED, Visit
from tests.inference.clips import RATE, info

SIDE, FRAMES = 128, 10
PLAYED = """
video => new Promise((done, failed) => {
  video.onerror = () => failed(video.error.message);
  video.onended = () => done(video.currentTime);
  if (video.ended) { done(video.currentTime); }
})
"""


def write_film(path, frames):
    """A video of one rendered face that turns left and right."""
    faces = [rendered_face(side=SIDE, yaw=3 * number) for number in range(FRAMES)]
    with VideoWriter(path, info(SIDE, SIDE), codec="h264") as writer:
        for number in range(frames):
            writer.write(Frame(number, Fraction(number, RATE), faces[number % FRAMES]))
    return path


def begin_swap(user, film):
    """Swap the example's source into a video."""
    user.example()
    user.view("video")
    user.upload("target-video", film)
    user.page.locator("#target-video video").first.wait_for(state="attached")
    user.button("Swap").click()


@pytest.mark.browser
def test_a_video_is_swapped_plays_and_is_saved(site, browser, tmp_path):
    film = write_film(tmp_path / "film.mp4", FRAMES)
    with Visit(browser, site) as user:
        begin_swap(user, film)
        user.says(f"{FRAMES} of {FRAMES} frames swapped")
        both = user.page.locator("#result video").all()
        assert len(both) == 2
        assert user.page.evaluate(UNNAMED) == []
        user.button("Play or pause both").click()
        assert [one.evaluate(PLAYED) for one in both] == pytest.approx([FRAMES / RATE] * 2, abs=0.05)
        with user.page.expect_download() as saved:
            user.page.get_by_role("link", name="Download the result").click()
        assert saved.value.suggested_filename == "film_swapped.mp4"
        saved.value.save_as(tmp_path / "saved.mp4")
    assert "synthetic face swap" in json.dumps(read_metadata(tmp_path / "saved.mp4"))
    before, after = (
        np.stack([frame.pixels for frame in read_video(path)]).astype(float) for path in (film, tmp_path / "saved.mp4")
    )
    assert before.shape == after.shape
    change = np.abs(before - after).mean((0, 3))
    assert change[:16, :16].mean() < 3  # encoded again, no more
    assert change[SIDE // 3 : -SIDE // 3, SIDE // 3 : -SIDE // 3].mean() > 4  # another face
    assert change[-10:, -30:].mean() > 20  # the mark


@pytest.mark.browser
def test_long_work_shows_its_progress_and_is_cancelled(site, browser, tmp_path):
    film = write_film(tmp_path / "long.mp4", 20 * FRAMES)
    with Visit(browser, site) as user:
        begin_swap(user, film)
        progress = user.page.locator("#result").get_by_text(re.compile(r"(finding faces|swapping) - \d"))
        progress.wait_for()
        user.button("Cancel").click()
        user.says("cancelled")
        progress.wait_for(state="detached")
        user.view("photo")  # the networks are free again
        user.button("Swap").click()
        user.page.locator("#result .compare").wait_for()
        user.button("Cancel").click()
        user.says("nothing is at work")
    assert {path.name for path in site.folder.iterdir()} == {"examples", "made", "uploads"}


@pytest.mark.browser
def test_a_picture_of_the_camera(site, browser):
    with Visit(browser, site) as user:
        photo = user.page.locator("#source-photo")
        for name in ("Capture from camera", "Click to Access Webcam", "capture photo"):
            photo.get_by_role("button", name=name).click()
        user.says("the source shows one face")
        photo.locator("img").wait_for()
