"""Stands between the browser and the server, and makes the trouble that a test asks for."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gatekeeper(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        #: Calls that are told, from now on, that the server is busy.
        self.busy = 0
        #: Nobody answers calls; the page itself still comes.
        self.down = False
        #: A text whose call is refused as a bad one.
        self.refused: str | None = None
        #: Paths of calls, and the sizes of the upserts among them.
        self.seen: list[str] = []
        self.slices: list[int] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def verdict(self, path: str, body: bytes) -> tuple[int, dict] | None:
        """What the server says itself, by HTTP status and body; none if it passes the call on."""

        def error(status: int, code: str, message: str) -> tuple[int, dict]:
            return status, {"error": {"code": code, "message": message}}

        if not path.startswith("/v1/"):
            return None
        self.seen.append(path)
        if path.endswith("/questions") and body:
            questions = json.loads(body)["questions"]
            self.slices.append(len(questions))
            if self.busy > 0:
                self.busy -= 1
                return error(429, "RESOURCE_EXHAUSTED", "the waiting room is full")
            if self.refused is not None and any(self.refused in question["text"] for question in questions):
                return error(400, "INVALID_ARGUMENT", f"`{self.refused}` is refused")
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gatekeeper

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_GET  # noqa: N815

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if self.server.down and self.path.startswith("/v1/"):
            self.close_connection = True
            return
        verdict = self.server.verdict(self.path, body)
        if verdict is not None:
            status, reply = verdict
            self._send(status, {"content-type": "application/json"}, json.dumps(reply).encode())
            return
        names = ("content-type", "if-none-match")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        request = urllib.request.Request(self.server.upstream.rstrip("/") + self.path, body or None, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                self._send(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            self._send(error.code, dict(error.headers), error.read())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
