"""The page as it is served: in a real browser, and by what an attacker would ask it for."""

import http.client
import io
import json
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.app.served import make_runs, opened_browser, served
from tests.app.visits import PHONE, UNNAMED, Visit, shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("app")
    make_runs(made / "runs")
    (made / "secret.txt").write_text("not for the page")
    outside = made / "outside" / "run"
    make_runs(outside.parent)
    (made / "runs" / "linked").symlink_to(made / "outside" / "sweep" / "0", target_is_directory=True)
    (made / "runs" / "single" / "0000030.png").symlink_to(made / "secret.txt")
    return made


@pytest.fixture(scope="module")
def site(folder):
    with served(folder, "detector=none", f"runs={folder / 'runs'}", "uploads.file_mb=2") as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


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
        cells = user.page.locator("#result table.figures tbody td").all_inner_texts()
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
        for file, words in ((text, "photo.jpg: no picture of a known kind"), (plain, "started without a detector")):
            user.page.locator("#source-photo input[type=file]").set_input_files(file)
            user.says(words)
            alert = user.page.get_by_role("alert").inner_text()
            assert "\n" not in alert
            assert str(site.temporary) not in alert
            user.page.locator("#source-photo").get_by_label("Remove Image").click()
        user.example()
        user.page.get_by_role("radio", name="video", exact=True).check()
        user.button("Swap").click()
        user.says("there is no target video")
        film = tmp_path / "film.mp4"
        film.write_text("no video")
        user.page.locator("#target-video input[type=file]").set_input_files(film)
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


def ask(site, method, path, body=None, **headers):
    """Status and text, sent as it is: http.client changes nothing in a path."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=120)
    connection.request(method, path, body, {name.replace("_", "-"): one for name, one in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


ROUTES = ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/static/", "/assets/", "/made/x/",
          "/gradio_api/custom_component/")  # fmt: skip


def test_no_file_but_its_own_can_be_read(site, folder):
    secret = folder / "secret.txt"
    inside = site.folder / "uploads" / "link.txt"
    inside.symlink_to(secret)
    places = [str(secret), f"{site.folder}/uploads/../../../secret.txt", "/etc/passwd", "/proc/self/environ",
              str(folder / "runs" / "single" / "metrics.csv"), str(inside), "http://127.0.0.1:9/x", "setup.cfg",
              "file:///etc/passwd"]  # fmt: skip
    for place in places:
        for path in (quote(place), quote(place, safe=""), place.replace("..", "%2e%2e")):
            for route in ROUTES:
                status, text = ask(site, "GET", f"{route}{path}")
                assert status in (400, 403, 404), (route, path, status)
                assert "not for the page" not in text
    inside.unlink()


def test_no_handler_takes_a_file_that_is_not_an_upload(site, folder):
    config = json.loads(ask(site, "GET", "/config")[1])
    assert config["dependencies"]
    for path in (str(folder / "secret.txt"), "http://127.0.0.1:9/x.png", "https://example.org/x.png", 7):
        given = {"path": path, "meta": {"_type": "gradio.FileData"}, "url": None}
        for number in range(len(config["dependencies"])):
            for data in ([given], [[given]], [{"a": given}]):
                body = json.dumps({"data": data, "fn_index": number, "session_hash": "attacker"})
                status, _ = ask(site, "POST", "/gradio_api/queue/join", body, Content_Type="application/json")
                assert status == 403
    for route in ("/gradio_api/run/predict", "/gradio_api/call/work", "/gradio_api/api/work", "/gradio_api/vibe-edit/",
                  "/gradio_api/process_recording", "/login"):  # fmt: skip
        assert ask(site, "POST", route, "{}")[0] == 404
    for route in ("/docs", "/openapi.json", "/gradio_api/openapi.json", "/monitoring", "/gradio_api/runs"):
        assert ask(site, "GET", route)[0] == 404


def test_other_sites_and_other_names_are_refused(site):
    port = urlsplit(site.url).port
    assert ask(site, "GET", "/", Host=f"evil.example:{port}")[0] == 421
    assert ask(site, "GET", "/config", Origin="http://evil.example")[0] == 403
    assert ask(site, "GET", "/config", Origin="null")[0] == 403
    assert ask(site, "GET", "/config", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert ask(site, "GET", "/", Host=f"localhost:{port}")[0] == 200


def upload(site, content, name="x.png"):
    edge = "edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{edge}--\r\n".encode()
    return ask(site, "POST", "/gradio_api/upload", body, Content_Type=f"multipart/form-data; boundary={edge}")


def test_uploads_are_limited_and_stay_in_the_folder(site):
    assert upload(site, b"x" * 2_100_000)[0] == 413
    status, text = upload(site, b"small", "../../../../escaped.png")
    assert status == 200
    (path,) = json.loads(text)
    assert path.startswith(f"{site.folder}/uploads/")
    assert not list(site.temporary.parent.rglob("escaped.png")) or path.endswith("escaped.png")
    assert ask(site, "GET", f"/gradio_api/file={quote(path)}") == (200, "small")


def test_the_page_tells_the_browser_to_ask_nobody_else(site):
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=120)
    connection.request("GET", "/")
    answer = connection.getresponse()
    policy, page = answer.getheader("content-security-policy"), answer.read().decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "fonts.googleapis" not in page
    assert '"analytics_enabled":false' in page.replace(" ", "")
