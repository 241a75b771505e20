"""What stands before the page: who may ask for what.

The page is for the browser on this machine. Whatever reaches it under another name than 127.0.0.1 (a name that somebody
else's site gives to that address), or from another site's page, is refused, as is every route that the page does not
need, every file outside of the page's own folder, and every upload that is too large or one too many. The browser is
told to ask no other host for anything.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simswap.app.shelf import ADDRESS, Shelf

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Refusal = tuple[int, str]  # status and text
App = Callable[[Message, Receive, Send], Awaitable[None]]

FILES = "/gradio_api/file="
UPLOAD = "/gradio_api/upload"
READ = ("/assets/", "/static/", f"{ADDRESS}/", FILES, "/gradio_api/heartbeat/", "/gradio_api/upload_progress",
        "/gradio_api/queue/data", "/gradio_api/startup-events")  # fmt: skip
"""How the paths begin that may be read, beside `PAGES`."""
PAGES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/gradio_api/info")
WRITE = (UPLOAD, "/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset")
"""Paths that take a POST."""
MOST_JSON = 1_000_000  # bytes of what a handler is given
MOST_DEEP = 20  # lists and objects in each other
FORM = 10_000  # bytes around the file in an upload
BOUNDARY = re.compile(r"multipart/form-data; ?boundary=([\w'()+,./:=?-]+)", re.IGNORECASE)
"""The kind of an upload as browsers write it, with what divides its files."""

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self' blob:; frame-src 'self'; form-action 'none'; base-uri 'self'; frame-ancestors 'self'; "
    "object-src 'none'"
)
"""The browser's orders for the page. gradio's own code needs the two ``unsafe`` ones."""
MADE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "frame-ancestors 'self'"
)
"""For what the page made, such as a comparison: it sees nothing but itself, whatever a run's name or note holds."""
UPLOAD_POLICY = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"
"""For an upload: whatever kind it is, no script of it runs."""


@dataclass(frozen=True)
class Limits:
    """What may be uploaded.

    Attributes:
        file_bytes: Bytes of one file.
        files: Files that are held at the same time.
        all_bytes: Bytes of all of them.
    """

    file_bytes: int
    files: int
    all_bytes: int


