"""Videos of the page's users: a rendered clip in, a playable file out, and what is refused."""

import threading
from types import SimpleNamespace

import pytest

from simswap.app.jobs import Jobs
from simswap.app.shelf import Shelf
from simswap.app.video_work import swap_uploaded_video, video_html
from simswap.errors import InputError
from simswap.faces.paste import PasteSettings
from simswap.video.reader import video_info
from tests.inference.clips import RATE, swapper_for, write_clip, write_photo_of

FRAMES = 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES)


@pytest.fixture(scope="module")
def source(clip, tmp_path_factory):
    return str(write_photo_of("eve", tmp_path_factory.mktemp("photo") / "eve.png", clip.detector))


@pytest.fixture
def state():
    shelf = Shelf(60)
    yield SimpleNamespace(shelf=shelf, video_s=60.0, networks=SimpleNamespace(work=threading.Lock()))
    shelf.close()


def swap(state, clip, source, target, show=lambda share, desc: None, before=lambda jobs: None):
    opened, jobs = SimpleNamespace(swapper=swapper_for(clip.detector)), Jobs()
    with jobs.begun("user") as job:
        before(jobs)
        return swap_uploaded_video(state, opened, source, target, True, PasteSettings(), job, show)


def held(state, address):
    return state.shelf.find(address.split("/")[2])


def test_a_video_becomes_a_file_on_the_shelf(state, clip, source):
    shares = []
    done = swap(state, clip, source, str(clip.path), lambda share, desc: shares.append((share, desc)))
    assert done.words == f"{FRAMES} of {FRAMES} frames swapped"
    made = held(state, done.after)
    assert made.name == "clip_swapped.mp4"
    assert float(video_info(made.path).duration) == pytest.approx(FRAMES / RATE, abs=0.02)
    assert held(state, done.before).path.read_bytes() == clip.path.read_bytes()
    assert shares[-1] == (1.0, "swapping")
    assert {desc for _, desc in shares} >= {"finding faces", "swapping"}
    html = video_html(done)
    assert html.count("<video") == 2
    assert done.after in html
    left = {path.name for path in state.shelf.folder.iterdir()}
    assert left == {"uploads", "made"}  # no folder of the work


def test_a_long_video_is_cut_and_the_page_says_so(state, clip, source):
    state.video_s = 0.4
    done = swap(state, clip, source, str(clip.path))
    assert done.words == "4 of 4 frames swapped; the first 0.4 s were used"


def test_cancelled_work_leaves_nothing(state, clip, source):
    for moment in ("before", "between frames"):
        jobs_of = []

        def show(share, desc, jobs_of=jobs_of):
            if desc == "swapping":
                jobs_of[0].cancel("user")

        def before(jobs, jobs_of=jobs_of, moment=moment):
            jobs_of.append(jobs)
            if moment == "before":
                jobs.cancel("user")

        with pytest.raises(InputError, match=r"^cancelled$"):
            swap(state, clip, source, str(clip.path), show, before)
        assert list((state.shelf.folder / "made").iterdir()) == []
        assert {path.name for path in state.shelf.folder.iterdir()} == {"uploads", "made"}
    assert not state.networks.work.locked()


def test_bad_input_is_one_line(state, clip, source, tmp_path):
    text = tmp_path / "film.mp4"
    text.write_text("no video")
    for photo, film, words in ((None, "x", "no source photo"), (source, None, "no target video"),
                               (source, str(text), "film.mp4")):  # fmt: skip
        with pytest.raises(InputError, match=words) as caught:
            swap(state, clip, photo, film)
        assert "\n" not in str(caught.value)
