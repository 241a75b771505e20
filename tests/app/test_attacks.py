"""What an attacker would ask the served page for."""

import http.client
import json
from urllib.parse import quote, urlsplit

import pytest


def answered(site, method, path, body=None, **headers):
    """The answer to what is sent as it is: http.client changes nothing in a path."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=120)
    connection.request(method, path, body, {name.replace("_", "-"): one for name, one in headers.items()})
    return connection.getresponse()


def ask(site, method, path, body=None, **headers):
    """Status and text."""
    answer = answered(site, method, path, body, **headers)
    return answer.status, answer.read().decode("utf-8", "replace")


ROUTES = ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/static/", "/assets/", "/made/x/",
          "/gradio_api/custom_component/")  # fmt: skip


def test_no_file_but_its_own_can_be_read(site, folder):
    secret = folder / "secret.txt"
    inside = site.folder / "uploads" / "link.txt"
    inside.symlink_to(secret)
    places = [str(secret), f"{site.folder}/uploads/../../../secret.txt", "/etc/passwd", "/proc/self/environ",
              str(folder / "runs" / "single" / "metrics.csv"), str(inside), "http://127.0.0.1:9/x", "setup.cfg",
              "file:///etc/passwd", "../" * 12 + "etc/passwd", "..\\" * 12 + "etc\\passwd", "%00"]  # fmt: skip
    for place in places:
        for path in (quote(place), quote(place, safe=""), place.replace("..", "%2e%2e"), place.replace("/", "%2f")):
            for route in ROUTES:
                status, text = ask(site, "GET", f"{route}{path}")
                assert status in (400, 403, 404), (route, path, status)
                assert "not for the page" not in text
                assert "root:" not in text
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
    for depth in (100, 200_000):
        body = '{"fn_index": 0, "session_hash": "attacker", "data": ' + "[" * depth + "]" * depth + "}"
        assert ask(site, "POST", "/gradio_api/queue/join", body, Content_Type="application/json")[0] == 400
    for route in ("/docs", "/openapi.json", "/gradio_api/openapi.json", "/monitoring", "/gradio_api/runs"):
        assert ask(site, "GET", route)[0] == 404


def test_other_sites_and_other_names_are_refused(site):
    port = urlsplit(site.url).port
    assert ask(site, "GET", "/", Host=f"evil.example:{port}")[0] == 421
    assert ask(site, "GET", "/config", Origin="http://evil.example")[0] == 403
    assert ask(site, "GET", "/config", Origin="null")[0] == 403
    assert ask(site, "GET", "/config", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert ask(site, "GET", "/", Host=f"localhost:{port}")[0] == 200


def upload(site, content, name="x.png", kind="image/png", files=1):
    edge = "edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = (f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + b"\r\n") * files + f"--{edge}--\r\n".encode()
    return ask(site, "POST", "/gradio_api/upload", body, Content_Type=f"multipart/form-data; boundary={edge}")


def test_uploads_are_limited_and_stay_in_the_folder(site):
    assert upload(site, b"x" * 2_100_000)[0] == 413
    status, text = upload(site, b"small", "../../../../escaped.png")
    assert status == 200
    (path,) = json.loads(text)
    assert path.startswith(f"{site.folder}/uploads/")
    assert not list(site.temporary.parent.rglob("escaped.png")) or path.endswith("escaped.png")
    assert ask(site, "GET", f"/gradio_api/file={quote(path)}") == (200, "small")


def test_one_form_does_not_hold_more_files_than_the_page(site):
    held = sum(path.is_file() for path in (site.folder / "uploads").rglob("*"))
    assert upload(site, b"x", files=500)[0] == 413
    assert sum(path.is_file() for path in (site.folder / "uploads").rglob("*")) <= held + 100


NAMES = ("..", ".", "/etc/x.png", "a" * 300 + ".png", "nul\0.png", 'q";x="y.png', "\\..\\x.png", "con\u202egnp.exe",
         "<img src=x onerror=alert(1)>.png")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_stays_in_the_folder_and_breaks_nothing(site, name):
    status, text = upload(site, b"small", name)
    assert status < 500
    if status == 200:
        (path,) = json.loads(text)
        assert path.startswith(f"{site.folder}/uploads/")
        assert ask(site, "GET", f"/gradio_api/file={quote(path)}")[0] in (200, 403, 404)


ACTIVE = (("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.xhtml", "text/html"), ("x.png", "text/html"),
          ("x", "text/html"), ("x.js", "text/javascript"), ("x.mhtml", "multipart/related"),
          ("x.pdf", "text/html"))  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), ACTIVE)
def test_no_upload_is_run_by_the_browser(site, name, kind):
    """A page of an attacker's on this address could read whatever the user does here."""
    status, text = upload(site, b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", name, kind)
    assert status == 200
    answer = answered(site, "GET", f"/gradio_api/file={quote(json.loads(text)[0])}")
    assert answer.status == 200
    assert answer.getheader("content-security-policy").startswith("sandbox;")  # without allow-scripts
    assert answer.getheader("x-content-type-options") == "nosniff"
    assert answer.getheader("cross-origin-resource-policy") == "same-origin"


def test_the_page_tells_the_browser_to_ask_nobody_else(site):
    answer = answered(site, "GET", "/")
    policy, page = answer.getheader("content-security-policy"), answer.read().decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "fonts.googleapis" not in page
    assert '"analytics_enabled":false' in page.replace(" ", "")
