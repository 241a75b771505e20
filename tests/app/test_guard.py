"""What the guard lets through and what it refuses, without a server."""

import asyncio
import json

import pytest

from simswap.app.guard import MOST_JSON, Guard, Limits
from simswap.app.shelf import Shelf

LIMITS = Limits(file_bytes=1000, files=3, all_bytes=2500)
HOST = (b"host", b"127.0.0.1:1234")


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


def status(guard, method, path, body=b"", headers=(), parts=1):
    """The answer's status; the body comes in so many parts. None where the connection was cut off."""
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

    scope = {"type": "http", "method": method, "path": path, "headers": [HOST, *headers]}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"] if sent else None


def test_uploads_are_counted_by_number_and_by_bytes(shelf):
    guard = Guard(Page(), 1234, shelf, LIMITS)

    def upload(length, body=b"x"):
        return status(guard, "POST", "/gradio_api/upload", body, [(b"content-length", str(length).encode())])

    assert upload(1) == 200
    assert upload(20_000) == 413  # of one file
    for k in range(2):
        (shelf.uploads / f"{k}.png").write_bytes(b"x" * 1000)
    assert shelf.uploaded() == (2, 2000)
    assert upload(400) == 200
    assert upload(501) == 507  # of all
    (shelf.uploads / "third.png").write_bytes(b"")
    assert upload(1) == 507  # their number


def test_a_body_longer_than_it_says_is_cut_off(shelf):
    page = Page()
    guard = Guard(page, 1234, shelf, LIMITS)
    long = [(b"content-length", b"10")]
    assert status(guard, "POST", "/gradio_api/upload", b"x" * 20_000, long, parts=40) is None
    assert page.bodies == ["cut off"]
    assert status(guard, "POST", "/gradio_api/upload", b"x", [(b"content-length", b"many")]) == 413


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
    assert join(b"not json") == 400
    assert join(b"[" + b"1," * MOST_JSON + b"1]", parts=9) == 413
    assert len(page.bodies) == 2


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_reading_and_posting(shelf, method):
    assert status(Guard(Page(), 1234, shelf, LIMITS), method, "/") == 404


def test_orders_for_the_browser(shelf):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    for path in ("/", "/made/abc/comparison.html"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": [HOST]}
        asyncio.run(Guard(Page(), 1234, shelf, LIMITS)(scope, receive, send))
    page, made = (dict(message["headers"]) for message in sent if "headers" in message)
    assert page[b"content-security-policy"].startswith(b"default-src 'self';")
    assert made[b"content-security-policy"].startswith(b"sandbox allow-scripts; default-src 'none';")
    assert made[b"X-Frame"] == b"1"


def test_no_websocket(shelf):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(Page(), 1234, shelf, LIMITS)({"type": "websocket", "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