class Guard:
    """An ASGI application around the page's.

    Args:
        app: The page.
        port: The port that it is served at.
        shelf: The page's own folder.
        limits: Of uploads.
    """

    def __init__(self, app: App, port: int, shelf: Shelf, limits: Limits) -> None:
        self.app, self.shelf, self.limits = app, shelf, limits
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path, headers = scope["path"], {name.decode("latin-1"): one.decode("latin-1") for name, one in scope["headers"]}
        if len(headers) < len(scope["headers"]):  # which one counts is not the same for all who read them
            refused: Refusal | None = (400, "a header is there twice")
        else:
            refused = self._refused(scope["method"], path, headers)
        ordered = _with_orders(send, path)
        if refused is None and path == UPLOAD:
            refused = await self._upload(scope, headers, receive, ordered)
        elif refused is None and scope["method"] == "POST":
            body, refused = await self._handlers_input(receive)
            if refused is None:
                await self.app(scope, _replayed(body, receive), ordered)
        elif refused is None:
            await self.app(scope, receive, ordered)
        if refused is not None:
            await _answer(send, *refused)

    def _refused(self, method: str, path: str, headers: dict[str, str]) -> Refusal | None:
        """Why a request is refused by its head; None where it is not."""
        if headers.get("host") not in self.hosts:
            return 421, "this page answers under 127.0.0.1 alone"
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return 403, "another site's page asks"
        asks = headers.get("sec-fetch-site", "none")  # another port of this machine is same-site
        if asks not in ("same-origin", "none") and headers.get("sec-fetch-mode") != "navigate":
            return 403, "another site's page asks"
        if method in ("GET", "HEAD"):
            if path.startswith(FILES) and not self._is_upload(path.removeprefix(FILES)):
                return 403, "this file is not the page's"
            return None if path in PAGES or path.startswith(READ) else (404, "there is no such page")
        if method != "POST" or path not in WRITE:
            return 404, "there is no such page"
        length = headers.get("content-length", "0")
        if path == UPLOAD and (not length.isdigit() or int(length) > self.limits.file_bytes + FORM):
            return 413, f"too large: a file has at most {self.limits.file_bytes // 1_000_000} MB"
        files, size = self.shelf.uploaded() if path == UPLOAD else (0, 0)
        if files >= self.limits.files or size + int(length) > self.limits.all_bytes:
            return 507, "too many uploads are held: older ones are deleted by and by; try again later"
        return None

    async def _upload(self, scope: Message, headers: dict[str, str], receive: Receive, send: Send) -> Refusal | None:
        """Hand an upload on; returns why it is refused, once it is longer than it may be or has too many files."""
        kind = BOUNDARY.fullmatch(headers.get("content-type", ""))
        if kind is None:
            return 400, "no form with files"
        free = self.limits.files - self.shelf.uploaded()[0]
        form = Form(receive, self.limits.file_bytes + FORM, f"--{kind[1]}".encode(), free)

        async def sent(message: Message) -> None:
            if not form.is_refused:
                await send(message)

        try:
            await self.app(scope, form, sent)
        except Exception:  # the page's: its upload broke off
            if not form.is_refused:
                raise
        return (413, "too large, or too many files at once") if form.is_refused else None

    async def _handlers_input(self, receive: Receive) -> tuple[bytes, Refusal | None]:
        """What is sent to a handler, as it was looked at, and why it is refused."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False) and message["type"] == "http.request"
            if len(body) > MOST_JSON:
                return b"", (413, "too large")
        try:
            content = json.loads(body or b"{}")
            if not self._names_own_files(content):
                return b"", (403, "a file that is not the page's is named")
            return json.dumps(content).encode(), None  # of a key that is there twice, what was looked at alone
        except (ValueError, RecursionError):
            return b"", (400, "not JSON, or nested too deep")

    def _names_own_files(self, content: Any, depth: int = 0) -> bool:
        """Whether every file in a handler's input is an upload: gradio reads ``path`` of an object, or gets an URL.

        Raises:
            RecursionError: It is nested deeper than any handler's is.
        """
        if depth > MOST_DEEP:
            raise RecursionError
        if isinstance(content, list):
            return all(self._names_own_files(one, depth + 1) for one in content)
        if not isinstance(content, dict):
            return True
        path = content.get("path")
        if path is not None and not (isinstance(path, str) and self._is_upload(path)):
            return False
        return all(self._names_own_files(one, depth + 1) for one in content.values())

    def _is_upload(self, path: str) -> bool:
        if "\0" in path or "://" in path:
            return False
        return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self.shelf.uploads.resolve())


class Form:
    """The body of an upload. Once it is more than it may be, it ends as if the connection broke.

    Args:
        receive: Gives the body.
        most: Bytes of it.
        edge: Stands before each file of the form, and once at its end.
        most_files: Files in it.
    """

    def __init__(self, receive: Receive, most: int, edge: bytes, most_files: int) -> None:
        self.receive, self.most, self.edge, self.most_files = receive, most, edge, most_files
        self.is_refused = False
        self._bytes, self._edges, self._tail = 0, 0, b""

    async def __call__(self) -> Message:
        """The next part."""
        message = await self.receive()
        body = self._tail + message.get("body", b"")
        self._bytes += len(body) - len(self._tail)
        self._edges += body.count(self.edge)
        self._tail = body[max(len(body) - len(self.edge) + 1, 0) :]  # may begin an edge, and never holds all of one
        self.is_refused |= self._bytes > self.most or self._edges > self.most_files + 1
        return {"type": "http.disconnect"} if self.is_refused else message


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _with_orders(send: Send, path: str) -> Send:
    """The answer with the orders for the browser."""
    places = {f"{ADDRESS}/": MADE_POLICY, FILES: UPLOAD_POLICY}
    policy = next((one for begin, one in places.items() if path.startswith(begin)), POLICY)
    orders = {
        "content-security-policy": policy, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
    }  # fmt: skip

    async def ordered(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, one) for name, one in message.get("headers", []) if name.decode().lower() not in orders]
            added = [(name.encode(), one.encode()) for name, one in orders.items()]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return ordered


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
