"""The page in a real browser: photos and runs, bad uploads, two users at once, a phone and the keyboard."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.app.visits import PHONE, UNNAMED, Visit, shown


@pytest.mark.browser
def test_a_swap_its_slider_figures_and_download(site, browser):
    with Visit(browser, site) as user:
        user.example()
        user.says("shows one face")
        user.button("Swap").click()
        slider = user.page.get_by_role("slider", name="how much of target is shown")
        slider.wait_for()
        assert [shown(picture) for picture in user.page.locator(".compare img").all()] == [320, 320]
        place = "bar => bar.closest('.compare').style.getPropertyValue('--at')"
        slider.focus()
        for key, at in (("End", "100%"), ("ArrowLeft", "99%"), ("Home", "0%")):
            user.page.keyboard.press(key)
            assert slider.evaluate(place) == at
        cells = user.page.locator("#result table tbody td").all_inner_texts()
        assert len(cells) == 5
        assert float(cells[0]) > float(cells[1])  # nearer to the source than before
        assert cells[4].endswith("°")
        link = user.page.get_by_role("link", name="Download the result").get_attribute("href")
        content = user.get(link)
        picture = Image.open(io.BytesIO(content))
        assert picture.size == (320, 320)
        assert "synthetic" in json.dumps(picture.text).lower()
        assert len(picture.text["XML:com.adobe.xmp"]) > 100
        assert user.get(f"{link.rpartition('/')[0]}/other.png").startswith(b'{"detail"')


@pytest.mark.browser
def test_bad_uploads_end_in_one_line(site, browser, tmp_path):
    text, plain = tmp_path / "photo.jpg", tmp_path / "plain.png"
    text.write_text("no picture")
    Image.fromarray(np.full((90, 90, 3), 127, np.uint8)).save(plain)
    with Visit(browser, site) as user:
        user.button("Swap").click()
        user.says("there is no source photo")
        for file, words in ((text, "photo.jpg: no picture of a known kind"), (plain, "plain.png: no face found")):
            user.upload("source-photo", file)
            user.says(words)
            alert = user.page.get_by_role("alert").inner_text()
            assert "\n" not in alert
            assert str(site.temporary) not in alert
            user.page.locator("#source-photo").get_by_label("Remove Image").click()
        user.example()
        user.view("video")
        user.button("Swap").click()
        user.says("there is no target video")
        film = tmp_path / "film.mp4"
        film.write_text("no video")
        user.upload("target-video", film)
        user.page.locator("#target-video video").first.wait_for(state="attached")
        user.button("Swap").click()
        user.page.locator("#line").get_by_text("film.mp4").wait_for()
        user.complaints[:] = [one for one in user.complaints if "Failed to load" not in one]


@pytest.mark.browser
def test_two_users_at_once_get_their_own(site, browser):
    pairs = ("rendered, woman → rendered, man", "rendered, man → rendered, turned")
    with Visit(browser, site) as one, Visit(browser, site) as other:
        for user, pair in zip((one, other), pairs, strict=True):
            user.example(option=pair)
        for user in (one, other):
            user.button("Swap").click()
        seen = []
        for user in (one, other):
            user.page.locator("#result .compare").wait_for()
            before = user.page.locator(".compare img").first.get_attribute("src")
            seen.append(np.asarray(Image.open(io.BytesIO(user.get(before)))).astype(float))
        assert np.abs(seen[0] - seen[1]).mean() > 10
        one.button("Cancel").click()
        one.says("nothing is at work")


@pytest.mark.browser
def test_runs_side_by_side(site, browser):
    with Visit(browser, site) as user:
        user.tab("Runs")
        user.button("Compare").click()
        user.says("no run is chosen")
        user.choose("Runs, or folders of them", "all 3 runs")
        user.page.keyboard.press("Escape")
        user.button("Compare").click()
        frame = user.page.frame_locator("iframe.comparison")
        frame.locator("#table-results").wait_for()
        user.says("2 runs compared; 1 left out, as the page says")
        assert frame.locator("body").evaluate("() => document.domain") == ""  # an origin of its own
        head = frame.locator("#table-results thead button").nth(2)
        head.click()
        assert head.locator("..").get_attribute("aria-sort") in ("ascending", "descending")

        user.page.get_by_label("Runs, or folders of them", exact=True).press("Backspace")
        user.choose("Runs, or folders of them", "sweep/")
        user.page.keyboard.press("Escape")
        user.view("Curves")
        user.button("Draw").click()
        chart = user.page.locator("figure.curves img")
        chart.wait_for()
        assert shown(chart)
        assert "sweep/0: val/id_retrieval 0.9" in chart.get_attribute("alt")

        user.view("Grids")
        user.choose("Run", "sweep/1")
        grid = user.page.locator("figure.grid img")
        grid.wait_for()
        assert shown(grid)
        user.says("2 sample grids, of iterations 10 to 20")
        user.choose("Run", "single")
        user.says("0000030.png is a link out of runs=, which the page does not follow")


@pytest.mark.browser
def test_two_checkpoints_on_the_same_pair(site, browser):
    with Visit(browser, site) as user:
        user.tab("Runs")
        user.view("Swap both")
        user.choose("Second checkpoint", "sweep/1/checkpoints/last.ckpt")
        user.example("Example pair for both")
        user.button("Swap with both").click()
        user.page.locator("#both-result .compare").wait_for()
        rows = user.page.locator("#both-result tbody tr").all_inner_texts()
        assert rows[0].startswith("the page's own checkpoint")
        assert rows[1].startswith("sweep/1/checkpoints/last.ckpt")
        assert rows[0].split("\t")[1:] == rows[1].split("\t")[1:]  # the same file


@pytest.mark.browser
def test_a_phone_and_the_keyboard(site, browser):
    with Visit(browser, site, PHONE) as user:
        wide = "() => document.documentElement.scrollWidth - innerWidth"
        user.example()
        user.says("shows one face")
        assert user.page.evaluate(wide) <= 0
        assert user.page.evaluate(UNNAMED) == []
        user.button("Swap").focus()
        user.page.keyboard.press("Enter")
        user.page.locator("#result .compare").wait_for()
        assert user.page.evaluate(wide) <= 0
        user.page.get_by_role("tab", name="Runs").focus()
        user.page.keyboard.press("Enter")
        views = {"Compare": "Compare", "Curves": "Draw", "Grids": None, "Swap both": "Swap with both"}
        for name, button in views.items():
            user.view(name)
            (user.button(button) if button else user.page.get_by_label("Run", exact=True)).wait_for()
            assert user.page.evaluate(wide) <= 0
            assert user.page.evaluate(UNNAMED) == []
