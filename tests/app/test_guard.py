"""What the guard lets through and what it refuses, without a server."""

import asyncio
import json

import pytest

from simswap.app.guard import MOST_JSON, Guard, Limits
from simswap.app.shelf import Shelf

LIMITS = Limits(file_bytes=1000, files=3, all_bytes=2500)
HOST = (b"host", b"127.0.0.1:1234")
FORM = (b"content-type", b"multipart/form-data; boundary=edge")


@pytest.fixture
def shelf():
    made = Shelf(60)
    yield made
    made.close()


class Page:
    """Stands for the page: notes the bodies that reach it."""

    def __init__(self):
        self.bodies = []

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.bodies.append("cut off")
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame", b"1")]})
        await send({"type": "http.response.body", "body": b"ok"})


def status(guard, method, path, body=b"", headers=(), parts=1, hosts=(HOST,)):
    """The answer's status; the body comes in so many parts."""
    cut = -(-len(body) // parts) or 1
    chunks = [body[k : k + cut] for k in range(0, len(body), cut)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": k + 1 < len(chunks)} for k, chunk in enumerate(chunks)
    ]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [*hosts, *headers]}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"]


def test_uploads_are_counted_by_number_and_by_bytes(shelf):
    guard = Guard(Page(), 1234, shelf, LIMITS)

    def upload(length):
        return status(guard, "POST", "/gradio_api/upload", b"x", [FORM, (b"content-length", str(length).encode())])

    assert upload(1) == 200
    assert upload(20_000) == 413  # of one file
    for k in range(2):
        (shelf.uploads / f"{k}.png").write_bytes(b"x" * 1000)
    assert shelf.uploaded() == (2, 2000)
    assert upload(400) == 200
    assert upload(501) == 507  # of all
    (shelf.uploads / "third.png").write_bytes(b"")
    assert upload(1) == 507  # their number


def test_a_body_longer_than_it_says_is_refused(shelf):
    page = Page()
    guard = Guard(page, 1234, shelf, LIMITS)
    long = [FORM, (b"content-length", b"10")]
    assert status(guard, "POST", "/gradio_api/upload", b"x" * 20_000, long, parts=40) == 413
    assert page.bodies == ["cut off"]
    assert status(guard, "POST", "/gradio_api/upload", b"x", [FORM, (b"content-length", b"many")]) == 413


def test_a_form_with_more_files_than_may_be_held_is_refused(shelf):
    page = Page()
    guard = Guard(page, 1234, shelf, LIMITS)

    def upload(files, parts):
        body = b"--edge\r\n\r\nx\r\n" * files + b"--edge--\r\n"
        length = (b"content-length", str(len(body)).encode())
        return status(guard, "POST", "/gradio_api/upload", body, [FORM, length], parts=parts)

    for parts in (1, 7, 40):  # edges are cut in two by some
        assert upload(LIMITS.files, parts) == 200
        assert upload(LIMITS.files + 1, parts) == 413
    (shelf.uploads / "held.png").write_bytes(b"x")
    assert upload(LIMITS.files, 1) == 413
    assert upload(LIMITS.files - 1, 1) == 200
    # a boundary that might be read in more than one way
    for kind in (b"", b"text/plain", FORM[1] + b"; boundary=other", b'multipart/form-data; x="boundary=a"; boundary=b'):
        assert status(guard, "POST", "/gradio_api/upload", b"x", [(b"content-type", kind)]) == 400


def test_a_header_that_is_there_twice_is_refused(shelf):
    guard = Guard(Page(), 1234, shelf, LIMITS)
    assert status(guard, "GET", "/", headers=[(b"accept", b"x")]) == 200
    assert status(guard, "GET", "/", headers=[(b"host", b"evil.example")]) == 400


def test_what_a_handler_gets_names_uploads_alone(shelf, tmp_path):
    page = Page()
    guard = Guard(page, 1234, shelf, LIMITS)
    own = shelf.uploads / "a" / "x.png"
    own.parent.mkdir()
    own.write_bytes(b"x")
    (tmp_path / "secret").write_text("s")
    link = shelf.uploads / "a" / "link.png"
    link.symlink_to(tmp_path / "secret")

    def join(content, parts=1):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return status(guard, "POST", "/gradio_api/queue/join", body, parts=parts)

    good = {"data": [{"path": str(own), "url": "http://127.0.0.1:1234/x"}, 1, None, ["path"]]}
    assert join(good) == 200
    assert join(good, parts=5) == 200
    assert [json.loads(body) for body in page.bodies] == [good, good]  # read by the guard, and handed on unchanged
    for path in (str(tmp_path / "secret"), str(link), f"{own.parent}/../../../x", "https://example.org/x.png", "x.png",
                 f"{own}\0", 3, ["/etc/passwd"], ""):  # fmt: skip
        assert join({"data": [[{"deep": {"path": path}}]]}) == 403
    for body in (b"not json", b"\xff", b"[" * 400_000, b"[" * 30 + b"]" * 30, b'{"a":' * 30 + b"1" + b"}" * 30):
        assert join(body) == 400
    assert join(b"[" + b"1," * MOST_JSON + b"1]", parts=9) == 413
    assert len(page.bodies) == 2
    twice = json.dumps({"path": "/etc/passwd"})[:-1] + f', "path": {json.dumps(str(own))}}}'
    assert join(twice.encode()) == 200
    assert json.loads(page.bodies[2], object_pairs_hook=list) == [("path", str(own))]  # what was looked at alone


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),  # typed by the user
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),  # a link
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 403),  # another program's page on this machine
        ({"origin": "http://127.0.0.1:1234"}, 200),
        ({"origin": "http://127.0.0.1:1235"}, 403),
        ({"origin": "https://127.0.0.1:1234"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_another_page_may_link_to_it_and_no_more(shelf, headers, expected):
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert status(Guard(Page(), 1234, shelf, LIMITS), "GET", "/config", headers=given) == expected


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1", "127.0.0.1:1235", "evil.example:1234", "127.0.0.1:1234.evil.example", "[::1]:1234"]
)
def test_it_answers_under_its_own_name_alone(shelf, host):
    guard = Guard(Page(), 1234, shelf, LIMITS)
    assert status(guard, "GET", "/", hosts=[(b"host", host.encode())]) == 421
    assert status(guard, "GET", "/", hosts=()) == 421
    assert status(guard, "GET", "/", hosts=[(b"host", b"localhost:1234")]) == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_reading_and_posting(shelf, method):
    assert status(Guard(Page(), 1234, shelf, LIMITS), method, "/") == 404


def test_orders_for_the_browser(shelf):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    own = shelf.uploads / "page.html"
    own.write_text("<script>1</script>")
    for path in ("/", "/made/abc/comparison.html", f"/gradio_api/file={own}"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": [HOST]}
        asyncio.run(Guard(Page(), 1234, shelf, LIMITS)(scope, receive, send))
    page, made, upload = (dict(message["headers"]) for message in sent if "headers" in message)
    assert page[b"content-security-policy"].startswith(b"default-src 'self';")
    assert made[b"content-security-policy"].startswith(b"sandbox allow-scripts; default-src 'none';")
    assert made[b"X-Frame"] == b"1"
    assert upload[b"content-security-policy"].startswith(b"sandbox; default-src 'none';")
    assert upload[b"x-content-type-options"] == b"nosniff"


def test_no_websocket(shelf):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(Page(), 1234, shelf, LIMITS)({"type": "websocket", "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
